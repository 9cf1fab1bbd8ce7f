"""What each part of a potential costs: neighbours, network layer by layer, charges, dispersion.

    structure → pairs → {network, charges, dispersion} → energy;    ∂E/∂r = Σ_parts ∂E/∂(what a part made) · ∂(what it made)/∂r

Every part is its own scripted module, and the parts are evaluated one after the other: energies
first, then gradients backwards, each part handing the next the gradients of what it was given. So
the energies of the parts add up to the potential's energy, and their gradients to its forces. A
part keeps from call to call what it keeps in a simulation (lists of neighbours, earlier charges),
so times are those of dynamics where the structures move on as in dynamics. Times in seconds.
"""

import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from openmm_pqeq.gnn import InferenceNequIP
from openmm_pqeq.neighbors.pairs import Pairs
from openmm_pqeq.potential import Potential
from openmm_pqeq.structure import Structure

NEIGHBORS, NETWORK, CHARGES, DISPERSION = "neighbours", "network", "charges", "dispersion"
"""Names of the parts; the network's layers and the dispersion's own neighbours are named after
them."""


class Cost(NamedTuple):
    """Seconds by the clock, and of all processors together."""

    wall: float
    processor: float


class PartTime(NamedTuple):
    """What a part cost: its energy (or what it makes for others), and its share of the forces."""

    name: str
    energy: Cost
    forces: Cost

    @property
    def processor(self) -> float:
        """Both together, processor time."""
        return self.energy.processor + self.forces.processor


class Measured(NamedTuple):
    """Of one structure.

    parts : in the order of evaluation
    products : Hessian–vector products of the charge solution; 0 without one
    energy : eV
    forces : (n_atoms, 3) eV/Å
    """

    parts: list[PartTime]
    products: int
    energy: float
    forces: Tensor


def timed(function: Callable[..., Any], *arguments: Any) -> tuple[Any, Cost]:
    """What a function returns, and what that cost, the work of a GPU included."""
    _wait()
    wall, processor = time.perf_counter(), time.process_time()
    result = function(*arguments)
    _wait()
    return result, Cost(time.perf_counter() - wall, time.process_time() - processor)


class PartTimer:
    """Evaluates a potential part by part.

    Parameters
    ----------
    potential : from `Potential.compile_for_inference`, or any other; it is copied, so that nothing
        it keeps is shared
    """

    def __init__(self, potential: Potential):
        self.by_layers = isinstance(potential.gnn, InferenceNequIP)
        with warnings.catch_warnings():
            # torch 2.10 and later call TorchScript deprecated; OpenMM runs it
            warnings.filterwarnings("ignore", message=r".*torch\.jit", category=DeprecationWarning)
            whole: Any = torch.jit.script(potential)
        self.search = _frozen(whole.search, "searches")
        self.gnn: Any = (
            None
            if potential.gnn is None
            else _frozen(whole.gnn, *(["layout", "read_out"] if self.by_layers else []))
        )
        self.layers = (
            [_frozen(layer) for layer in whole.gnn.interactions.children()]
            if self.by_layers
            else []
        )
        self.sweeps = potential.pqeq is not None and whole.pqeq.swept is not None
        kept = "swept.products" if self.sweeps else "memory.products"
        self.pqeq: Any = None if potential.pqeq is None else _frozen(whole.pqeq, kept)
        self.dispersion_search: Any = (
            None if potential.d3 is None else _frozen(whole.dispersion_search)
        )
        self.d3: Any = None if potential.d3 is None else _frozen(whole.d3)

    def measure(self, structure: Structure) -> Measured:
        """Evaluate energy and forces of one structure."""
        positions = _leaf(structure.positions)
        structure = structure._replace(positions=positions)
        made, searching = timed(self.search, structure)
        pairs = Pairs(*made)
        own = pairs._replace(vectors=_leaf(pairs.vectors), distances=_leaf(pairs.distances))
        energies, gradient = torch.zeros((), dtype=positions.dtype), torch.zeros_like(positions)
        parts: list[PartTime] = []
        products = 0
        if self.gnn is not None:
            of_network = self._layers if self.by_layers else self._network
            energy, parts = of_network(structure.numbers, own)
            energies = energies + energy
        if self.pqeq is not None:
            solution, solving = timed(self.pqeq, structure, own, positions.detach())
            slopes, pushing = timed(
                _gradients, [solution.energy.sum()], [positions, own.vectors, own.distances], [None]
            )
            _add(own, slopes[1:])
            gradient = gradient + slopes[0]
            energies = energies + solution.energy.sum().detach()
            products = int(self.pqeq.swept.products if self.sweeps else self.pqeq.memory.products)
            parts.append(PartTime(CHARGES, solving, pushing))
        if self.d3 is not None:
            far, far_searching = timed(self.dispersion_search, structure)
            # lists for the operator are of integers, and its gradients are those of the positions
            names = [name for name in ("vectors", "distances") if hasattr(far, name)]
            found = [getattr(far, name) for name in names]
            leaves = [_leaf(tensor) for tensor in found]
            atomic, dispersing = timed(self.d3, structure, far._replace(**dict(zip(names, leaves))))
            slopes, pulling = timed(_gradients, [atomic.sum()], [positions, *leaves], [None])
            energies = energies + atomic.sum().detach()
            back, far_back = timed(_gradients, found, [positions], slopes[1:])
            gradient = gradient + slopes[0] + back[0]
            parts.append(PartTime(f"{DISPERSION}: neighbours", far_searching, far_back))
            parts.append(PartTime(DISPERSION, dispersing, pulling))
        received = [_gradient_of(own.vectors), _gradient_of(own.distances)]
        back, searching_back = timed(
            _gradients, [pairs.vectors, pairs.distances], [positions], received
        )
        parts.insert(0, PartTime(NEIGHBORS, searching, searching_back))
        return Measured(parts, products, float(energies), -(gradient + back[0]))

    def _network(self, numbers: Tensor, pairs: Pairs) -> tuple[Tensor, list[PartTime]]:
        """The network as a whole, as it is without the native operators."""
        atomic, forward = timed(self.gnn, numbers, pairs)
        slopes, backward = timed(
            _gradients, [atomic.sum()], [pairs.vectors, pairs.distances], [None]
        )
        _add(pairs, slopes)
        return atomic.sum().detach(), [PartTime(NETWORK, forward, backward)]

    def _layers(self, numbers: Tensor, pairs: Pairs) -> tuple[Tensor, list[PartTime]]:
        """The network layer by layer."""
        gnn = self.gnn
        (index, species, edges), laying = timed(gnn.layout, numbers, pairs)
        features: list[Tensor] = []
        inputs, outputs, forward = [], [], []
        for layer in self.layers:
            own = edges._replace(distances=_leaf(edges.distances), harmonics=_leaf(edges.harmonics))
            given = [_leaf(block) for block in features]
            features, cost = timed(layer, given, index, species, own)
            inputs.append([own.distances, own.harmonics, *given])
            outputs.append(features)
            forward.append(cost)
        last = [_leaf(block) for block in features]
        atomic, reading = timed(gnn.read_out, last, index)
        received, reading_back = timed(_gradients, [atomic.sum()], last, [None])
        total = [torch.zeros_like(edges.distances), torch.zeros_like(edges.harmonics)]
        backward = []
        for made, given in zip(reversed(outputs), reversed(inputs)):
            slopes, cost = timed(_gradients, made, given, received)
            total, received = [a + b for a, b in zip(total, slopes)], slopes[2:]
            backward.append(cost)
        slopes, laying_back = timed(
            _gradients, [edges.distances, edges.harmonics], [pairs.vectors], total
        )
        _add(pairs, slopes)
        layers = [
            PartTime(f"{NETWORK}: layer {k + 1}", *costs)
            for k, costs in enumerate(zip(forward, reversed(backward)))
        ]
        before, after = (
            PartTime(f"{NETWORK}: edges", laying, laying_back),
            PartTime(f"{NETWORK}: readout", reading, reading_back),
        )
        return atomic.sum().detach(), [before, *layers, after]


def _frozen(module: Any, *kept: str) -> Any:
    """The module with its settings folded in, as OpenMM runs it, except for what is `kept`."""
    return torch.jit.freeze(module.eval(), preserved_attrs=list(kept), optimize_numerics=False)


def _leaf(tensor: Tensor) -> Tensor:
    return tensor.detach().clone().requires_grad_(True)


def _gradients(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor], received: Sequence[Any]
) -> list[Tensor]:
    """Gradients with respect to the inputs, of outputs whose own gradients are known (None: 1);
    zero where nothing depends."""
    pairs = [(output, slope) for output, slope in zip(outputs, received) if output.requires_grad]
    if not pairs:
        return [torch.zeros_like(given) for given in inputs]
    made, given = [output for output, _ in pairs], [slope for _, slope in pairs]
    found = torch.autograd.grad(made, inputs, given, allow_unused=True)
    return [
        torch.zeros_like(leaf) if slope is None else slope for leaf, slope in zip(inputs, found)
    ]


def _add(pairs: Pairs, slopes: list[Tensor]) -> None:
    """Add to the gradients that the pairs' vectors, and distances if given, have received so
    far."""
    for leaf, slope in zip((pairs.vectors, pairs.distances), slopes):
        leaf.grad = slope if leaf.grad is None else leaf.grad + slope


def _gradient_of(leaf: Tensor) -> Tensor:
    return torch.zeros_like(leaf) if leaf.grad is None else leaf.grad


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
