"""The cost of each part of a potential: neighbours, and term by term; the network layer by layer.

    structure → pairs → terms → energy;    ∂E/∂r = Σ_terms (∂E/∂r at fixed pairs + ∂E/∂pairs · ∂pairs/∂r)

Every part is its own scripted module, and the parts are evaluated one after the other: energies
first, then gradients backwards, each part handing the next the gradients of what it was given. So
the energies of the parts add up to the potential's energy, and their gradients to its forces. A
part keeps from call to call what it keeps in a simulation (lists of neighbours, earlier charges),
so times are those of dynamics where the structures move on as in dynamics. Times in seconds.
"""

import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from openmm_pqeq.gnn import InferenceNequIP
from openmm_pqeq.neighbors.pairs import Pairs
from openmm_pqeq.potential import Potential
from openmm_pqeq.structure import Structure

NEIGHBORS = "neighbours"
"""Name of the search for pairs; other parts have the labels of the terms, their layers and their
own neighbours are named after them."""


class Cost(NamedTuple):
    """Seconds by the clock, and of all processors together."""

    wall: float
    processor: float


class PartTime(NamedTuple):
    """The cost of a part: its energy (or what it makes for others), and its share of the forces."""

    name: str
    energy: Cost
    forces: Cost

    @property
    def processor(self) -> float:
        """Both together, processor time."""
        return self.energy.processor + self.forces.processor

    @property
    def is_search(self) -> bool:
        """Whether it is a list of neighbours."""
        return self.name.endswith(NEIGHBORS)


class Measured(NamedTuple):
    """The costs of one evaluation of a structure.

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
    """The result of a function and its cost, the work of a GPU included."""
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
        with warnings.catch_warnings():
            # torch 2.10 and later call TorchScript deprecated; OpenMM runs it
            warnings.filterwarnings("ignore", message=r".*torch\.jit", category=DeprecationWarning)
            whole: Any = torch.jit.script(potential)
        self.search = _frozen(whole.search, "searches")
        self.by_layers = isinstance(potential.gnn, InferenceNequIP)
        self.terms: list[Timed] = []
        for name, script in zip(potential.terms, whole.terms.children()):
            if name == "gnn" and self.by_layers:
                self.terms.append(TimedLayers(script))
            elif hasattr(script, "search"):
                self.terms.append(TimedApart(script))
            else:
                self.terms.append(TimedTerm(script))

    def measure(self, structure: Structure) -> Measured:
        """Evaluate energy and forces of one structure."""
        structure = structure._replace(positions=_leaf(structure.positions))
        made, searching = timed(self.search, structure)
        pairs = Pairs(*made)
        shared = pairs._replace(vectors=_leaf(pairs.vectors), distances=_leaf(pairs.distances))
        given = [structure.positions, shared.vectors, shared.distances]
        energy, slopes = 0.0, [torch.zeros_like(leaf) for leaf in given]
        parts: list[PartTime] = []
        products = 0
        for term in self.terms:
            share = term.measure(structure, shared)
            energy += share.energy
            slopes = [total + slope for total, slope in zip(slopes, share.slopes)]
            parts += share.parts
            products += share.products
        received, back = timed(_gradients, [pairs.vectors, pairs.distances], given[:1], slopes[1:])
        parts.insert(0, PartTime(NEIGHBORS, searching, back))
        return Measured(parts, products, energy, -(slopes[0] + received[0]))


class Share(NamedTuple):
    """The share of one term.

    energy : eV
    slopes : its gradients in the positions at fixed pairs, and in the pairs' vectors and distances
    parts : one, or several in the order of evaluation
    products : Hessian–vector products of a charge solution
    """

    energy: float
    slopes: list[Tensor]
    parts: list[PartTime]
    products: int = 0


class Timed(Protocol):
    """A term, as it is timed."""

    def measure(self, structure: Structure, pairs: Pairs) -> Share:
        """Positions, vectors and distances are leaves."""
        ...


class TimedTerm:
    """Any term, as one part."""

    def __init__(self, term: Any):
        self.label, self.has_products = term.label, hasattr(term, "products")
        self.term = _frozen(term, *(["products"] if self.has_products else []))

    def measure(self, structure: Structure, pairs: Pairs) -> Share:
        """Energy and gradients."""
        given = [structure.positions, pairs.vectors, pairs.distances]
        found, forward = timed(self.term, structure, pairs, structure.positions.detach())
        energy = found[0].sum()
        slopes, backward = timed(_gradients, [energy], given, [None])
        products = self.term.products() if self.has_products else 0
        return Share(
            float(energy.detach()), slopes, [PartTime(self.label, forward, backward)], products
        )


class TimedApart:
    """A term with a search of its own, which is a part by itself."""

    def __init__(self, term: Any):
        self.label, self.search, self.model = term.label, _frozen(term.search), _frozen(term.model)

    def measure(self, structure: Structure, pairs: Pairs) -> Share:
        """Nothing of the shared pairs is read."""
        positions = structure.positions
        far, searching = timed(self.search, structure)
        # lists for the operator are of integers, and its gradients are those of the positions
        names = [name for name in ("vectors", "distances") if hasattr(far, name)]
        found = [getattr(far, name) for name in names]
        leaves = [_leaf(tensor) for tensor in found]
        atomic, forward = timed(self.model, structure, far._replace(**dict(zip(names, leaves))))
        slopes, backward = timed(_gradients, [atomic.sum()], [positions, *leaves], [None])
        received, back = timed(_gradients, found, [positions], slopes[1:])
        parts = [
            PartTime(f"{self.label}: {NEIGHBORS}", searching, back),
            PartTime(self.label, forward, backward),
        ]
        untouched = [torch.zeros_like(pairs.vectors), torch.zeros_like(pairs.distances)]
        return Share(float(atomic.detach().sum()), [slopes[0] + received[0], *untouched], parts)


class TimedLayers:
    """A network for inference, layer by layer."""

    def __init__(self, term: Any):
        self.label = term.label
        self.model = _frozen(term.model, "layout", "read_out")
        self.layers = [_frozen(layer) for layer in term.model.interactions.children()]

    def measure(self, structure: Structure, pairs: Pairs) -> Share:
        """The layers forwards, then backwards."""
        (index, species, edges), laying = timed(self.model.layout, structure.numbers, pairs)
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
        atomic, reading = timed(self.model.read_out, last, index)
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
        costs = [(laying, laying_back), *zip(forward, reversed(backward)), (reading, reading_back)]
        names = ["edges", *(f"layer {k + 1}" for k in range(len(self.layers))), "readout"]
        parts = [PartTime(f"{self.label}: {name}", *cost) for name, cost in zip(names, costs)]
        in_positions, in_distances = (
            torch.zeros_like(tensor) for tensor in (structure.positions, pairs.distances)
        )
        slopes = [in_positions, slopes[0], in_distances]
        return Share(float(atomic.detach().sum()), slopes, parts)


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


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
