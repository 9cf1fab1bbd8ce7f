"""Imported models and the protocol `reaxnet` against numbers of the published code: largest
differences in a table.

    python validation/reaxnet.py --data reaxnet_reference

The folder holds `nequip_*/` (params.pickle, or param_shapes.json to draw it from;
model_config.yaml, mapping.yaml; ref_*.npz with atomic energies eV, forces eV/Å, stress eV/Å³) and
`pqeq_*.npz` (energy, forces with charges and shells held fixed, charges e, shells Å after two
sweeps, D3). All of it was made in float64 by the authors' code. Structures with PQEq have cells
wider than 25 Å, since that code counts one image of each pair.
"""

import argparse
import json
import pickle
import tempfile
from pathlib import Path

import numpy as np
import torch
import yaml
from rich.console import Console
from rich.table import Table

import openmm_pqeq as pq
from openmm_pqeq.structure import structure_of


def drawn_parameters(folder: Path) -> dict:
    """The random weights of a reference model too large to be stored, by its recipe."""
    recipe = json.loads((folder / "param_shapes.json").read_text())
    config = yaml.safe_load((folder / "model_config.yaml").read_text())
    shapes, stream, tree = recipe["shapes"], np.random.RandomState(recipe["seed"]), {}
    last = max(int(name.split("Dense_")[1].split("/")[0]) for name in shapes if "Dense_" in name)
    for name in sorted(shapes):
        values = stream.standard_normal(tuple(shapes[name]))
        if name.endswith("frequencies"):
            values = np.arange(1, len(values) + 1) * np.pi * (1 + 0.02 * values)
        elif name.endswith("kernel"):
            gain = 36.0 if f"Dense_{last}/" in name else config["scalar_mlp_std"]
            values = values * np.sqrt(gain / shapes[name][0])
        elif name.startswith("params/Linear_0/") or "/FullyConnectedTensorProductE3nn_0/" in name:
            values = values * np.sqrt(config["n_elements"])
        *parents, leaf = name.split("/")
        branch = tree
        for parent in parents:
            branch = branch.setdefault(parent, {})
        branch[leaf] = values.astype(np.float32)
    return tree


def largest(found: torch.Tensor, expected: np.ndarray) -> str:
    return f"{np.abs(found.numpy() - expected).max():.0e}"


def tensors(
    data: np.lib.npyio.NpzFile, positions: np.ndarray
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return torch.tensor(positions), torch.tensor(data["numbers"]), torch.tensor(data["cell"])


def networks(folder: Path, largest_structure: int) -> Table:
    table = Table(
        "model",
        "structure",
        "atoms",
        "energies (eV)",
        "edges of the notebook",
        "forces (eV/Å)",
        "of",
        "stress (eV/Å³)",
    )
    for model in sorted(folder.glob("nequip_*")):
        with tempfile.TemporaryDirectory() as scratch:
            parameters = model / "params.pickle"
            if not parameters.exists():
                parameters = Path(scratch) / "params.pickle"
                parameters.write_bytes(pickle.dumps(drawn_parameters(model)))
            files, output = (
                (parameters, model / "model_config.yaml", model / "mapping.yaml"),
                Path(scratch) / "model.pt",
            )
            potentials = []
            for edge_sign in ("training", "notebook"):
                pq.convert_reaxnet(*files, output, edge_sign=edge_sign)
                potentials.append(pq.load(output).select("gnn"))
        for reference in sorted(model.glob("ref_*.npz")):
            data = np.load(reference)
            if len(data["numbers"]) > largest_structure:
                continue
            structure = structure_of(*tensors(data, data["positions"]))
            found = potentials[0].evaluate(structure, stress=True)
            other = potentials[1].evaluate(structure, forces=False)
            assert found.forces is not None
            assert found.stress is not None
            table.add_row(
                model.name.removeprefix("nequip_"),
                reference.stem.removeprefix("ref_"),
                str(len(data["numbers"])),
                largest(found.atomic_energies, data["node_energies"]),
                largest(other.atomic_energies, data["node_energies_flipped_edges"]),
                largest(found.forces, data["forces"]),
                f"{np.abs(data['forces']).max():.1f}",
                largest(found.stress[0], data["stress"]),
            )
    return table


def charges(folder: Path) -> Table:
    table = Table(
        "structure",
        "frames",
        "energy (eV/atom)",
        "forces (eV/Å)",
        "charges (e)",
        "shells (Å)",
        "true gradient",
        "D3 (eV/atom)",
        "D3 forces",
    )
    settings = {"protocol": "reaxnet", "parameters": "reaxnet", "cutoff": 12.5, "sweeps": 2}
    published = pq.build({"pqeq": {**settings, "stop_gradient": True}})
    exact = pq.build({"pqeq": {**settings, "stop_gradient": False}})
    cut = {"cutoff": 12.5, "cn_cutoff": 12.5, "smoothing_width": 0.0}
    dispersion = pq.build(
        {"d3": {"damping": "zero", "functional": "pbe", "constants": "reaxnet", **cut}}
    )
    for reference in sorted(folder.glob("pqeq_*.npz")):
        data = np.load(reference)
        two = int(np.flatnonzero(data["iterations"] == 2)[0])
        single = data["positions"].ndim == 2
        frames = [...] if single else range(len(data["positions"]))
        total_charge = float(reference.stem.partition("_q")[2] or 0)
        rows = []
        for frame in frames:
            structure = structure_of(
                *tensors(data, data["positions"][frame]), total_charge=total_charge
            )
            n_atoms = len(data["numbers"])

            def at(name: str, frame=frame, data=data, two=two, single=single) -> np.ndarray:
                return data[name][two] if single else data[name][frame, two]

            found, plain = published.evaluate(structure), dispersion.evaluate(structure)
            assert found.forces is not None
            assert plain.forces is not None
            relaxed = np.nan
            if "F_relaxed_it2" in data:
                forces = exact.evaluate(structure).forces
                assert forces is not None
                relaxed = np.abs(forces.numpy() - data["F_relaxed_it2"]).max()
            rows.append(
                [
                    abs(float(found.energy) - at("E")) / n_atoms,
                    np.abs(found.forces.numpy() - at("F")).max(),
                    np.abs(found.charges.numpy() - at("q")).max(),
                    np.abs(found.shells.numpy() - at("rs")).max(),
                    relaxed,
                    abs(float(plain.energy) - data["E_d3"][() if single else frame]) / n_atoms,
                    np.abs(plain.forces.numpy() - data["F_d3"][() if single else frame]).max(),
                ]
            )
        worst = np.max(rows, axis=0)
        table.add_row(
            reference.stem.removeprefix("pqeq_"),
            str(len(rows)),
            *(f"{x:.0e}" if np.isfinite(x) else "-" for x in worst),
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument(
        "--largest",
        type=int,
        default=10_000,
        metavar="N",
        help="leave out networks on more than N atoms",
    )
    arguments = parser.parse_args()
    console = Console(width=140)
    console.print(
        "Largest differences from the published code: networks",
        networks(arguments.data, arguments.largest),
    )
    console.print(
        "Largest differences: protocol reaxnet, two sweeps, and D3", charges(arguments.data)
    )


if __name__ == "__main__":
    main()
