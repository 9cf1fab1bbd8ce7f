"""Random checkpoints in the layout of SevenNet, and the network they stand for, built from e3nn.

    convolution   e3nn's TensorProduct, FullyConnectedNet, Linear, Gate
    checkpoint    {"model_state_dict": flat tensors, "config": settings}, as `torch.save` writes it

What e3nn did otherwise when the published checkpoints were made is in here too: Wigner symbols of
the opposite sign, which a checkpoint carries.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import e3nn.nn
import numpy as np
import torch
from e3nn import o3

SYMBOLS = ["O", "H", "Ba", "Ti"]
NUMBERS = {8: 0, 1: 1, 56: 2, 22: 3}

BASE = {
    "version": "0.9.3",
    "_model_type": "E3_equivariant_model",
    "_type_map": NUMBERS,
    "irreps_manual": ["6x0e", "6x0e+4x1e+2x2e", "6x0e+4x1e+2x2e", "6x0e"],
    "num_convolution_layer": 3,
    "lmax": 2,
    "lmax_edge": -1,
    "lmax_node": -1,
    "is_parity": False,
    "radial_basis": {"radial_basis_name": "bessel", "bessel_basis_num": 5},
    "cutoff_function": {"cutoff_function_name": "XPLOR", "cutoff_on": 3.5},
    "cutoff": 4.0,
    "weight_nn_hidden_neurons": [7, 9],
    "act_radial": "silu",
    "act_scalar": {"e": "silu", "o": "tanh"},
    "act_gate": {"e": "silu", "o": "tanh"},
    "self_connection_type": "linear",
    "interaction_type": "nequip",
    "use_bias_in_linear": False,
    "readout_as_fcn": False,
    "_normalize_sph": True,
    "shift": np.array([-1.0, -2.0, -3.0, -4.0], dtype=np.float32),
    "device": torch.device("cpu"),
}

FLIPPED = ((1, 2, 2), (2, 1, 2), (2, 2, 1))
"""Wigner symbols whose sign e3nn has changed."""

CHECKPOINTS = {
    "like SevenNet-0": {},
    "like SevenNet-0 of May": {
        "version": "0.9.1",
        "_normalize_sph": None,
        "interaction_type": None,
        "flipped": (),
        "old names": True,
    },
    "like l3i5": {
        "irreps_manual": ["4x0e", *["4x0e+3x1e+2x2e+2x3e"] * 2, "4x0e"],
        "lmax": 3,
        "cutoff_function": {"cutoff_function_name": "poly_cut", "poly_cut_p_value": 6},
        "flipped": (*FLIPPED, (1, 3, 3), (3, 1, 3), (3, 3, 1)),
    },
    "like MF-0": {
        "use_modality": True,
        "use_modal_node_embedding": False,
        "use_modal_self_inter_intro": True,
        "use_modal_self_inter_outro": True,
        "use_modal_output_block": True,
        "_modal_map": {"R2SCAN": 0, "PBE": 1},
    },
    "one layer, one number for all": {
        "irreps_manual": ["6x0e", "6x0e"],
        "num_convolution_layer": 1,
        "weight_nn_hidden_neurons": [5],
        "shift shape": (1,),
        "denominators": [9.5],
    },
    "denominators of their own": {"denominators": [9.5, 12.25, 7.0]},
}
"""What each differs in from `BASE`; None: a setting that is absent; names with a space, or in no
config: of the maker below."""

MAKER = ("flipped", "old names", "shift shape", "denominators")


@contextmanager
def float64() -> Iterator[None]:
    """e3nn's constants have the dtype of torch at the time they are made."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


class Network(torch.nn.Module):
    """The function itself, float64; its parameters are the tensors of a checkpoint."""

    @float64()
    def __init__(self, name: str, seed: int = 7):
        super().__init__()
        torch.manual_seed(seed)
        changed = {**BASE, **CHECKPOINTS[name]}
        self.maker = {key: changed.get(key) for key in MAKER}
        self.config = {k: v for k, v in changed.items() if v is not None and k not in MAKER}
        self.flipped = FLIPPED if self.maker["flipped"] is None else self.maker["flipped"]
        config, layers = self.config, self.config["num_convolution_layer"]
        self.modes = len(config.get("_modal_map", {}))
        modal = f" + {self.modes}x0e" if self.modes else ""
        features = [o3.Irreps(irreps) for irreps in config["irreps_manual"]]
        self.harmonics = o3.Irreps.spherical_harmonics(config["lmax"], p=1)
        self.embedding = o3.Linear(f"{len(SYMBOLS)}x0e", features[0])
        self.layers = torch.nn.ModuleList()
        for before, after in pairwise(features):
            self.layers.append(Layer(before, self.harmonics, after, modal, config))
        n_scalars = features[-1].dim
        self.readout = torch.nn.ModuleList(
            [
                o3.Linear(f"{n_scalars}x0e{modal}", f"{n_scalars // 2}x0e"),
                o3.Linear(f"{n_scalars // 2}x0e", "1x0e"),
            ]
        )
        n_basis = config["radial_basis"]["bessel_basis_num"]
        waves = torch.arange(n_basis) + 0.9 + 0.2 * torch.rand(n_basis)
        self.coefficients = (waves * math.pi / config["cutoff"]).float()
        self.denominators = torch.tensor(self.maker["denominators"] or [8.25] * layers)
        per_mode = (self.modes, len(SYMBOLS)) if self.modes else (len(SYMBOLS),)
        self.shift = torch.randn(self.maker["shift shape"] or per_mode).float()
        self.scale = torch.full((len(SYMBOLS),), 1.73).float()
        for weight in self.parameters():  # numbers as a checkpoint has them
            weight.data = weight.data.float().double()

    def forward(self, numbers, pairs, mode: int = 0):
        """Atomic energies (n_atoms,) eV."""
        index = torch.tensor([NUMBERS[int(number)] for number in numbers])
        one_hot = torch.eye(len(SYMBOLS), dtype=torch.float64)[index]
        modal = torch.eye(max(self.modes, 1), dtype=torch.float64)[[mode] * len(index)]
        modal = modal[:, : self.modes]
        directions = o3.spherical_harmonics(
            self.harmonics,
            pairs.vectors,
            self.config.get("_normalize_sph", False),
            normalization="component",
        )
        basis = self.basis(pairs.vectors.norm(dim=1))
        h = self.embedding(one_hot)
        for layer, denominator in zip(self.layers, self.denominators.double()):
            h = layer(h, modal, basis, directions, pairs, denominator, self.flipped)
        energy = self.readout[1](self.readout[0](torch.cat([h, modal], 1))).squeeze(1)
        shift = self.shift.double()
        shift = (shift[mode] if shift.dim() == 2 else shift).expand(len(SYMBOLS))
        return energy * self.scale.double()[index] + shift[index]

    def basis(self, distances):
        cutoff, function = self.config["cutoff"], self.config["cutoff_function"]
        x, on = distances / cutoff, function.get("cutoff_on", cutoff)
        if function["cutoff_function_name"] == "XPLOR":
            c2, r2, o2 = cutoff**2, distances**2, on**2
            falling = (c2 - r2) ** 2 * (c2 + 2 * r2 - 3 * o2) / (c2 - o2) ** 3
            envelope = torch.where(distances < on, 1.0, falling)
        else:
            envelope = 1 - 28 * x**6 + 48 * x**7 - 21 * x**8
        waves = torch.sin(distances.unsqueeze(1) * self.coefficients.double())
        return 2 / cutoff * waves * (envelope / distances).unsqueeze(1)

    def tensors(self) -> dict[str, torch.Tensor]:
        """As a checkpoint names them."""
        found = {
            "edge_embedding.basis_function.coeffs": self.coefficients,
            "onehot_to_feature_x.linear.weight": self.embedding.weight,
            "onehot_to_feature_x.linear.bias": torch.zeros(0),
            "onehot_to_feature_x.linear.output_mask": torch.ones(6),
            "reduce_input_to_hidden.linear.weight": self.readout[0].weight,
            "reduce_hidden_to_energy.linear.weight": self.readout[1].weight,
            "rescale_atomic_energy.shift": self.shift,
            "rescale_atomic_energy.scale": self.scale,
        }
        for k, layer in enumerate(self.layers):
            found[f"{k}_self_connection_intro.linear.weight"] = layer.own.weight
            found[f"{k}_self_interaction_1.linear.weight"] = layer.up.weight
            found[f"{k}_self_interaction_2.linear.weight"] = layer.down.weight
            found[f"{k}_convolution.denominator"] = self.denominators[k : k + 1]
            for depth, weight in enumerate(layer.radial.parameters()):
                found[f"{k}_convolution.weight_nn.layer{depth}.weight"] = weight
            for degrees in {degrees for degrees in layer.degrees if 0 not in degrees}:
                symbol = o3.wigner_3j(*degrees) * (-1 if degrees in self.flipped else 1)
                ends = "_".join(map(str, degrees))
                found[f"{k}_convolution.convolution._compiled_main_left_right._w3j_{ends}"] = symbol
        return {name: tensor.detach().float().clone() for name, tensor in found.items()}

    def write(self, path: Path, config=None, tensors=None) -> Path:
        """The checkpoint, with settings and tensors replaced."""
        named = {**self.tensors(), **(tensors or {})}
        if self.maker["old names"]:
            named = {_old(name): tensor for name, tensor in named.items()}
        content = {
            "config": {**self.config, **(config or {})},
            "model_state_dict": {name: value for name, value in named.items() if value is not None},
            "epoch": 600,
        }
        torch.save(content, path)
        return path


class Layer(torch.nn.Module):
    """An interaction."""

    def __init__(self, before, harmonics, after, modal, config):
        super().__init__()
        scalars = o3.Irreps([(mul, ir) for mul, ir in after if ir.l == 0])
        gated = o3.Irreps([(mul, ir) for mul, ir in after if ir.l > 0])
        gates = o3.Irreps(f"{gated.num_irreps}x0e" if len(gated) else "")
        acts = [torch.nn.functional.silu]
        self.gate = e3nn.nn.Gate(scalars, acts, gates, acts * len(gates), gated)
        outputs = self.gate.irreps_in.simplify()
        paths = [
            (i, j, ir)
            for i, (_, one) in enumerate(before)
            for j, (_, other) in enumerate(harmonics)
            for ir in one * other
            if ir in outputs
        ]
        self.degrees = [(before[i].ir.l, harmonics[j].ir.l, ir.l) for i, j, ir in paths]
        self.widths = [before[i].mul for i, _, _ in paths]
        messages = o3.Irreps([(before[i].mul, ir) for i, _, ir in paths])
        messages, place, _ = messages.sort()
        instructions = [(i, j, place[k], "uvu", True) for k, (i, j, _) in enumerate(paths)]
        self.up = o3.Linear(f"{before}{modal}", before)
        self.product = o3.TensorProduct(
            before, harmonics, messages, instructions, shared_weights=False, internal_weights=False
        )
        n_basis = config["radial_basis"]["bessel_basis_num"]
        widths = [n_basis, *config["weight_nn_hidden_neurons"], self.product.weight_numel]
        self.radial = e3nn.nn.FullyConnectedNet(widths, torch.nn.functional.silu)
        self.down = o3.Linear(f"{messages.simplify()}{modal}", outputs)
        self.own = o3.Linear(before, outputs)

    def forward(self, h, modal, basis, directions, pairs, denominator, flipped):
        """New features (n_atoms, ...)."""
        signs = torch.tensor([-1.0 if degrees in flipped else 1.0 for degrees in self.degrees])
        weights = self.radial(basis) * signs.double().repeat_interleave(torch.tensor(self.widths))
        x = self.up(torch.cat([h, modal], 1))
        messages = self.product(x[pairs.neighbors], directions, weights)
        summed = messages.new_zeros(len(h), messages.size(1)).index_add(0, pairs.centers, messages)
        return self.gate(self.down(torch.cat([summed / denominator, modal], 1)) + self.own(h))


def _old(name: str) -> str:
    """As of May 2024: a few words other, spaces for some underscores."""
    for new, old in (
        ("edge_embedding", "EdgeEmbedding"),
        ("reduce_input_to_hidden", "reducing nn input to hidden"),
        ("reduce_hidden_to_energy", "reducing nn hidden to energy"),
        ("rescale_atomic_energy", "rescale atomic energy"),
        ("_convolution.denominator", " convolution.denumerator"),
        ("_convolution.", " convolution."),
        ("_self_connection_intro", " self connection intro"),
        ("_self_interaction_2", " self interaction 2"),
    ):
        name = name.replace(new, old)
    return name
