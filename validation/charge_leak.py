"""Charge that leaks between distant molecules: what charge equilibration does, and what it does in
a field.

    python validation/charge_leak.py [--output charge_leak.png]

Protocol `direct`, set `reaxnet`. Two waters, the second one turned, and Na–Cl, pulled apart along x
from 2.8 to 100 Å: the charge of the first molecule or ion, with and without 0.25 V/Å along x.
`shell` and `full` are one and the same without a field. All atoms share one chemical potential, so
charges of distant fragments follow electronegativities and the field instead of chemistry: without
a field Na keeps a fraction of a charge at any distance (equal molecules go to zero), in a field the
charge grows in proportion to the distance with `full`. `fragment` holds the charge of each molecule
or ion.
"""

import argparse
import inspect
from pathlib import Path

import ase
import ase.build
import matplotlib as mpl
import numpy as np

import openmm_pqeq as pq

mpl.use("Agg")
from matplotlib import pyplot as plt

FIELD = (0.25, 0.0, 0.0)
PRINTED = (3.0, 10.0, 30.0, 100.0)


def waters(distance: float) -> ase.Atoms:
    """O-O at `distance` along x; the first donates a hydrogen bond to the second."""
    donor, acceptor = ase.build.molecule("H2O"), ase.build.molecule("H2O")
    donor.translate(-donor.positions[0])
    donor.rotate(donor.positions[1], "x")
    acceptor.translate(-acceptor.positions[0])
    acceptor.rotate(acceptor.positions[1] + acceptor.positions[2], "x")
    acceptor.translate([distance, 0, 0])
    return donor + acceptor


def ions(distance: float) -> ase.Atoms:
    return ase.Atoms("NaCl", [[0, 0, 0], [distance, 0, 0]])


def leaks(
    make, size: int, distances: np.ndarray, field, coupling: str, fragment_charges
) -> np.ndarray:
    """Charge (e) of the first `size` atoms at each distance."""
    potential = pq.build({"pqeq": {"protocol": "direct"}})
    settings = {"coupling": coupling}
    if coupling == "fragment":
        fragments = [list(range(size)), list(range(size, len(make(1.0))))]
        settings.update(fragments=fragments, fragment_charges=fragment_charges)
    calculator = pq.PQEqCalculator(potential, field=field, tolerance=1e-8, **settings)
    return np.array(
        [
            calculator.get_property("charges", make(float(distance)))[:size].sum()
            for distance in distances
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("charge_leak.png"))
    arguments = parser.parse_args()
    couplings = ["shell", "full"]
    if "fragment_charges" in inspect.signature(pq.PQEqCalculator).parameters:
        couplings.append("fragment")
    distances = np.unique(np.concatenate([np.geomspace(2.8, 100, 40), PRINTED]))
    figure, axes = plt.subplots(2, 2, figsize=(9, 6.5), sharex="col", layout="constrained")
    styles = {"shell": "C0-", "full": "C3--", "fragment": "C2-."}
    print(
        "| | field, V/Å | coupling | "
        + " | ".join(f"{distance:g} Å" for distance in PRINTED)
        + " |"
    )
    print("|---|---|---|" + "---|" * len(PRINTED))
    for row, (name, make, size, charges) in enumerate(
        (("water", waters, 3, [0, 0]), ("Na", ions, 1, [1, -1]))
    ):
        for column, field in enumerate((None, FIELD)):
            panel = axes[row, column]
            for coupling in couplings:
                found = leaks(make, size, distances, field, coupling, charges)
                panel.plot(distances, found, styles[coupling], label=coupling)
                values = " | ".join(
                    f"{found[np.searchsorted(distances, distance)]:+.4f}" for distance in PRINTED
                )
                print(
                    f"| {name} | {0 if field is None else FIELD[0]} | {coupling} | {values} |",
                    flush=True,
                )
            panel.set_xscale("log" if field is None else "linear")
            panel.set_title(
                f"{'no field' if field is None else '0.25 V/Å along the axis'}", fontsize=10
            )
            panel.set_ylabel(f"charge of {'the first water' if name == 'water' else 'Na'} (e)")
            panel.grid(alpha=0.3)
            if row == 1:
                panel.set_xlabel("distance (Å)")
    axes[0, 0].legend(frameon=False)
    figure.savefig(arguments.output, dpi=150)


if __name__ == "__main__":
    main()
