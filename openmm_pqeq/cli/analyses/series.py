"""The dipole that a run has written, as analyses read it."""

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from openmm_pqeq.jobs import quantities, values

VECTORS = ("field_{}_V_per_A", "dipole_{}_eA")
"""Columns that a file must have of each direction."""


class Series(NamedTuple):
    """Columns of a file, by name.

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


def add_series(parser: argparse.ArgumentParser, several: bool = False) -> None:
    """The input that analyses of a dipole share."""
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="folder of a run, its table.csv, or a file of DipoleReporter"
        + ("; two of them for runs in opposite fields" if several else ""),
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
        "--output", "-o", metavar="FOLDER", help="where to write (default: beside the input)"
    )


def all_series(options: argparse.Namespace, most: int) -> list[Series]:
    """The series of the files named, at most so many."""
    if len(options.files) > most:
        raise ValueError(f"files: expected at most {most}, got {len(options.files)}")
    skip = quantities.picoseconds_or_zero("skip", options.skip)
    return [read_series(Path(name), skip, options) for name in options.files]


def read_series(path: Path, skip: float, options: argparse.Namespace) -> Series:
    """The series in a file, from `skip` ps on; temperature and volume from the command line where
    they are given."""
    from openmm_pqeq.md.plot import read_table
    from openmm_pqeq.units import E_PER_SQUARE_ANGSTROM_IN_MICROCOULOMB_PER_SQUARE_CM

    path = path / "table.csv" if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(
            f"file: {path} does not exist; expected the folder of a run, or a file of "
            "DipoleReporter"
        )
    columns = read_table(path)
    vectors = [name.format(axis) for name in VECTORS for axis in "xyz"]
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
    temperature = setting_or_mean(
        "temperature", options.temperature, columns.get("temperature_K"), 1e6
    )
    volume = setting_or_mean("volume", options.volume, columns.get("volume_A3"), 1e12)
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


def setting_or_mean(
    name: str, given: str | None, column: NDArray[np.float64] | None, most: float
) -> float | None:
    """A setting from the command line, or else the mean of the file's column, or None."""
    if given is not None:
        return values.within(values.positive, 1e-6, most)(name, given)
    return None if column is None else float(column.mean())


def known_temperature(series: Series) -> float:
    """K; ValueError where there is none."""
    if series.temperature is None:
        raise ValueError("temperature: the file has none; give --temperature (K)")
    return series.temperature


def known_volume(series: Series) -> float:
    """Å³; ValueError where there is none."""
    if series.volume is None:
        raise ValueError(
            "volume: a dielectric constant needs one, and the file has none; give --volume (Å³)"
        )
    return series.volume
