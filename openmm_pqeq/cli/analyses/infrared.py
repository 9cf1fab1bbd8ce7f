"""`openmm-pqeq analyze infrared`: the infrared spectrum from the dipole of a run."""

import argparse
from pathlib import Path

import numpy as np

from openmm_pqeq.analysis.infrared import WINDOWS
from openmm_pqeq.cli.analyses.series import add_series, all_series, known_temperature
from openmm_pqeq.jobs import quantities
from openmm_pqeq.jobs.files import whole

HELP = "Infrared spectrum from the dipole or polarization of a run."

EPILOG = """examples:
  openmm-pqeq analyze infrared out --skip 1ps                     out is the folder of a run; reads its table.csv
  openmm-pqeq analyze infrared dipole.csv --temperature 300       a file of DipoleReporter
  openmm-pqeq analyze infrared dipole.csv --temperature 300 --volume 1828 --longest-lag 0.5ps

The polarization is used where the file has it (crystals, liquids), else the dipole (molecules). infrared.csv and infrared.png are
written beside the input, or into --output."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The dipole, and how its spectrum is taken."""
    add_series(parser)
    parser.add_argument(
        "--longest-lag",
        metavar="TIME",
        help="length of the window (default: a tenth of the series)",
    )
    parser.add_argument(
        "--window", metavar="{" + ",".join(WINDOWS) + "}", default="hann", help="(default: hann)"
    )


def command(options: argparse.Namespace, folder: Path) -> None:
    """Spectrum, table, plot."""
    from openmm_pqeq.analysis import infrared
    from openmm_pqeq.report.plots import Curve, Panel, plot_panels

    (given,) = all_series(options, 1)
    lag = (
        None
        if options.longest_lag is None
        else quantities.picoseconds("longest_lag", options.longest_lag)
    )
    interval = float(np.diff(given.times).mean())
    temperature = known_temperature(given)
    found = infrared.spectrum_from_dipole(
        given.dipole, interval, temperature, given.volume, lag, options.window
    )
    table = np.column_stack([found.wavenumbers, found.isotropic, found.components])
    header = "wavenumber_per_cm,absorption,absorption_x,absorption_y,absorption_z"
    with whole(folder / "infrared.csv") as part:
        np.savetxt(part, table, delimiter=",", header=header, comments="", fmt="%.6g")
    covered = np.cumsum(np.abs(found.isotropic))
    shown = slice(0, int(np.searchsorted(covered, 0.998 * covered[-1])) + 2)
    quantity = "absorption × refractive index" if given.volume is not None else "molar absorption"
    curves = [Curve(f"along {axis}", found.components[shown, i]) for i, axis in enumerate("xyz")]
    label = f"{quantity}\n({found.unit})"
    panels = [
        Panel("Mean over directions", label, [Curve("", found.isotropic[shown])]),
        Panel("Light polarized along", label, curves),
    ]
    length = f"{given.times[-1] - given.times[0]:g} ps, every {1000 * interval:g} fs"
    note = f"{temperature:.0f} K, {length}; resolution {found.resolution:.0f} cm⁻¹; classical with harmonic quantum correction."
    figure = plot_panels(
        found.wavenumbers[shown], "wavenumber (cm⁻¹)", panels, "Infrared spectrum", note
    )
    with whole(folder / "infrared.png") as part:
        figure.savefig(part, format="png")
    print(
        f"{length}, {temperature:.1f} K, resolution {found.resolution:.1f} cm⁻¹, up to "
        f"{found.wavenumbers[-1]:.0f} cm⁻¹"
    )
    for wavenumber, height in infrared.peaks(found):
        print(f"  peak at {wavenumber:8.1f} cm⁻¹, {height:10.4g} {found.unit}")
    print(f"table {folder / 'infrared.csv'}, plot {folder / 'infrared.png'}")
