"""`openmm-pqeq analyze`: infrared spectrum and static dielectric constant from the dipole that a
run has written."""

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from openmm_pqeq.analysis.infrared import WINDOWS
from openmm_pqeq.jobs import values
from openmm_pqeq.jobs.folder import made

HELP = "Infrared spectrum or static dielectric constant from the dipole or polarization of a run."

EPILOG = """examples:
  openmm-pqeq analyze infrared out --skip 1ps                     out is the folder of a run; reads its table.csv
  openmm-pqeq analyze infrared dipole.csv --temperature 300       a file of DipoleReporter
  openmm-pqeq analyze infrared dipole.csv --temperature 300 --volume 1828 --longest-lag 0.5ps
  openmm-pqeq analyze dielectric out --skip 10ps --eps-inf 4.9
  openmm-pqeq analyze dielectric up down --skip 5ps --eps-inf 4.9   two runs from one structure in opposite fields

The polarization is used where the file has it (crystals, liquids), else the dipole (molecules). ε∞ comes from
openmm-pqeq energy FILE --model MODEL --response. Plots and tables are written beside the input, or into --output."""


VECTORS = ("field_{}_V_per_A", "dipole_{}_eA")
"""Columns that a file must have of each direction."""
OTHERS = {"infrared": ("eps_inf", "blocks"), "dielectric": ("longest_lag", "window")}
"""Flags that belong to the other analysis."""
_epsilon = values.within(values.positive, 1e-3, 1e6)


class Series(NamedTuple):
    """What a file says.

    times : (n,) ps, at equal intervals
    dipole : (n, 3) e Å; volume times polarization where there is a volume
    field : (3,) V/Å
    volume : Å³, its mean; None for molecules
    temperature : K, its mean, or None
    """

    times: NDArray[np.float64]
    dipole: NDArray[np.float64]
    field: NDArray[np.float64]
    volume: float | None
    temperature: float | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to compute, and from what."""
    parser.add_argument("what", metavar="{infrared,dielectric}", help="which analysis")
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="folder of a run, its table.csv, or a file of DipoleReporter",
    )
    parser.add_argument(
        "--temperature", metavar="T", help="K (default: the mean of the file's, where it has one)"
    )
    parser.add_argument(
        "--volume", metavar="V", help="volume of the cell, Å³ (default: the mean of the file's)"
    )
    parser.add_argument(
        "--skip",
        metavar="TIME",
        default="0",
        help="leave out the beginning, such as 1ps (default: nothing)",
    )
    parser.add_argument(
        "--longest-lag",
        metavar="TIME",
        help="infrared: length of the window (default: a tenth of the series)",
    )
    parser.add_argument(
        "--window",
        metavar="{" + ",".join(WINDOWS) + "}",
        help="infrared (default: hann)",
    )
    parser.add_argument(
        "--eps-inf", metavar="E", help="dielectric: the electrons' own constant ε∞ (default: 1)"
    )
    parser.add_argument(
        "--blocks",
        metavar="N",
        help="dielectric: blocks for the standard error (default: 5)",
    )
    parser.add_argument(
        "--output", "-o", metavar="FOLDER", help="where to write (default: beside the input)"
    )


def command(options: argparse.Namespace) -> int:
    """Analyse, print and plot."""
    analyses = {"infrared": _infrared, "dielectric": _dielectric}
    what = values.choice(*analyses)("analyze", options.what)
    allowed = 1 if what == "infrared" else 2
    if len(options.files) > allowed:
        raise ValueError(f"files: expected at most {allowed} for {what}, got {len(options.files)}")
    for name in OTHERS[what]:
        if getattr(options, name) is not None:
            flag = name.replace("_", "-")
            raise ValueError(f"--{flag}: means nothing for {what}; leave it away")
    skip = values.picoseconds_or_zero("skip", options.skip)
    series = [_read(Path(name), skip, options) for name in options.files]
    first = Path(options.files[0])
    folder = Path(options.output) if options.output else first if first.is_dir() else first.parent
    made(folder)
    analyses[what](series, folder, options)
    return 0


def _read(path: Path, skip: float, options: argparse.Namespace) -> Series:
    from openmm_pqeq.md.plot import read_table
    from openmm_pqeq.units import E_PER_SQUARE_ANGSTROM_IN_MICROCOULOMB_PER_SQUARE_CM

    path = path / "table.csv" if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(
            f"file: {path} does not exist; expected the folder of a run, or a file of "
            "DipoleReporter"
        )
    columns = read_table(path)
    vectors = [f"{name.format(axis)}" for name in VECTORS for axis in "xyz"]
    if missing := [name for name in ("time_ps", *vectors) if name not in columns]:
        raise ValueError(
            f"file: {path} has no column {missing[0]}; expected table.csv or a file of "
            "DipoleReporter"
        )
    if strange := [name for name, column in columns.items() if not np.isfinite(column).all()]:
        raise ValueError(f"file: {path}, column {strange[0]}: expected finite numbers")
    chosen = columns["time_ps"] >= skip
    columns = {name: column[chosen] for name, column in columns.items()}
    times = columns["time_ps"]
    steps = np.diff(times)
    if len(times) < 9 or not 0 <= np.ptp(steps) < 1e-3 * steps.mean():
        raise ValueError(
            f"file: {path} has {len(times)} rows after --skip; expected at least 9, at equal "
            "intervals of time"
        )
    field = np.stack([columns[f"field_{axis}_V_per_A"] for axis in "xyz"], axis=1)
    if np.ptp(field, axis=0).max() > 1e-12:
        raise ValueError(
            f"file: {path} has a field that changes with time; these analyses are for a constant "
            "field or none"
        )
    temperature = _setting("temperature", options.temperature, columns.get("temperature_K"), 1e6)
    volume = _setting("volume", options.volume, columns.get("volume_A3"), 1e12)
    if "polarization_x_uC_per_cm2" in columns:
        if volume is None:
            raise ValueError(f"volume: {path} has polarizations and no volume; give --volume (Å³)")
        volumes = columns["volume_A3"][:, None] if options.volume is None else volume
        polarization = np.stack(
            [columns[f"polarization_{axis}_uC_per_cm2"] for axis in "xyz"], axis=1
        )
        dipole = volumes * polarization / E_PER_SQUARE_ANGSTROM_IN_MICROCOULOMB_PER_SQUARE_CM
    else:
        dipole = np.stack([columns[f"dipole_{axis}_eA"] for axis in "xyz"], axis=1)
    return Series(times, dipole, field[0], volume, temperature)


def _setting(
    name: str, given: str | None, column: NDArray[np.float64] | None, most: float
) -> float | None:
    if given is not None:
        return values.within(values.positive, 1e-6, most)(name, given)
    return None if column is None else float(column.mean())


def _known_temperature(series: Series) -> float:
    if series.temperature is None:
        raise ValueError("temperature: the file has none; give --temperature (K)")
    return series.temperature


def _known_volume(series: Series) -> float:
    if series.volume is None:
        raise ValueError(
            "volume: a dielectric constant needs one, and the file has none; give --volume (Å³)"
        )
    return series.volume


def _infrared(series: list[Series], folder: Path, options: argparse.Namespace) -> None:
    from openmm_pqeq.analysis import infrared
    from openmm_pqeq.report.plots import Curve, Panel, plot_panels

    (given,) = series
    lag = (
        None
        if options.longest_lag is None
        else values.picoseconds("longest_lag", options.longest_lag)
    )
    interval = float(np.diff(given.times).mean())
    temperature = _known_temperature(given)
    found = infrared.spectrum_from_dipole(
        given.dipole, interval, temperature, given.volume, lag, options.window or "hann"
    )
    table = np.column_stack([found.wavenumbers, found.isotropic, found.components])
    header = "wavenumber_per_cm,absorption,absorption_x,absorption_y,absorption_z"
    np.savetxt(
        folder / "infrared.csv", table, delimiter=",", header=header, comments="", fmt="%.6g"
    )
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
    plot_panels(
        found.wavenumbers[shown], "wavenumber (cm⁻¹)", panels, "Infrared spectrum", note
    ).savefig(folder / "infrared.png")
    print(
        f"{length}, {temperature:.1f} K, resolution {found.resolution:.1f} cm⁻¹, up to "
        f"{found.wavenumbers[-1]:.0f} cm⁻¹"
    )
    for wavenumber, height in infrared.peaks(found):
        print(f"  peak at {wavenumber:8.1f} cm⁻¹, {height:10.4g} {found.unit}")
    print(f"table {folder / 'infrared.csv'}, plot {folder / 'infrared.png'}")


def _dielectric(series: list[Series], folder: Path, options: argparse.Namespace) -> None:
    from openmm_pqeq.analysis import dielectric
    from openmm_pqeq.report.plots import Curve, Panel, plot_panels

    infinite = 1.0 if options.eps_inf is None else _epsilon("eps_inf", options.eps_inf)
    blocks = values.positive_count("blocks", options.blocks or "5")
    remark = "" if options.eps_inf else "  (ε∞ = 1 assumed: --eps-inf)"
    if len(series) == 2:
        plus, minus = series
        if np.abs(plus.field + minus.field).max() > 1e-9 or not plus.field.any():
            raise ValueError(
                f"files: expected runs in opposite fields, got {plus.field.tolist()} and "
                f"{minus.field.tolist()} V/Å"
            )
        polarizations = [each.dipole / _known_volume(each) for each in series]
        response = dielectric.static_from_fields(
            polarizations[0], polarizations[1], plus.field, infinite, blocks
        )
        print(f"fields ±({', '.join(f'{value:g}' for value in plus.field)}) V/Å{remark}")
        for axis, value, error in zip("xyz", response.column, response.error):
            print(f"  ε along {axis}  {value:10.3f} ± {error:.3f}")
        return
    (given,) = series
    temperature, volume = _known_temperature(given), _known_volume(given)
    found = dielectric.static_from_fluctuations(given.dipole, volume, temperature, infinite, blocks)
    print(f"{len(given.times)} moments, {temperature:.1f} K, {volume:.1f} Å³{remark}")
    print(
        f"  static dielectric constant  {found.isotropic:.3f} ± {found.isotropic_error:.3f}  (mean "
        "over directions)"
    )
    for axis, row, errors in zip("xyz", found.tensor, found.tensor_error):
        print(
            f"  {axis}  "
            + "  ".join(f"{value:10.3f} ± {error:.3f}" for value, error in zip(row, errors))
        )
    running = dielectric.running_static(given.dipole, volume, temperature, infinite)
    moments = given.dipole - given.dipole.mean(axis=0)
    panels = [
        Panel(
            "Static dielectric constant, from the series up to here",
            "ε",
            [Curve("", running)],
            (found.isotropic, "all"),
        ),
        Panel(
            "Dipole, from its mean",
            "ΔM (e Å)",
            [Curve(f"$M_{axis}$", moments[:, i]) for i, axis in enumerate("xyz")],
        ),
    ]
    note = (
        f"{temperature:.0f} K, {volume:.0f} Å³, ε∞ = {infinite:g}; "
        f"standard error {found.isotropic_error:.2g} from {blocks} blocks."
    )
    figure = plot_panels(
        given.times,
        "time (ps)",
        panels,
        f"ε = {found.isotropic:.2f} ± {found.isotropic_error:.2f}",
        note,
    )
    figure.savefig(folder / "dielectric.png")
    print(f"plot {folder / 'dielectric.png'}")
