"""Fragments and electrodes that somebody wants, as the groups of atoms that share their charge."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from openmm_pqeq.pqeq import Groups, electrodes_of, fragments_of, groups_of
from openmm_pqeq.wanted import Known, Molecule, Wanted


def groups_wanted(wanted: Wanted, known: Known, total_charge: float) -> Groups | None:
    """Fragments and electrodes; molecules are those of the atoms that no electrode holds."""
    if wanted.coupling != "fragment" and not wanted.electrodes and not wanted.fragments:
        return None
    plates = electrodes_of(wanted.electrodes, known.n_atoms)
    if wanted.coupling is None:
        return _metals_among_bonds(wanted, known, total_charge)
    fragments, charges = fragments_of(wanted.fragments), wanted.fragment_charges
    if wanted.coupling == "fragment" and wanted.fragments is None:
        held = {atom for atoms, _ in plates for atom in atoms}
        molecules = known.molecules([atom for atom in range(known.n_atoms) if atom not in held])
        fragments = [molecule.atoms for molecule in molecules]
        charges = _charges_of_molecules(molecules, charges)
    elif isinstance(charges, Mapping):
        raise ValueError(
            "fragment_charges: with explicit fragments, expected a list with one charge for each, "
            "got a mapping"
        )
    return groups_of(known.n_atoms, fragments, charges, plates or None, total_charge)


def _metals_among_bonds(wanted: Wanted, known: Known, total_charge: float) -> Groups:
    """Of charges by bonds: all bonded atoms, the metals that float (`fragments`), and the electrodes."""
    metals, charges = fragments_of(wanted.fragments), wanted.fragment_charges
    if isinstance(charges, Mapping):
        raise ValueError(
            "fragment_charges: beside charges by bonds fragments are metals, expected a list with one "
            "charge for each, got a mapping"
        )
    plates = electrodes_of(wanted.electrodes, known.n_atoms)
    if not metals:
        charges = None
    given = [0.0] * len(metals) if charges is None else list(charges)
    held = {atom for atoms in (*metals, *(atoms for atoms, _ in plates)) for atom in atoms}
    bonded = [atom for atom in range(known.n_atoms) if atom not in held]
    if bonded:
        metals = [bonded, *metals]
        given = [0.0 if plates else total_charge - sum(given), *given]
    floating = len(metals) - bool(bonded)
    return groups_of(known.n_atoms, metals, given, plates or None, total_charge, metals=floating)


def _charges_of_molecules(molecules: list[Molecule], charges: Any) -> Any:
    """One charge for each molecule: a list as it is, or by names. A lone atom is an ion whose
    charge nobody has said, unless somebody has."""
    if charges is not None and not isinstance(charges, Mapping):
        return charges
    if charges is None:
        lone = Counter(molecule.name for molecule in molecules if len(molecule.atoms) == 1)
        if lone:
            raise ValueError(
                f"fragment_charges: {sum(lone.values())} atoms are bonded to nothing and would be "
                "neutral fragments of their own: "
                f"{', '.join(f'{count} of {name}' for name, count in lone.items())}. Give their "
                "charges by residue, such as {'NA': 1, 'CL': -1} (--fragment-charges NA=1 CL=-1), "
                "or {} for zero; a molecule needs bonds, or atoms that are close enough"
            )
        return None
    names = [molecule.name for molecule in molecules]
    if unknown := sorted(set(charges) - set(names)):
        raise ValueError(
            f"fragment_charges: no fragment is of a residue {unknown[0]!r}; there are "
            f"{', '.join(sorted(set(names)))}"
        )
    return [charges.get(name, 0.0) for name in names]
