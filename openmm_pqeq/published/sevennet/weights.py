"""Weights of a SevenNet → those of `gnn.NequIP`, which then gives the same energies to rounding.

Both networks are the same function; what differs is where constants and signs stand.

    embedding          1/√n_species theirs, in the weights ours
    Bessel functions   sin(c r) theirs, sin(f r/r_c) ours: f = c r_c
    radial network     1/√n_basis before the first layer theirs, another constant ours
    Wigner symbols     those in the file may have the opposite sign of e3nn's of today: then the radial weights of the path do
    linear maps        one flat tensor theirs, block after block; 1/√(channels of that irrep) in both
    modality           a one-hot, the last rows of a map, theirs; a constant on even scalars, and one on the energy, ours
    denominators       of each layer theirs, one ours: the ratio goes into the map after the convolution
    activations        divided by the same norms: ours are told theirs

So every large tensor keeps the float32 numbers that it was published with, signs aside.
"""

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn

from openmm_pqeq.gnn import NequIP
from openmm_pqeq.gnn.convolution import Interaction, Linear
from openmm_pqeq.gnn.irreps import coupling
from openmm_pqeq.gnn.paths import EVEN, Blocks, Layer, plan_layers
from openmm_pqeq.published.sevennet.read import Settings

Tensors = dict[str, Tensor]

IGNORED = (".output_mask", "convolution.convolution.weight", "equivariant_gate.gate.mul.weight")
"""Ends of names of tensors without numbers of the model."""

W3J = "convolution._compiled_main_left_right._w3j_"

SILU_NORM = 1.0 / 1.6791767923989418
"""√⟨silu²⟩ of a normal variable as `e3nn.math.normalize2mom` estimates it, which all SevenNets were
made with; exact: 1/1.676532."""


def plan_of(settings: Settings) -> list[Layer]:
    """The layers of the network."""
    hidden = " + ".join(f"{mul}x{ir}" for ir, mul in settings.hidden.items())
    harmonics = " + ".join(f"1x{degree}e" for degree in range(settings.l_max + 1))
    return plan_layers(hidden, harmonics, settings.layers, True)


def check_tensors(tensors: Tensors, settings: Settings) -> Tensors:
    """The tensors in float64.

    Raises ValueError that names a tensor which is missing, has no place in the network, or has
    another shape than the config says.
    """
    shapes = shapes_of(settings)
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
            raise ValueError(f"{name!r} must hold floating-point numbers")
        ignored = name.endswith(IGNORED) or W3J in name or tensor.numel() == 0
        if name not in shapes and not ignored:
            raise ValueError(
                f"{name!r} of shape {tuple(tensor.shape)} has no place in a network that can be "
                "imported; it is of another architecture than its config says"
            )
    for name, possible in shapes.items():
        if name not in tensors:
            raise ValueError(f"{name!r} of shape {possible[0]} is missing")
        if tuple(tensors[name].shape) not in possible:
            raise ValueError(
                f"{name!r} must have the shape {' or '.join(map(str, possible))} by the config, "
                f"got {tuple(tensors[name].shape)}"
            )
        if not tensors[name].isfinite().all():
            raise ValueError(f"{name!r} holds numbers that are not finite")
    return {name: tensor.to(torch.float64) for name, tensor in tensors.items()}


def shapes_of(settings: Settings) -> dict[str, list[tuple[int, ...]]]:
    """The tensors that make the network, and the shapes each may have."""
    return dict(_shapes(settings))


def _shapes(settings: Settings) -> Iterator[tuple[str, list[tuple[int, ...]]]]:
    n_species, n_modes = len(settings.species), len(settings.modalities)
    n_scalars = settings.hidden[EVEN]
    hidden = n_scalars // 2
    yield "edge_embedding.basis_function.coeffs", [(settings.n_basis,)]
    yield "onehot_to_feature_x.linear.weight", [(n_species * n_scalars,)]
    for k, layer in enumerate(plan_of(settings)):
        messages = _messages(layer)
        n_weights = sum(messages.values())
        for name, sources, targets, extra in (
            ("self_connection_intro", layer.inputs, layer.outputs, 0),
            ("self_interaction_1", layer.inputs, layer.inputs, n_modes * settings.modal_up),
            ("self_interaction_2", messages, layer.outputs, n_modes * settings.modal_down),
        ):
            size = sum(mul * targets.get(ir, 0) for ir, mul in sources.items())
            yield f"{k}_{name}.linear.weight", [(size + extra * targets[EVEN],)]
        yield f"{k}_convolution.denominator", [(1,), ()]
        widths = [settings.n_basis, *settings.radial_hidden, n_weights]
        for depth, shape in enumerate(pairwise(widths)):
            yield f"{k}_convolution.weight_nn.layer{depth}.weight", [shape]
    n_in = n_scalars + n_modes * settings.modal_readout
    yield "reduce_input_to_hidden.linear.weight", [(n_in * hidden,)]
    yield "reduce_hidden_to_energy.linear.weight", [(hidden,)]
    for name in ("shift", "scale"):
        per_mode = [(n_modes, n_species)] if n_modes else []
        yield f"rescale_atomic_energy.{name}", [(n_species,), (1,), (), *per_mode]


def _messages(layer: Layer) -> Blocks:
    """Channels of each irrep after the convolution."""
    inputs = list(layer.inputs.values())
    return {
        ir: sum(inputs[path.input] for path in layer.paths if path.output == position)
        for position, ir in enumerate(layer.outputs)
    }


def scale_and_shift(tensors: Tensors, settings: Settings, mode: int) -> tuple[Tensor, Tensor]:
    """Scale and shift of each species' energy, eV: both (n_species,), of the modality at place
    `mode`."""
    values = []
    for name in ("scale", "shift"):
        value = tensors[f"rescale_atomic_energy.{name}"]
        values.append((value[mode] if value.dim() == 2 else value).expand(len(settings.species)))
    scale, shift = values
    one, two = (
        tensors[f"reduce_{name}.linear.weight"] for name in ("input_to_hidden", "hidden_to_energy")
    )
    n_modes = len(settings.modalities) * settings.modal_readout
    _, constant = _matrices(one, {EVEN: settings.hidden[EVEN]}, {EVEN: len(two)}, n_modes, mode)
    return scale, shift + scale * (constant @ two) / len(two) ** 0.5


def transfer(tensors: Tensors, settings: Settings, mode: int, network: NequIP) -> None:
    """Fill a network that was made from the same settings; tensors as `check_tensors` returns them.

    mode : place of the chosen modality in the one-hot
    """
    n_species, n_modes = len(settings.species), len(settings.modalities)
    coefficients = tensors["edge_embedding.basis_function.coeffs"]
    _put(network.basis.frequencies, coefficients * settings.cutoff)
    embedding = tensors["onehot_to_feature_x.linear.weight"].view(n_species, -1)
    _put(network.embedding, embedding / n_species**0.5)
    for k, (layer, module) in enumerate(zip(plan_of(settings), network.interactions)):
        assert isinstance(module, Interaction)
        _fill_radial(tensors, k, layer, module)
        inputs, outputs, messages = layer.inputs, layer.outputs, _messages(layer)
        n_up, n_down = n_modes * settings.modal_up, n_modes * settings.modal_down
        for name, linears, sources, targets, n in (
            ("self_connection_intro", module.self_connection, inputs, outputs, 0),
            ("self_interaction_1", module.up, inputs, inputs, n_up),
            ("self_interaction_2", module.down, messages, outputs, n_down),
        ):
            weight = tensors[f"{k}_{name}.linear.weight"]
            _fill_linear(linears, weight, sources, targets, n, mode)
        ratio = module.avg_neighbors / float(tensors[f"{k}_convolution.denominator"])
        for down in module.down:
            _put(_weight(down), _weight(down).detach() * ratio)
    one, two = network.readout
    sizes = {EVEN: settings.hidden[EVEN]}, {EVEN: settings.hidden[EVEN] // 2}
    weight = tensors["reduce_input_to_hidden.linear.weight"]
    _fill_linear(nn.ModuleList([one]), weight, *sizes, n_modes * settings.modal_readout, mode)
    _put(_weight(two), tensors["reduce_hidden_to_energy.linear.weight"].unsqueeze(1))


def _fill_radial(tensors: Tensors, k: int, layer: Layer, module: Interaction) -> None:
    weights = [
        tensors[f"{k}_convolution.weight_nn.layer{depth}.weight"]
        for depth in range(len(module.radial.weights))
    ]
    weights[0] = weights[0] * (len(weights[0]) ** -0.5 / module.radial.gains[0])
    weights[-1] = weights[-1] * _signs(tensors, k, layer)
    for ours, theirs in zip(module.radial.weights, weights):
        _put(ours, theirs)


def _signs(tensors: Tensors, k: int, layer: Layer) -> Tensor:
    """1 or −1 for each radial weight: the Wigner symbol of its path in the file against e3nn's."""
    inputs, outputs, signs = list(layer.inputs.items()), list(layer.outputs), []
    for path in layer.paths:
        degrees = inputs[path.input][0].l, path.harmonic, outputs[path.output].l
        signs.append(torch.full((inputs[path.input][1],), _sign(tensors, k, degrees)))
    return torch.cat(signs)


def _sign(tensors: Tensors, k: int, degrees: tuple[int, int, int]) -> float:
    if 0 in degrees:  # a product with a scalar, or a scalar product: of one sign everywhere
        return 1.0
    name = f"{k}_convolution.{W3J}{'_'.join(map(str, degrees))}"
    if name not in tensors:
        raise ValueError(f"{name!r} is missing, and with it the sign of a Wigner symbol")
    here, theirs = coupling(*degrees) / (2 * degrees[2] + 1) ** 0.5, tensors[name]
    for sign in (1.0, -1.0):
        if theirs.shape == here.shape and torch.allclose(theirs, sign * here, rtol=0, atol=1e-6):
            return sign
    raise ValueError(f"{name!r} is not a Wigner symbol in the convention of e3nn")


def _fill_linear(
    linears: nn.ModuleList, flat: Tensor, sources: Blocks, targets: Blocks, n_modes: int, mode: int
) -> None:
    matrices, constant = _matrices(flat, sources, targets, n_modes, mode)
    for linear, matrix in zip(linears, matrices, strict=True):
        _put(_weight(linear), matrix)
        if isinstance(linear, Linear) and linear.bias is not None and matrix is matrices[0]:
            _put(linear.bias, constant)


def _matrices(
    flat: Tensor, sources: Blocks, targets: Blocks, n_modes: int, mode: int
) -> tuple[list[Tensor], Tensor]:
    """The matrix of each irrep that sources and targets share, 1/√(rows) left to the map; and the
    constant (n_scalars,) that a modality adds to the even scalars, factors included.

    n_modes : rows of a one-hot, at the end of `flat`
    """
    n_scalars, n_out = sources[EVEN], targets[EVEN]
    modal = flat[flat.numel() - n_modes * n_out :].view(n_modes, n_out)
    share = n_scalars / (n_scalars + n_modes)
    matrices = []
    for ir, n_in in sources.items():
        size = n_in * targets.get(ir, 0)
        block, flat = flat[:size], flat[size:]
        if size:
            matrices.append(block.view(n_in, -1) * (share**0.5 if ir == EVEN else 1.0))
    constant = (share / n_scalars) ** 0.5 * (modal[mode] if n_modes else modal.sum(0))
    return matrices, constant


def _weight(linear: nn.Module) -> Tensor:
    weight = linear.weight
    assert isinstance(weight, Tensor)
    return weight


def _put(parameter: Tensor, values: Tensor) -> None:
    if parameter.shape != values.shape:
        raise ValueError(
            f"a block has the shape {tuple(values.shape)}, and the network one of "
            f"{tuple(parameter.shape)}"
        )
    with torch.no_grad():
        parameter.copy_(values)
