"""`openmm-pqeq energy`: one structure evaluated, as a table or as JSON."""

import argparse
import json
import math
import warnings
from contextlib import ExitStack
from typing import Any

import numpy as np

from openmm_pqeq.cli import responses
from openmm_pqeq.cli.at_rest import AtRest, atoms_at_rest
from openmm_pqeq.jobs import values
from openmm_pqeq.jobs.folder import owned_file
from openmm_pqeq.jobs.settings import add_flags, configured, flags_given

HELP = "Energy, forces, charges, dipole and stress of one structure."

EPILOG = """examples:
  openmm-pqeq energy BaTiO3.cif --model batio3
  openmm-pqeq energy BaTiO3.cif --model batio3 --supercell 2 2 2 --field 0 0 0.01
  openmm-pqeq energy BaTiO3.cif --model batio3 --response --born-file BORN
  openmm-pqeq energy brine.xyz --model model.pt --coupling fragment --fragment-charges NA=1 CL=-1
  openmm-pqeq energy BaTiO3.cif --model batio3 --json > BaTiO3.json

JSON has energy, energy_terms (eV), forces (n, 3) eV/Å, stress (xx, yy, zz, yz, xz, xy) eV/Å³, charges (n) e, shells (n, 3) Å and
dipole (3) e Å, and file: sentences on what was taken from the structure file beside atoms and cell; with --response also
polarizability (3, 3) e²Å²/eV, born_charges (n, 3, 3) e [atom, field, force] and, in a crystal, dielectric_constant (3, 3), the
electrons' own ε∞. Everything is in the orientation of the structure file, computed in double precision. Forces on fixed atoms
are shown as they are."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The structure and how to evaluate it."""
    parser.add_argument("structure", metavar="FILE", help="structure file, anything ASE reads")
    parser.add_argument(
        "--index",
        metavar="I",
        default="-1",
        help="which structure of a file with several (default: -1, the last)",
    )
    add_flags(parser, AtRest)
    group = parser.add_argument_group("output")
    group.add_argument("--json", action="store_true", help="print everything as JSON")
    group.add_argument(
        "--response", action="store_true", help="polarizability, ε∞ and Born charges as well"
    )
    group.add_argument(
        "--born-file",
        metavar="BORN",
        help="write ε∞ and Born charges for phonopy, their sum set to zero; implies --response. Where "
        "charges flow freely they are those of a uniform field alone, and the model's own forces "
        "split no longitudinal and transverse phonons",
    )
    group.add_argument(
        "--overwrite", action="store_true", help="replace the file of --born-file if it exists"
    )


def command(options: argparse.Namespace) -> int:
    """Evaluate, print, and write what was asked for."""
    settings = configured(AtRest, flags_given(AtRest, options))
    index = values.integer("index", options.index)
    with ExitStack() as owned:
        if options.born_file is not None:
            path = values.path("born_file", options.born_file)
            inputs = [options.structure, options.model]
            owned.enter_context(owned_file(path, "energy", options.overwrite, "born_file", inputs))
        atoms, notes = atoms_at_rest(options.structure, settings, index)
        results = {"model": options.model, "symbols": atoms.get_chemical_symbols()}
        results |= {"field": settings.field, "file": notes}
        results |= _evaluated(atoms, options.response or options.born_file is not None)
        if options.json:
            print(json.dumps({name: _plain(value) for name, value in results.items()}))
        else:
            _print(results, atoms.get_chemical_formula(), bool(atoms.pbc.any()))
        if options.born_file is not None:
            responses.write_born_file(options.born_file, atoms, results, options.overwrite)
    return 0


def _evaluated(atoms: Any, response: bool) -> dict[str, Any]:
    """What the model says, by the names of the JSON."""
    results: dict[str, Any] = {"energy": atoms.get_potential_energy()}
    results["forces"] = atoms.get_forces(apply_constraint=False)
    if atoms.pbc.all():
        results["stress"] = atoms.get_stress(apply_constraint=False)
    results["energy_terms"] = atoms.calc.results["energy_terms"]
    if atoms.calc.potential.pqeq is not None:
        results |= _charges(atoms)
    return results | (responses.of(atoms) if response else {})


def _plain(value: Any) -> Any:
    """Arrays as lists, for JSON."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value


def _charges(atoms: Any) -> dict[str, Any]:
    """Charges, shells and dipole; none, and a warning why, where the energy could do without them."""
    calculator, names = atoms.calc, ("charges", "shells", "dipole")
    try:
        return {name: calculator.get_property(name, atoms) for name in names}
    except (ValueError, RuntimeError) as error:
        warnings.warn(f"no charges: {error}", stacklevel=2)
        return {}


def _print(results: dict[str, Any], formula: str, periodic: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    from openmm_pqeq.units import EV_PER_CUBIC_ANGSTROM_IN_GPA

    console = Console(highlight=False, markup=False)
    n_atoms = len(results["symbols"])
    table = Table(
        title=f"{formula}, model {results['model']}",
        title_justify="left",
        box=None,
        show_header=False,
        pad_edge=False,
    )
    table.add_column(style="bold", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column()

    def row(name: str, value: str, unit: str) -> None:
        table.add_row(name, value, unit)

    for note in results["file"]:
        row("file", "", note)
    row("energy", f"{results['energy']:.6f}", "eV")
    row("  per atom", f"{results['energy'] / n_atoms:.6f}", "eV")
    for name, value in results.get("energy_terms", {}).items():
        row(f"  {name}", f"{value:.6f}", "eV")
    forces = np.linalg.norm(results["forces"], axis=1)
    row(
        "largest force",
        f"{forces.max():.6f}",
        f"eV/Å, atom {int(forces.argmax())} ({results['symbols'][int(forces.argmax())]})",
    )
    row(
        "RMS force component",
        f"{math.sqrt(float(np.mean(np.square(results['forces'])))):.6f}",
        "eV/Å",
    )
    if "stress" in results:
        stress = results["stress"] * EV_PER_CUBIC_ANGSTROM_IN_GPA
        row(
            "stress xx yy zz",
            " ".join(f"{round(value, 4) + 0.0:.4f}" for value in stress[:3]),
            "GPa",
        )
        row(
            "stress yz xz xy",
            " ".join(f"{round(value, 4) + 0.0:.4f}" for value in stress[3:]),
            "GPa",
        )
        row("pressure", f"{-stress[:3].mean():.4f}", "GPa")
    if "charges" in results:
        row("field", " ".join(f"{value:g}" for value in results["field"]), "V/Å")
        note = "e Å, at the file's images" if periodic else "e Å"
        row("dipole", " ".join(f"{value:.4f}" for value in results["dipole"]), note)
        symbols = np.array(results["symbols"])
        for symbol in sorted(set(results["symbols"])):
            q = results["charges"][symbols == symbol]
            row(f"charge of {symbol}", f"{q.mean():.4f}", f"e ({q.min():.4f} to {q.max():.4f})")
    if "born_charges" in results:
        for name, value, unit in responses.rows(results):
            row(name, value, unit)
    console.print(table)
