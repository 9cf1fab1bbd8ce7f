"""The picture of README and the home page, from what `make demo` leaves.

python docs/images/overview.py demo docs/images/overview.png

Left: one layer of the last frame seen along y, atoms coloured by their charge, shells shown by
arrows (along the dipole of each atom, enlarged). Right: the field, and the polarization along it and across.
"""

import argparse
from pathlib import Path

import h5py
import matplotlib
import mdtraj
import numpy as np
from matplotlib.figure import Figure

from openmm_pqeq.md.plot import read_table
from openmm_pqeq.report.plots import COLORS, GREY, TEXT, style

matplotlib.rcParams["font.size"] = 11
SIZES = {"Ba": 430.0, "Ti": 230.0, "O": 130.0}
ENLARGED = 4.0
"""How much longer than the shells' displacements the arrows are."""


MARGIN = 1.0
"""Å, by which planes of atoms are off the edges of the picture."""
LARGEST = 5.0
"""e, of the colours."""


def main() -> None:
    """Draw the picture of a run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of a run of BaTiO3")
    parser.add_argument("picture", type=Path, help="PNG file to write")
    options = parser.parse_args()
    figure = Figure(figsize=(12.0, 4.9), dpi=120, layout="constrained")
    crystal, right = figure.subfigures(1, 2, width_ratios=(1.0, 1.25))
    draw_crystal(crystal, options.run)
    draw_response(right, options.run)
    figure.savefig(options.picture)


def draw_crystal(figure: Figure, run: Path) -> None:
    """One layer of atoms of the last frame, coloured by charge."""
    frame = mdtraj.load(str(run / "trajectory.dcd"), top=str(run / "topology.pdb"))[-1]
    symbols = np.array([atom.element.symbol for atom in frame.topology.atoms])
    with h5py.File(run / "charges.h5") as file:
        charges, shells = file["charges"][-1], file["shells"][-1]
    cell, positions = 10 * frame.unitcell_lengths[0], 10 * frame.xyz[0]
    x, y, z = ((positions + MARGIN) % cell).T
    layer = y < cell[1] / 3  # one cell thick
    order = np.flatnonzero(layer)[np.argsort(-y[layer])]  # the nearest are drawn last
    ax = figure.subplots()
    drawn = ax.scatter(
        x[order],
        z[order],
        s=[SIZES[symbol] for symbol in symbols[order]],
        c=charges[order],
        cmap="coolwarm",
        vmin=-LARGEST,
        vmax=LARGEST,
        edgecolors="white",
        linewidths=0.8,
    )
    # electrons sit on the shells: the dipole points away from them
    ax.quiver(
        x[order],
        z[order],
        -ENLARGED * shells[order, 0],
        -ENLARGED * shells[order, 2],
        angles="xy",
        scale_units="xy",
        scale=1.0,
        width=0.004,
        color=TEXT,
    )
    for atom in order:
        ax.text(
            x[atom], z[atom], symbols[atom], ha="center", va="center", fontsize=7.5, color="white"
        )
    bar = figure.colorbar(drawn, ax=ax, shrink=0.75, pad=0.02)
    bar.set_label("charge of the atom (e)", color=TEXT)
    bar.outline.set_visible(False)
    ax.set_aspect("equal")
    ax.set_xlim(-0.5, cell[0] + 0.5)
    ax.set_ylim(-0.5, cell[2] + 1.0)
    ax.set_axis_off()
    ax.set_title(
        "Charges and dipoles of the atoms follow at every\nstep: a layer of 135 atoms of BaTiO$_3$",
        loc="left",
        color=TEXT,
        fontsize=12,
    )


def draw_response(figure: Figure, run: Path) -> None:
    """The field and the polarization against time."""
    table = read_table(run / "table.csv")
    time = table["time_ps"]
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(1.0, 1.6))
    top.plot(time, table["field_z_V_per_A"], color=COLORS[1], linewidth=2.0)
    top.set_ylabel("field $F_z$\n(V/Å)", color=TEXT)
    top.set_title(
        "An electric field that swings, and the crystal that follows",
        loc="left",
        color=TEXT,
        fontsize=12,
    )
    for axis in "xy":
        across = table[f"polarization_{axis}_uC_per_cm2"]
        bottom.plot(
            time, across, color=GREY, linewidth=0.9, label="$P_x$, $P_y$: across" * (axis == "x")
        )
    along = table["polarization_z_uC_per_cm2"]
    bottom.plot(time, along, color=COLORS[0], linewidth=2.0, label="$P_z$: along the field")
    bottom.set_ylabel("change of\npolarization (µC/cm²)", color=TEXT)
    bottom.set_xlabel("time (ps)", color=TEXT)
    bottom.legend(frameon=False, fontsize=9.5, labelcolor=TEXT, loc="upper right", ncols=2)
    low, high = bottom.get_ylim()
    bottom.set_ylim(low, high + 0.2 * (high - low))
    for ax in (top, bottom):
        style(ax)
    figure.align_ylabels([top, bottom])


if __name__ == "__main__":
    main()
