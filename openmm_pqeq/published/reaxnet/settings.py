"""What the two YAML files beside the parameters say: the size of the published network, and its
elements.

The one-hot vector of an atom has a column more than there are elements: column 1 + (rank of its
atomic number among the keys of mapping.yaml). Column 0 is never used, but counts in every
1/√n_elements. The values of mapping.yaml are not read by the authors' code, nor here.
"""

import math
import os
import re
from typing import Any, NamedTuple

import yaml

from openmm_pqeq.gnn.irreps import Irrep, irreps_of
from openmm_pqeq.structure import SYMBOLS

NONLINEARITIES = {"raw_swish": "silu", "silu": "silu", "tanh": "tanh"}
"""Names in the config → names of the network. Their "swish" has a trained slope, which the network
does not."""

KEYS = {
    "graph_net_steps": int,
    "hidden_irreps": str,
    "sh_irreps": str,
    "n_elements": int,
    "n_neighbors": float,
    "nonlinearities": dict,
    "num_basis": int,
    "r_max": float,
    "radial_net_n_hidden": int,
    "radial_net_n_layers": int,
    "radial_net_nonlinearity": str,
    "scale": float,
    "shift": float,
    "use_sc": bool,
}
OF_TRAINING = ("scalar_mlp_std",)
"""Keys that say how the weights were drawn, and nothing about the network."""


EVEN = Irrep(0, 1)


class Chunk(NamedTuple):
    """Features of one irrep, named as in "16x0e"."""

    mul: int
    ir: Irrep

    def __str__(self) -> str:
        return f"{self.mul}x{self.ir}"


class Settings(NamedTuple):
    """The published network, in its own words; lengths in Å, energies in eV.

    species : element symbols, in the order of the one-hot columns 1, 2, ...
    hidden, harmonics : irreps, chunk by chunk
    even, odd, radial : nonlinearities, under the names of `gnn.radial`
    """

    species: list[str]
    hidden: list[Chunk]
    harmonics: list[Irrep]
    layers: int
    n_neighbors: float
    num_basis: int
    r_max: float
    radial_hidden: list[int]
    even: str
    odd: str
    radial: str
    scale: float
    shift: float
    self_connection: bool

    @property
    def n_elements(self) -> int:
        """Columns of the one-hot vectors."""
        return len(self.species) + 1

    @property
    def readout_width(self) -> int:
        """Width between the two linear maps at the end: half of the last even scalars."""
        return [chunk.mul for chunk in self.hidden if chunk.ir == EVEN][-1] // 2


def read_settings(
    config_path: str | os.PathLike[str], mapping_path: str | os.PathLike[str]
) -> Settings:
    """Settings from model_config.yaml and mapping.yaml.

    Raises ValueError for a key that is unknown, missing or of the wrong kind, for what this
    package's network cannot do, and for a mapping that does not belong to the config.
    """
    where = f"model config {os.fspath(config_path)}"
    config = _checked(_read_yaml(config_path, where), where)
    species = _read_species(mapping_path)
    if config["n_elements"] != len(species) + 1:
        raise ValueError(
            f"mapping {os.fspath(mapping_path)}: it has {len(species)} elements, and n_elements "
            f"{config['n_elements']} of {where}"
            f" needs {config['n_elements'] - 1} (one column of the one-hot vectors is padding); "
            "take the mapping that was published"
            " with these parameters"
        )
    hidden = [
        Chunk(mul, ir) for mul, ir in _irreps("hidden_irreps", config["hidden_irreps"], where)
    ]
    scalars = [chunk.mul for chunk in hidden if chunk.ir == EVEN]
    if not scalars or scalars[-1] < 2:
        raise ValueError(
            f"{where}: hidden_irreps must have even scalars, the last at least two, got "
            f"{config['hidden_irreps']!r}"
        )
    harmonics = _irreps("sh_irreps", config["sh_irreps"], where)
    if any(mul != 1 for mul, _ in harmonics):
        raise ValueError(
            f"{where}: sh_irreps must have multiplicity one throughout, got {config['sh_irreps']!r}"
        )
    nonlinearities = config["nonlinearities"]
    if set(nonlinearities) != {"e", "o"}:
        raise ValueError(
            f"{where}: nonlinearities must have the keys e and o, got {nonlinearities!r}"
        )
    odd = nonlinearities["o"]
    if any(chunk.ir == Irrep(0, -1) for chunk in hidden) and odd != "tanh":
        raise ValueError(
            f"{where}: nonlinearities: o: {odd!r} is not an odd function that is known here; odd "
            "scalars need 'tanh'"
        )
    return Settings(
        species=species,
        hidden=hidden,
        harmonics=[ir for _, ir in harmonics],
        layers=config["graph_net_steps"],
        n_neighbors=config["n_neighbors"],
        num_basis=config["num_basis"],
        r_max=config["r_max"],
        radial_hidden=[config["radial_net_n_hidden"]] * config["radial_net_n_layers"],
        even=_nonlinearity("nonlinearities: e", nonlinearities["e"], where),
        odd="tanh",
        radial=_nonlinearity("radial_net_nonlinearity", config["radial_net_nonlinearity"], where),
        scale=config["scale"],
        shift=config["shift"],
        self_connection=config["use_sc"],
    )


def _read_yaml(path: str | os.PathLike[str], where: str) -> dict[Any, Any]:
    with open(path, encoding="utf-8") as file:
        try:
            content = yaml.safe_load(file)
        except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
            raise ValueError(
                f"{where}: not a plain YAML file ({' '.join(str(error).split())})"
            ) from None
    if not isinstance(content, dict):
        raise ValueError(f"{where}: expected lines 'key: value', got {str(content)[:80]!r}")
    return content


def _checked(config: dict[Any, Any], where: str) -> dict[str, Any]:
    """The values of all keys in `KEYS`, each of its kind."""
    if unknown := [key for key in config if key not in KEYS and key not in OF_TRAINING]:
        raise ValueError(
            f"{where}: unknown key {unknown[0]!r}; the keys of a network are {', '.join(KEYS)}. "
            "Remove it if it has to do with"
            " training alone"
        )
    if missing := [key for key in KEYS if key not in config]:
        raise ValueError(
            f"{where}: {missing[0]} is missing; the keys of a network are {', '.join(KEYS)}"
        )
    checked = {key: _value(key, config[key], kind, where) for key, kind in KEYS.items()}
    for key in ("graph_net_steps", "n_elements", "n_neighbors", "num_basis", "r_max"):
        if not checked[key] > 0:
            raise ValueError(f"{where}: {key} must be positive, got {checked[key]}")
    if checked["radial_net_n_layers"] < 0 or checked["radial_net_n_hidden"] < 1:
        raise ValueError(
            f"{where}: radial_net_n_layers must be 0 or more and radial_net_n_hidden 1 or more"
        )
    return checked


def _value(key: str, value: Any, kind: type, where: str) -> Any:
    if (
        kind is float
        and isinstance(value, str)
        and re.fullmatch(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+", value)
    ):
        value = float(value)  # YAML reads 1e-3 as a string
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is float and number and math.isfinite(value):
        return float(value)
    if kind is int and number and math.isfinite(value) and value == int(value):
        return int(value)
    if kind in (str, dict, bool) and isinstance(value, kind):
        return value
    expected = {
        int: "a whole number",
        float: "a number",
        str: "a string",
        bool: "true or false",
        dict: "a mapping",
    }[kind]
    raise ValueError(f"{where}: {key} must be {expected}, got {value!r}")


def _irreps(key: str, value: str, where: str) -> list[tuple[int, Irrep]]:
    try:
        irreps = irreps_of(value)
    except ValueError:
        raise ValueError(
            f"{where}: {key} must be irreps such as '16x0e + 8x1o', got {value!r}"
        ) from None
    if len(irreps) == 0 or any(mul < 1 for mul, _ in irreps):
        raise ValueError(
            f"{where}: {key} must be irreps with at least one channel each, got {value!r}"
        )
    return irreps


def _nonlinearity(key: str, value: Any, where: str) -> str:
    if value not in NONLINEARITIES:
        raise ValueError(
            f"{where}: {key}: {value!r} is not supported; this network has "
            f"{', '.join(NONLINEARITIES)}"
        )
    return NONLINEARITIES[value]


def _read_species(path: str | os.PathLike[str]) -> list[str]:
    """Element symbols by atomic number, from the keys."""
    where = f"mapping {os.fspath(path)}"
    numbers = []
    for key in _read_yaml(path, where):
        number = int(key) if isinstance(key, str) and key.isdecimal() else key
        if not isinstance(number, int) or isinstance(number, bool) or not 0 < number < len(SYMBOLS):
            raise ValueError(
                f"{where}: its keys must be atomic numbers from 1 to {len(SYMBOLS) - 1}, got "
                f"{key!r}"
            )
        numbers.append(number)
    if not numbers or len(set(numbers)) < len(numbers):
        raise ValueError(f"{where}: expected each element once, got {numbers}")
    return [SYMBOLS[number] for number in sorted(numbers)]
