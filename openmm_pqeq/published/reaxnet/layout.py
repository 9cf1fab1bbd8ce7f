"""The tree of parameters that a published network has: which arrays, under which names, of which
shapes.

Names tell irreps and positions, such as `NequIPConvolution_1/Linear_1/w[2,4] 44x2e,4x2e`: from
block 2 of the input to chunk 4 of the output. Inputs are counted after leaving out what is zero by
structure and merging neighbours of the same irrep; outputs are the chunks as `hidden_irreps` has
them. Which irreps are zero depends on the layer: at first only even scalars are not.

The layout is that of the NequIP network of jax-md on e3nn-jax, which the published models were
trained with.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from openmm_pqeq.gnn.irreps import Irrep, products
from openmm_pqeq.published.reaxnet.settings import EVEN, Chunk, Settings


class Coupling(NamedTuple):
    """A path of the tensor product: chunk of the input, harmonic, irrep of the output."""

    chunk: int
    harmonic: int
    ir: Irrep


class Convolution(NamedTuple):
    """One interaction of the published network.

    name : of its branch
    node : features read, chunk by chunk, those that are zero by structure included
    live : irreps that are not
    scalars, gated : features made; every gated chunk has its gates in between
    couplings : of all of `node`, in the order of the radial network's output
    """

    name: str
    node: list[Chunk]
    live: set[Irrep]
    scalars: list[Chunk]
    gated: list[Chunk]
    couplings: list[Coupling]

    @property
    def out(self) -> list[Chunk]:
        """Scalars, gates, gated."""
        return [*self.scalars, *(Chunk(chunk.mul, EVEN) for chunk in self.gated), *self.gated]

    @property
    def inputs(self) -> list[Chunk]:
        """The chunks that are not zero, neighbours merged."""
        return merged(chunk for chunk in self.node if chunk.ir in self.live)

    @property
    def slots(self) -> list[Coupling]:
        """Couplings that are not zero, as they lie in the message: sorted by irrep."""
        return sorted(
            (c for c in self.couplings if self.node[c.chunk].ir in self.live),
            key=lambda c: sort_key(c.ir),
        )

    @property
    def messages(self) -> list[Chunk]:
        """The message, one chunk an irrep."""
        return merged(Chunk(self.node[c.chunk].mul, c.ir) for c in self.slots)

    @property
    def n_weights(self) -> int:
        """Outputs of the radial network."""
        return sum(self.node[c.chunk].mul for c in self.couplings)


def sort_key(ir: Irrep) -> tuple[int, int]:
    """The order 0e 0o 1o 1e 2e 2o of e3nn-jax; e3nn has 0o 0e 1o 1e 2o 2e."""
    return ir.l, -ir.p * (-1) ** ir.l


def merged(chunks: Iterable[Chunk]) -> list[Chunk]:
    """Neighbours of the same irrep as one chunk."""
    result: list[Chunk] = []
    for chunk in chunks:
        if result and result[-1].ir == chunk.ir:
            result[-1] = Chunk(result[-1].mul + chunk.mul, chunk.ir)
        else:
            result.append(chunk)
    return result


def convolutions(settings: Settings) -> list[Convolution]:
    """All interactions, in order."""
    node, live = settings.hidden, {EVEN}
    result = []
    for index in range(settings.layers):
        reached = {
            ir
            for chunk in node
            for harmonic in settings.harmonics
            for ir in products(chunk.ir, harmonic)
        }
        scalars = [chunk for chunk in settings.hidden if chunk.ir.l == 0 and chunk.ir in reached]
        gated = [chunk for chunk in settings.hidden if chunk.ir.l > 0 and chunk.ir in reached]
        wanted = {chunk.ir for chunk in [*scalars, *gated]} | ({EVEN} if gated else set())
        couplings = [
            Coupling(position, harmonic, ir)
            for position, chunk in enumerate(node)
            for harmonic, other in enumerate(settings.harmonics)
            for ir in products(chunk.ir, other)
            if ir in wanted
        ]
        result.append(
            Convolution(f"NequIPConvolution_{index}", node, live, scalars, gated, couplings)
        )
        made = {chunk.ir for chunk in result[-1].messages} | (
            live & wanted if settings.self_connection else set()
        )
        node = [*scalars, *gated]
        live = {
            chunk.ir for chunk in node if chunk.ir in made and (chunk.ir.l == 0 or EVEN in made)
        }
    return result


def readout(settings: Settings) -> tuple[list[Chunk], Chunk]:
    """Features read at the end, neighbours merged, and the chunk between the two linear maps."""
    last = convolutions(settings)[-1]
    features = [*last.scalars, *last.gated]
    made = {chunk.ir for chunk in last.messages} | (
        last.live if settings.self_connection else set()
    )
    live = (chunk for chunk in features if chunk.ir in made and (chunk.ir.l == 0 or EVEN in made))
    return merged(live), Chunk(settings.readout_width, EVEN)


def linear_name(
    branch: str, source: int, target: int, sources: list[Chunk], targets: list[Chunk]
) -> str:
    """Name of the weights from one chunk to another."""
    return f"{branch}/w[{source},{target}] {sources[source]},{targets[target]}"


def self_connection_name(
    branch: str,
    source: int,
    target: int,
    sources: list[Chunk],
    targets: list[Chunk],
    n_elements: int,
) -> str:
    """Name of the weights from one chunk to another, for every element."""
    shape = f"{sources[source]},{n_elements}x0e,{targets[target]}"
    return f"{branch}/FullyConnectedTensorProductE3nn_0/w[{source},0,{target}] {shape}"


def expected_shapes(settings: Settings) -> dict[str, tuple[int, ...]]:
    """Name → shape of every array of the published file."""
    n_elements = settings.n_elements
    shapes: dict[str, tuple[int, ...]] = {"BesselEmbedding_0/frequencies": (settings.num_basis,)}
    shapes |= _linear_shapes("Linear_0", [Chunk(n_elements, EVEN)], settings.hidden)
    for layer in convolutions(settings):
        if settings.self_connection:
            targets = merged(layer.out)
            for i, o in _equal_irreps(layer.inputs, targets):
                name = self_connection_name(layer.name, i, o, layer.inputs, targets, n_elements)
                shapes[name] = (layer.inputs[i].mul, n_elements, targets[o].mul)
        shapes |= _linear_shapes(f"{layer.name}/Linear_0", layer.inputs, layer.node)
        shapes |= _linear_shapes(f"{layer.name}/Linear_1", layer.messages, layer.out)
        widths = [settings.num_basis, *settings.radial_hidden, layer.n_weights]
        for depth in range(len(widths) - 1):
            shapes[f"{layer.name}/MLP_0/Dense_{depth}/kernel"] = (widths[depth], widths[depth + 1])
    features, hidden = readout(settings)
    shapes |= _linear_shapes("Linear_1", features, [hidden])
    shapes |= _linear_shapes("Linear_2", [hidden], [Chunk(1, EVEN)])
    return shapes


def _linear_shapes(
    branch: str, sources: list[Chunk], targets: list[Chunk]
) -> dict[str, tuple[int, ...]]:
    pairs = _equal_irreps(sources, targets)
    return {
        linear_name(branch, i, o, sources, targets): (sources[i].mul, targets[o].mul)
        for i, o in pairs
    }


def _equal_irreps(sources: list[Chunk], targets: list[Chunk]) -> Iterator[tuple[int, int]]:
    for i, source in enumerate(sources):
        for o, target in enumerate(targets):
            if source.ir == target.ir:
                yield i, o
