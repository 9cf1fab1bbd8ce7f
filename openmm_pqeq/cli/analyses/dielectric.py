"""`openmm-pqeq analyze dielectric`: the static dielectric constant from the dipole of a run."""

import argparse
from pathlib import Path

import numpy as np

from openmm_pqeq.cli.analyses.series import (
    add_series,
    all_series,
    known_temperature,
    known_volume,
)
from openmm_pqeq.jobs import values
from openmm_pqeq.jobs.files import whole

HELP = "Static dielectric constant from the dipole or polarization of a run."

EPILOG = """examples:
  openmm-pqeq analyze dielectric out --skip 10ps --eps-inf 4.9
  openmm-pqeq analyze dielectric up down --skip 5ps --eps-inf 4.9   two runs from one structure in opposite fields

ε∞ comes from openmm-pqeq energy FILE --model MODEL --response. dielectric.png is written beside the input, or into --output."""


_epsilon = values.within(values.positive, 1e-3, 1e6)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The dipole, and what else the constant needs."""
    add_series(parser, several=True)
    parser.add_argument(
        "--eps-inf", metavar="E", help="the electrons' own constant ε∞ (default: 1)"
    )
    parser.add_argument(
        "--blocks", metavar="N", default="5", help="for the standard error (default: 5)"
    )


def command(options: argparse.Namespace, folder: Path) -> None:
    """Constant with its error, and a plot; of one run or of two in opposite fields."""
    from openmm_pqeq.analysis import dielectric
    from openmm_pqeq.report.plots import Curve, Panel, plot_panels

    infinite = 1.0 if options.eps_inf is None else _epsilon("eps_inf", options.eps_inf)
    blocks = values.positive_count("blocks", options.blocks)
    remark = "" if options.eps_inf else "  (ε∞ = 1 assumed: --eps-inf)"
    series = all_series(options, 2)
    if len(series) == 2:
        plus, minus = series
        if np.abs(plus.field + minus.field).max() > 1e-9 or not plus.field.any():
            raise ValueError(
                f"files: expected runs in opposite fields, got {plus.field.tolist()} and "
                f"{minus.field.tolist()} V/Å"
            )
        polarizations = [each.dipole / known_volume(each) for each in series]
        response = dielectric.static_from_fields(
            polarizations[0], polarizations[1], plus.field, infinite, blocks
        )
        print(f"fields ±({', '.join(f'{value:g}' for value in plus.field)}) V/Å{remark}")
        for axis, value, error in zip("xyz", response.column, response.error):
            print(f"  ε along {axis}  {value:10.3f} ± {error:.3f}")
        return
    (given,) = series
    temperature, volume = known_temperature(given), known_volume(given)
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
    with whole(folder / "dielectric.png") as part:
        figure.savefig(part, format="png")
    print(f"plot {folder / 'dielectric.png'}")
