"""The numbers behind D3: reference C6 coefficients, radii, and the damping parameters of density
functionals.

The reference tables (elements 1–94; Grimme et al., doi:10.1063/1.3382344) are read from the
installed torch-dftd package, without importing it: its import pulls in ASE and pymatgen. Damping
parameters are in ``data/d3_functionals.csv``, with their sources.
"""

import csv
import importlib.util
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from openmm_pqeq.structure import ATOMIC_NUMBERS, SYMBOLS
from openmm_pqeq.units import BOHR_REAXNET

BOHR_OF_TABLES = BOHR_REAXNET
"""Å. torch-dftd stores radii, published in Å to 2 (covalent) and 4 (R0) decimals, divided by this
bohr and in single precision."""


class References(NamedTuple):
    """Reference systems of some elements, at most five each, and radii.

    c6 : (n_species, n_species, 5, 5) hartree bohr⁶, one value for each pair of reference systems; 0
        where there is none
    coordination : (n_species, 5) coordination numbers of the reference systems; −1 where there is
        none
    covalent_radii : (n_species,) Å, with the factor 4/3 of D3
    cutoff_radii : (n_species, n_species) Å, R0 of zero damping
    r4_over_r2 : (n_species,) bohr, √Q of doi:10.1063/1.3382344, so that C8 = 3 C6 √Q_i √Q_j
    """

    c6: Tensor
    coordination: Tensor
    covalent_radii: Tensor
    cutoff_radii: Tensor
    r4_over_r2: Tensor


class Damping(NamedTuple):
    """Parameters of a density functional: `first` is a1 or rs6 (no unit), `second` a2 (bohr) or rs8
    (no unit)."""

    s6: float
    s8: float
    first: float
    second: float


@lru_cache(maxsize=1)
def _tables() -> dict[str, np.ndarray]:
    package = importlib.util.find_spec("torch_dftd")
    folder = package.submodule_search_locations if package is not None else None
    if not folder:
        raise ModuleNotFoundError(
            "D3 reads its reference tables from the package torch-dftd: pip install torch-dftd"
        )
    path = Path(folder[0]) / "nn" / "params" / "dftd3_params.npz"
    if not path.is_file():
        raise FileNotFoundError(
            f"the installed torch-dftd has no {path.name}: pip install 'torch-dftd>=0.4'"
        )
    with np.load(path) as tables:
        return {name: tables[name] for name in ("c6ab", "r0ab", "rcov", "r2r4")}


def elements() -> list[str]:
    """Symbols of the elements that the tables have."""
    return SYMBOLS[1 : len(_tables()["rcov"])]


def references(species: list[str], published_radii: bool = True) -> References:
    """Reference values of `species`, in that order. Raises ValueError for an element that the
    tables lack.

    Radii are those published, or without `published_radii` as they are stored: off by up to 2e-7 Å,
    and forces by up to 1e-6 eV/Å.
    """
    known = elements()
    missing = [symbol for symbol in species if symbol not in known]
    if missing:
        raise ValueError(
            f"species: D3 has no parameters for {', '.join(missing)}; its tables end at {known[-1]}"
        )
    tables = _tables()
    z = np.array([ATOMIC_NUMBERS[symbol] for symbol in species])
    pairs = tables["c6ab"][
        np.ix_(z, z)
    ]  # (…, 3): C6, and the coordination numbers of the two reference systems
    # The coordination numbers in the table are the same whatever the partner is: read them next to
    # the element itself.
    own = tables["c6ab"][z, z]
    covalent, cutoff_radii = (
        tables["rcov"][z] * BOHR_OF_TABLES,
        tables["r0ab"][np.ix_(z, z)] * BOHR_OF_TABLES,
    )
    if published_radii:
        covalent, cutoff_radii = np.round(0.75 * covalent, 2) / 0.75, np.round(cutoff_radii, 4)
    coordination = np.where(own[:, :, 0, 0] > 0, own[:, :, 0, 1], -1.0)
    return References(
        c6=torch.from_numpy(np.maximum(pairs[..., 0], 0.0)),
        coordination=torch.from_numpy(coordination),
        covalent_radii=torch.from_numpy(covalent),
        cutoff_radii=torch.from_numpy(cutoff_radii),
        r4_over_r2=torch.from_numpy(tables["r2r4"][z]),
    )


@lru_cache(maxsize=1)
def _functionals() -> dict[tuple[str, str], Damping]:
    lines = (
        resources.files("openmm_pqeq.data")
        .joinpath("d3_functionals.csv")
        .read_text(encoding="utf-8")
        .splitlines()
    )
    rows = csv.DictReader(line for line in lines if not line.startswith("#"))
    return {
        (row["damping"], row["functional"]): Damping(
            float(row["s6"]), float(row["s8"]), float(row["a1_or_rs6"]), float(row["a2_or_rs8"])
        )
        for row in rows
    }


def functionals(damping: str) -> list[str]:
    """Density functionals with parameters for `damping`, "zero" or "bj"."""
    return sorted(name for kind, name in _functionals() if kind == damping)


def functional_damping(damping: str, functional: str) -> Damping:
    """Parameters of a density functional; spelling with or without hyphens, any case: "B97-D" is
    "b97d".

    Raises ValueError for an unknown functional, listing those that are known.
    """
    name = functional.lower().translate(str.maketrans("", "", "-_ /"))
    if (damping, name) not in _functionals():
        raise ValueError(
            f"functional: no {damping} damping parameters for '{functional}'; known: "
            f"{', '.join(functionals(damping))}."
            " Others can be given as s6, s8 and " + ("a1, a2" if damping == "bj" else "rs6, rs8")
        )
    return _functionals()[damping, name]
