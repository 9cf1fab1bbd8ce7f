"""Published weights → those of `gnn.NequIP`, which then gives the same energies to rounding.

Both networks are the same function; what differs is where constants stand and how channels are
ordered.

    embedding          theirs 1/√n_elements in the forward pass, ours in the weights; row of an element = its one-hot column
    linear maps        1/√(channels of that irrep) in both; theirs cut into chunks, ours one matrix an irrep
    self-connection    1/√(channels · n_elements) theirs, 1/√channels ours
    radial network     plain x W and act(x) theirs; g_k x W and act(x)/c ours, g_k and c constants
    2/r_max            rounded to float32 theirs, as r_max itself
    messages           slots sorted 0e 0o 1o 1e … theirs; ours by input, harmonic, output
    zero by structure  theirs has weights that meet only zeros; ours has no such paths
"""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from openmm_pqeq.gnn import NequIP
from openmm_pqeq.gnn.convolution import Interaction
from openmm_pqeq.gnn.irreps import Irrep
from openmm_pqeq.gnn.paths import Layer, plan_layers
from openmm_pqeq.gnn.radial import NORMS, RadialNetwork
from openmm_pqeq.published.reaxnet.layout import (
    Convolution,
    convolutions,
    expected_shapes,
    linear_name,
    merged,
    readout,
    self_connection_name,
)
from openmm_pqeq.published.reaxnet.settings import EVEN, Chunk, Settings

Arrays = dict[str, np.ndarray]


def check_arrays(arrays: Arrays, settings: Settings) -> Arrays:
    """The arrays under the names of layout.py, as float64.

    Raises ValueError that names an array which is missing, is not expected, or has another shape
    than the config says.
    """
    named = {
        name.removeprefix("params/").removeprefix("params/"): array
        for name, array in arrays.items()
    }
    expected = expected_shapes(settings)
    missing, unknown = (
        [n for n in expected if n not in named],
        [n for n in named if n not in expected],
    )
    if missing:
        near = (
            f"; the file has {unknown[0]!r}, which the config has no place for" if unknown else ""
        )
        raise ValueError(
            f"parameters: {missing[0]!r} of shape {expected[missing[0]]} is missing "
            f"({len(missing)} of {len(expected)} arrays)"
            f"{near}; take the model_config.yaml that was published with these parameters"
        )
    if unknown:
        raise ValueError(
            f"parameters: {unknown[0]!r} of shape {named[unknown[0]].shape} has no place in the "
            "network that the config describes"
            f" ({len(unknown)} such arrays); take the model_config.yaml that was published with "
            "these parameters"
        )
    for name, shape in expected.items():
        array = named[name]
        if array.shape != shape:
            raise ValueError(
                f"parameters: {name!r} must have the shape {shape} by the config, got {array.shape}"
            )
        if array.dtype.kind != "f" or not np.isfinite(array).all():
            raise ValueError(
                f"parameters: {name!r} must hold finite floating-point numbers, got dtype "
                f"{array.dtype}"
            )
    return {name: named[name].astype(np.float64) for name in expected}


def transfer(arrays: Arrays, settings: Settings, network: NequIP) -> None:
    """Fill a network that was made from the same settings; arrays as `check_arrays` returns
    them."""
    irreps = " + ".join(map(str, settings.hidden)), " + ".join(map(str, settings.harmonics))
    plan = plan_layers(*irreps, settings.layers, settings.self_connection)
    one_hot = [Chunk(settings.n_elements, EVEN)]
    scalars = [o for o, chunk in enumerate(settings.hidden) if chunk.ir == EVEN]
    embedding = _linear(arrays, "Linear_0", one_hot, settings.hidden, EVEN, scalars)
    features, hidden = readout(settings)
    _put(network.basis.frequencies, arrays["BesselEmbedding_0/frequencies"])
    _put(network.embedding, embedding[1:] / settings.n_elements**0.5)
    _put(_weight(network.readout[0]), _linear(arrays, "Linear_1", features, [hidden], EVEN, [0]))
    _put(
        _weight(network.readout[1]),
        _linear(arrays, "Linear_2", [hidden], [Chunk(1, EVEN)], EVEN, [0]),
    )
    for theirs, layer, module in zip(convolutions(settings), plan, network.interactions):
        assert isinstance(module, Interaction)
        _fill_radial(arrays, settings, theirs, layer, module.radial)
        _fill_linear(arrays, theirs, layer, module)
        if settings.self_connection:
            _fill_self_connection(arrays, settings.n_elements, theirs, layer, module)


def _fill_radial(
    arrays: Arrays, settings: Settings, theirs: Convolution, layer: Layer, radial: RadialNetwork
) -> None:
    n_layers = len(radial.weights)
    for depth in range(n_layers):
        weights = arrays[f"{theirs.name}/MLP_0/Dense_{depth}/kernel"] / radial.gains[depth]
        if depth == 0:
            rounded = np.float32(settings.r_max)
            weights = weights * (float(np.float32(2.0) / rounded) / (2.0 / float(rounded)))
        else:
            weights = weights * NORMS[settings.radial]
        if depth == n_layers - 1:
            weights = weights[:, _radial_columns(theirs, layer)]
        _put(radial.weights[depth], weights)


def _radial_columns(theirs: Convolution, layer: Layer) -> np.ndarray:
    """Columns of their radial network in the order of our paths."""
    columns, first = {}, 0
    for coupling in theirs.couplings:
        width = theirs.node[coupling.chunk].mul
        columns[coupling] = np.arange(first, first + width)
        first += width
    inputs, outputs = list(layer.inputs), list(layer.outputs)
    order = []
    for path in layer.paths:
        ours = inputs[path.input], path.harmonic, outputs[path.output]
        order += [
            columns[c]
            for c in theirs.couplings
            if (theirs.node[c.chunk].ir, c.harmonic, c.ir) == ours
        ]
    return np.concatenate(order)


def _fill_linear(arrays: Arrays, theirs: Convolution, layer: Layer, module: Interaction) -> None:
    """The maps before and after the tensor product."""
    inputs = list(layer.inputs)
    for ir, up in zip(inputs, module.up):
        targets = [o for o, chunk in enumerate(theirs.node) if chunk.ir == ir]
        _put(
            _weight(up),
            _linear(arrays, f"{theirs.name}/Linear_0", theirs.inputs, theirs.node, ir, targets),
        )
    for index, (ir, down) in enumerate(zip(layer.outputs, module.down)):
        slots = [slot for slot in theirs.slots if slot.ir == ir]
        widths = [theirs.node[slot.chunk].mul for slot in slots]
        first = np.concatenate([[0], np.cumsum(widths)]).astype(int)
        rows = [
            np.arange(first[k], first[k + 1])
            for path in (layer.paths[p] for p in module.slots[index])
            for k, slot in enumerate(slots)
            if (theirs.node[slot.chunk].ir, slot.harmonic) == (inputs[path.input], path.harmonic)
        ]
        if rows:
            made = _linear(
                arrays,
                f"{theirs.name}/Linear_1",
                theirs.messages,
                theirs.out,
                ir,
                _chunks_of(theirs, layer, ir),
            )
            _put(_weight(down), made[np.concatenate(rows)])


def _fill_self_connection(
    arrays: Arrays, n_elements: int, theirs: Convolution, layer: Layer, module: Interaction
) -> None:
    targets, places = merged(theirs.out), _places(theirs.out)
    outputs = list(layer.outputs)
    for connection, position in zip(module.self_connection, module.own_outputs):
        ir = outputs[position]
        parts = []
        for chunk in _chunks_of(theirs, layer, ir):
            target, first = places[chunk]
            sources = [i for i, source in enumerate(theirs.inputs) if source.ir == ir]
            names = [
                self_connection_name(theirs.name, i, target, theirs.inputs, targets, n_elements)
                for i in sources
            ]
            whole = np.concatenate([arrays[name] for name in names], axis=0)
            parts.append(whole[:, 1:, first : first + theirs.out[chunk].mul])
        weights = np.concatenate(parts, axis=2) / n_elements**0.5
        _put(_weight(connection), weights.transpose(1, 0, 2))


def _chunks_of(theirs: Convolution, layer: Layer, ir: Irrep) -> list[int]:
    """Positions in `theirs.out` of the chunks that make our block `ir`: features, then (in 0e) the
    gates of each gated block."""
    n_scalars, n_gated = len(theirs.scalars), len(theirs.gated)
    if ir.l > 0:
        return [n_scalars + n_gated + o for o, chunk in enumerate(theirs.gated) if chunk.ir == ir]
    features = (
        [o for o, chunk in enumerate(theirs.scalars) if chunk.ir == ir]
        if ir in layer.scalars
        else []
    )
    if ir != EVEN:
        return features
    return features + [
        n_scalars + o
        for gate in layer.gated
        for o, chunk in enumerate(theirs.gated)
        if chunk.ir == gate
    ]


def _places(chunks: list[Chunk]) -> list[tuple[int, int]]:
    """(chunk, first channel in it) after merging, for each chunk."""
    places: list[tuple[int, int]] = []
    for position, chunk in enumerate(chunks):
        if position and chunks[position - 1].ir == chunk.ir:
            target, first = places[-1]
            places.append((target, first + chunks[position - 1].mul))
        else:
            places.append((places[-1][0] + 1 if places else 0, 0))
    return places


def _linear(
    arrays: Arrays,
    branch: str,
    sources: list[Chunk],
    targets: list[Chunk],
    ir: Irrep,
    wanted: Iterable[int],
) -> np.ndarray:
    """The matrix from all channels of an irrep to the wanted chunks."""
    rows = [i for i, chunk in enumerate(sources) if chunk.ir == ir]
    return np.block(
        [[arrays[linear_name(branch, i, o, sources, targets)] for o in wanted] for i in rows]
    )


def _weight(module: nn.Module) -> Tensor:
    weight = module.weight
    assert isinstance(weight, Tensor)
    return weight


def _put(parameter: Tensor, values: np.ndarray) -> None:
    if tuple(parameter.shape) != values.shape:
        raise ValueError(
            f"parameters: a block has the shape {values.shape}, and the network one of "
            f"{tuple(parameter.shape)}"
        )
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(np.ascontiguousarray(values)))
