"""What `create_force` accepts, and the words with which it refuses the rest.

Each function takes one argument as the user gave it and returns it as the package wants it: e, V/Å,
atomic numbers, booleans. All raise ValueError.
"""

import math
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from openmm import app, unit

from openmm_pqeq import checkpoint
from openmm_pqeq.potential import Potential
from openmm_pqeq.pqeq import along_periodic
from openmm_pqeq.units import KJ_PER_MOL_NM_PER_EV_PER_ANGSTROM

MANY_FOR_EWALD = 300
"""Atoms. `pme` takes half as long as `ewald` at 135 atoms and a fiftieth at 1,080
(docs/performance.md)."""

BACKENDS = ("torchscript", "python")

_FIELD = unit.volt / unit.angstrom
_MOLAR_FIELD = unit.kilojoule_per_mole / unit.nanometer / unit.elementary_charge


def one_of(name: str, value: str, choices: Sequence[str]) -> str:
    """`value`, if it is one of `choices`."""
    if value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(map(repr, choices))}, got {value!r}")
    return value


def loaded(potential: Potential | str | os.PathLike[str]) -> Potential:
    """The potential itself, or the one of that name or path."""
    if isinstance(potential, str | os.PathLike):
        return checkpoint.load(os.fspath(potential))
    if not isinstance(potential, Potential):
        raise ValueError(
            "potential: expected a Potential (see load and build), a name or a path, got "
            f"{type(potential).__name__}"
        )
    return potential


def charge_in_e(total_charge: Any) -> float:
    """Total charge in e, from a number or a Quantity."""
    value = total_charge
    if unit.is_quantity(value) and value.unit.is_compatible(unit.elementary_charge):
        value = value.value_in_unit(unit.elementary_charge)
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise ValueError(f"total_charge: expected a finite number in e, got {total_charge!r}")
    return float(value)


def tolerance_of(tolerance: Any) -> float | None:
    """A positive number, or None for the potential's own tolerance."""
    if tolerance is None:
        return None
    if (
        isinstance(tolerance, bool)
        or not isinstance(tolerance, Real)
        or not 0 < float(tolerance) < math.inf
    ):
        raise ValueError(
            f"tolerance: expected a positive number (eV/e and eV/Å) or None, got {tolerance!r}"
        )
    return float(tolerance)


def field_in_volt_per_angstrom(field: Any) -> tuple[float, float, float]:
    """Field (x, y, z) in V/Å, from three numbers in V/Å, a Quantity of three, or three
    Quantities."""
    values = _field_value(field) if unit.is_quantity(field) else field
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ValueError(f"field: expected three components (x, y, z) in V/Å, got {field!r}")
    components = [_field_value(value) if unit.is_quantity(value) else value for value in values]
    if len(components) != 3 or not all(
        isinstance(value, Real) and math.isfinite(value) for value in components
    ):
        raise ValueError(f"field: expected three finite numbers (x, y, z) in V/Å, got {field!r}")
    return float(components[0]), float(components[1]), float(components[2])


def _field_value(quantity: unit.Quantity) -> Any:
    """Value in V/Å; per particle or per mole of particles."""
    if quantity.unit.is_compatible(_FIELD):
        return quantity.value_in_unit(_FIELD)
    if quantity.unit.is_compatible(_MOLAR_FIELD):
        molar = np.asarray(quantity.value_in_unit(_MOLAR_FIELD), dtype=float)
        return (molar / KJ_PER_MOL_NM_PER_EV_PER_ANGSTROM).tolist()
    raise ValueError(
        f"field: expected an electric field, got units of {quantity.unit.get_name()}; give numbers "
        "in V/Å, or a Quantity "
        "with units such as unit.volt/unit.nanometer or "
        "unit.kilojoule_per_mole/unit.nanometer/unit.elementary_charge"
    )


def periodic_directions(
    periodic: Sequence[bool] | None, topology: app.Topology
) -> tuple[bool, bool, bool]:
    """Which box vectors are periodic.

    Default: as the structure file said (`topology.pq_pbc`, see `read_structure`), else all of them
    if the topology has a box.
    """
    if not isinstance(topology, app.Topology):
        raise ValueError(
            "topology: expected an openmm.app.Topology, such as read_structure(file) returns, got "
            f"{type(topology).__name__}"
        )
    box = topology.getPeriodicBoxVectors()
    if periodic is None:
        given = (
            getattr(topology, "pq_pbc", (True, True, True))
            if box is not None
            else (False, False, False)
        )
    else:
        given = tuple(periodic) if isinstance(periodic, Iterable) else ()
    if len(given) != 3 or not all(isinstance(value, bool | np.bool_) for value in given):
        raise ValueError(
            f"periodic: expected three booleans, one for each box vector, got {periodic!r}"
        )
    if any(given) and box is None:
        raise ValueError(
            "periodic: the topology has no box, so no direction can be periodic, got "
            f"{periodic!r}; "
            "set topology.setPeriodicBoxVectors, or leave periodic=None"
        )
    return bool(given[0]), bool(given[1]), bool(given[2])


def refuse_field_along_periodic(
    field: tuple[float, float, float], periodic: tuple[bool, bool, bool], box: Any
) -> None:
    """For coupling "full": a field must be perpendicular to every periodic box vector (nm,
    rows)."""
    if box is None or not any(periodic):
        return
    cell = torch.tensor(np.array(box.value_in_unit(unit.nanometer)), dtype=torch.float64)
    along = torch.tensor(field, dtype=torch.float64)
    if along_periodic(along, cell, torch.tensor(periodic)):
        raise ValueError(
            'field: coupling="full" moves charge along the field, which has no meaning along a '
            "periodic direction; "
            f'got field={field} with periodic={periodic}. Use coupling="shell", a field along a '
            "direction that is not periodic, "
            "or periodic=(...) to say which are"
        )


def check_terms(
    potential: Potential,
    total_charge: float,
    field: tuple[float, float, float],
    pbc: tuple[bool, bool, bool],
    groupings: Mapping[str, Any],
) -> None:
    """Charge, field, periodic directions, fragments and electrodes must mean something to the
    potential's terms."""
    if potential.pqeq is not None:
        potential.pqeq.check_periodicity(torch.tensor(pbc))
        return
    for name, value in (("total_charge", total_charge), ("field", field)):
        if np.any(value):
            raise ValueError(
                f"{name}: this potential has no charges (no PQEq term) to answer to "
                f"{name}={value}; leave it zero"
            )
    for name, value in groupings.items():
        if value is not None:
            raise ValueError(
                f"{name}: this potential has no charges (no PQEq term) to group; leave it None"
            )


def warn_of_quadratic_sums(
    potential: Potential, pbc: tuple[bool, bool, bool], n_atoms: int
) -> None:
    """A warning where charges of many atoms would be solved by a sum over all waves for every
    atom."""
    if (
        potential.pqeq is not None
        and potential.pqeq.protocol == "ewald"
        and any(pbc)
        and n_atoms > MANY_FOR_EWALD
    ):
        warnings.warn(
            f"protocol 'ewald' takes time with the square of the number of atoms, here {n_atoms}; "
            "'pme' gives the same charges and "
            "forces to the tolerance and is faster from a hundred atoms on: load(..., "
            "protocol='pme'), or --protocol pme",
            stacklevel=4,
        )


def model_atoms(
    topology: app.Topology, atoms: Sequence[int] | None, potential: Potential
) -> tuple[list[int], list[int] | None]:
    """Atomic numbers of the potential's atoms, and their indices in the topology (None: all
    atoms)."""
    particles = list(topology.atoms())
    if not particles:
        raise ValueError("topology: expected at least one atom, got none")
    indices = None if atoms is None else _indices(atoms, len(particles))
    chosen = particles if indices is None else [particles[index] for index in indices]
    nameless = [atom for atom in chosen if atom.element is None]
    if nameless:
        raise ValueError(
            f"topology: {len(nameless)} particles have no element (virtual sites, for example): "
            f"{names_of(nameless)}. The "
            "potential needs elements: pass atoms=[indices of the atoms it is for], or remove the "
            "particles"
        )
    numbers = [atom.element.atomic_number for atom in chosen]
    potential.check_elements(numbers)
    return numbers, indices


def _indices(atoms: Sequence[int], n_particles: int) -> list[int]:
    if not isinstance(atoms, Iterable) or isinstance(atoms, str):
        raise ValueError(f"atoms: expected indices of atoms in the topology, got {atoms!r}")
    indices = list(atoms)
    wrong = [
        index
        for index in indices
        if isinstance(index, bool | np.bool_) or not isinstance(index, Integral)
    ]
    if wrong:
        raise ValueError(
            f"atoms: expected integer indices, got {wrong[0]!r} (for a mask: "
            "numpy.flatnonzero(mask))"
        )
    if not indices:
        raise ValueError(
            "atoms: expected at least one index, got none (atoms=None means all atoms)"
        )
    outside = [index for index in indices if not 0 <= index < n_particles]
    if outside:
        raise ValueError(f"atoms: expected indices from 0 to {n_particles - 1}, got {outside[:5]}")
    values, counts = np.unique(indices, return_counts=True)
    if counts.max() > 1:
        raise ValueError(
            "atoms: expected each index once, got more than once: "
            f"{values[counts > 1][:5].tolist()}"
        )
    return [int(index) for index in indices]


def names_of(atoms: list[app.topology.Atom]) -> str:
    """The first few atoms, as a message names them."""
    shown = ", ".join(
        f"{atom.index} ({atom.name} of {atom.residue.name} {atom.residue.id})" for atom in atoms[:5]
    )
    return shown + (", ..." if len(atoms) > 5 else "")
