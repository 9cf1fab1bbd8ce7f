"""`openmm-pqeq analyze phonons`: phonon bands and density of states of a crystal."""

import argparse
from pathlib import Path

from openmm_pqeq.cli.analyses.outcome import Outcome, Value, write_outcome
from openmm_pqeq.cli.analyses.structure import (
    add_structure,
    crystal_of,
    force_of,
    say_what_is_not_relaxed,
)
from openmm_pqeq.jobs import values

HELP = "Phonon bands and density of states of a relaxed crystal, by phonopy."

EPILOG = """examples:
  openmm-pqeq analyze phonons relaxed/relaxed.cif --model sevennet-0 --supercell 3 3 3
  openmm-pqeq energy BaTiO3.cif --model batio3 --born-file BORN
  openmm-pqeq analyze phonons BaTiO3.cif --model batio3 --supercell 2 2 2 --born BORN

Force constants are those of the supercell. phonons.json and phonons.png are written beside the input, or into --output. Needs
phonopy: pip install openmm-pqeq[analysis]."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The crystal, the displacement, the Born charges."""
    add_structure(parser)
    parser.add_argument(
        "--displacement", default="0.01", metavar="D", help="Å, of an atom (default: 0.01)"
    )
    parser.add_argument("--born", metavar="BORN", help="file of ε∞ and Born charges, as phonopy's")
    parser.add_argument(
        "--mesh", default="20", metavar="N", help="points along each axis of q (default: 20)"
    )


def command(options: argparse.Namespace, folder: Path) -> None:
    """Bands, density of states, frequencies at Γ."""
    from openmm_pqeq.analysis import phonons
    from openmm_pqeq.report.graphs import Graph, Line, plot_graphs

    displacement = values.within(values.positive, 1e-4, 0.5, "Å")(
        "displacement", options.displacement
    )
    mesh = values.within(values.positive_count, 1, 200)("mesh", options.mesh)
    supercell = values.cells("supercell", options.supercell)
    if options.born is not None and not Path(options.born).is_file():
        raise FileNotFoundError(f"born: {options.born} does not exist; expected phonopy's BORN")
    atoms = crystal_of(options, (1, 1, 1))
    say_what_is_not_relaxed(atoms, force_of(options))
    work = phonons.phonons_of(atoms, supercell, displacement, options.born)
    found, density = phonons.bands(work), phonons.density_of_states(work, (mesh, mesh, mesh))
    center = phonons.frequencies(work, [0.0, 0.0, 0.0])[0]
    residual, lowest = phonons.acoustic_error(work), float(found.frequencies.min())
    print(
        f"{atoms.get_chemical_formula()}, {len(work.supercells_with_displacements)} displaced supercells"
    )
    results = {
        "acoustic frequencies at Γ, which should be zero": Value(residual, None, "cm⁻¹"),
        "lowest frequency (negative: imaginary)": Value(lowest, None, "cm⁻¹"),
        "highest frequency": Value(float(found.frequencies.max()), residual, "cm⁻¹"),
    }
    for k, value in enumerate(sorted(center.tolist())):
        results[f"mode {k + 1} at Γ"] = Value(value, residual, "cm⁻¹")
    if lowest < -5 * max(residual, 1.0):
        print("  there are imaginary frequencies: this crystal is not at a minimum of its energy")
    modes = [Line("", found.distances, column) for column in found.frequencies.T]
    graphs = [
        Graph("Bands", "", "cm⁻¹", modes, places=found.labels),
        Graph("Density of states", "cm⁻¹", "modes by cm⁻¹", [Line("", density.wavenumbers, density.density)]),
    ]  # fmt: skip
    note = f"{atoms.get_chemical_formula()}, model {options.model}, supercell {supercell}, {displacement:g} Å."
    figure = plot_graphs(graphs, f"Phonons up to {found.frequencies.max():.0f} cm⁻¹", note)
    columns = {
        "distance along the path (1/Å)": found.distances,
        "frequencies (cm⁻¹)": found.frequencies,
        "wavenumber (cm⁻¹)": density.wavenumbers,
        "density of states (modes by cm⁻¹)": density.density,
    }
    settings = {
        "model": options.model,
        "supercell": supercell,
        "born": options.born,
        "path": _path(found.labels),
    }
    outcome = Outcome(settings, results, columns, figure)
    write_outcome(folder, "phonons", outcome)


def _path(labels: list[tuple[float, str]]) -> str:
    """The points of the path, in order."""
    return " – ".join(name for _, name in labels)
