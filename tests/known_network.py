"""A network with known random weights plus PQEq, frames with its labels, and files that train another
of the same form on them."""

import csv
import json
from pathlib import Path

import ase.io
import numpy as np
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

import openmm_pqeq as pq
from openmm_pqeq.structure import structure_of

GNN = {"hidden_irreps": "8x0e + 4x1o", "sh_irreps": "1x0e + 1x1o", "layers": 2, "r_max": 3.5}
GNN |= {"n_basis": 4, "radial_hidden": [8], "avg_neighbors": 10.0}
PQEQ = {"protocol": "ewald", "tolerance": 1e-9}
SPECIES = ["O", "Na", "Mg"]
N_FRAMES, HELD_OUT = 20, 5


def reference() -> pq.Potential:
    """The known potential: a network with the weights of seed 7, scale and shifts, plus PQEq."""
    gnn = GNN | {"species": SPECIES, "seed": 7, "scale": 0.5, "shift": [-432.0, -10.0, -20.0]}
    return pq.build({"gnn": gnn, "pqeq": PQEQ})


def write_frames(path: Path) -> Path:
    """Distorted MgO and NaO-like cells of two compositions with the reference's labels, as ASE
    reads them."""
    known = reference()
    random = np.random.default_rng(3)
    images = []
    for index in range(N_FRAMES):
        metals = ["Mg", "Mg"] if index % 2 else ["Mg", "Na"]
        atoms = Atoms([metals[0], "O", metals[1], "O"], cell=[4.0, 4.0, 3.2], pbc=True)
        atoms.set_scaled_positions([[0, 0, 0], [0.5, 0, 0.1], [0.5, 0.5, 0.5], [0, 0.5, 0.6]])
        atoms.set_cell(
            atoms.cell @ (np.eye(3) + random.normal(scale=0.02, size=(3, 3))), scale_atoms=True
        )
        atoms.positions += random.normal(scale=0.1, size=(4, 3))
        result = known.evaluate(structure(atoms), stress=True)
        stress = result.stress[0].numpy()[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        atoms.calc = SinglePointCalculator(
            atoms, energy=float(result.energy[0]), forces=result.forces.numpy(), stress=stress
        )
        images.append(atoms)
    ase.io.write(path, images)  # ASE's own format keeps every digit
    return path


def structure(atoms: Atoms):
    return structure_of(
        torch.tensor(atoms.positions),
        torch.tensor(atoms.numbers),
        torch.tensor(np.asarray(atoms.cell)),
    )


def table(file: Path, long_range: bool = False, **training) -> dict:
    """A training file's content; without the long-range part the network learns the reference as it
    is, which is faster."""
    settings = {
        "epochs": 3,
        "learning_rate": 0.02,
        "schedule": "constant",
        "warmup": 5,
        "ema": 0.9,
        "energy_weight": 10.0,
    }
    return {
        "data": {"files": [str(file)], "held_out": {"seed": 0, "n": HELD_OUT}},
        "potential": {"gnn": dict(GNN)} | ({"pqeq": dict(PQEQ)} if long_range else {}),
        "training": settings | {"dtype": "float64", "threads": 1} | training,
        "card": {"data": "synthetic"},
    }


def write(path: Path, content: dict) -> Path:
    """A training file (JSON values are TOML values, but for tables)."""

    def lines(name: str, values: dict):
        plain = {k: v for k, v in values.items() if not isinstance(v, dict)}
        if name:
            yield f"[{name}]"
        yield from (f"{key} = {json.dumps(value)}" for key, value in plain.items())
        for key, value in values.items():
            if isinstance(value, dict):
                yield from lines(f"{name}.{key}" if name else key, value)

    path.write_text("\n".join(lines("", content)) + "\n")
    return path


def rows(folder: Path) -> list[dict[str, str]]:
    """The lines of metrics.csv."""
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def silent(line: str) -> None:
    pass


def same_weights(one: dict, two: dict) -> None:
    assert one.keys() == two.keys()
    for name in one:
        assert torch.equal(one[name], two[name]), name
