"""Fine-tuning of PQEq's parameters: through the converged solution, through sweeps, within
bounds."""

import json
from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

import openmm_pqeq as pq
from openmm_pqeq.potential import Potential
from openmm_pqeq.pqeq.coulomb.kernels import gaussian_exponents, pair_exponents
from openmm_pqeq.structure import structure_of

pytest.importorskip("lightning", reason="training needs the extra `train`")

from openmm_pqeq.training import finetune
from openmm_pqeq.training.config import config_of
from openmm_pqeq.training.frames import frame_of
from openmm_pqeq.training.loss import predict
from openmm_pqeq.training.pqeq import MARGIN, Polarizable, TrainedPQEq
from openmm_pqeq.training.samples import join, sample_of
from openmm_pqeq.training.settings import DataSettings

SPECIES, NUMBERS = ["O", "Mg"], [8, 12]
GNN = {
    "species": SPECIES,
    "hidden_irreps": "4x0e",
    "sh_irreps": "1x0e",
    "layers": 1,
    "r_max": 3.0,
    "n_basis": 4,
    "radial_hidden": [4],
}
PROTOCOLS = {
    "ewald": {"protocol": "ewald", "tolerance": 1e-10},
    "reaxnet": {"protocol": "reaxnet", "cutoff": 6.0},
}
NAMES = ["electronegativity", "hardness", "radius", "spring_constant"]


def potential(protocol: str, changes: dict[str, float] | None = None) -> Potential:
    """A small network with PQEq whose parameters of O are multiplied by `changes`."""
    made = pq.build({"gnn": GNN, "pqeq": PROTOCOLS[protocol]})
    table = {symbol: dict(made.config["pqeq"]["parameters"][symbol]) for symbol in SPECIES}
    for name, factor in (changes or {}).items():
        table["O"][name] *= factor
    return pq.build({"gnn": GNN, "pqeq": PROTOCOLS[protocol] | {"parameters": table}})


def labelled(known: Potential, n: int) -> list[Atoms]:
    """Distorted cells of MgO, two molecules of it and a charged one among them, with the labels of
    `known`."""
    random = np.random.default_rng(1)
    images = []
    for index in range(n):
        molecule = index % 3 == 2
        if molecule and known.pqeq.protocol == "ewald":
            atoms = Atoms(
                "OMgO",
                positions=[[0, 0, 0], [1.8, 0, 0], [1.9, 1.7, 0]],
                info={"charge": float(index % 2)},
            )
        else:
            atoms = Atoms(
                "MgO",
                cell=[[0, 2.1, 2.1], [2.1, 0, 2.1], [2.1, 2.1, 0]],
                pbc=True,
                scaled_positions=[[0, 0, 0], [0.5] * 3],
            )
        atoms.positions += random.normal(scale=0.15, size=(len(atoms), 3))
        cell = torch.tensor(np.asarray(atoms.cell)) if atoms.pbc.any() else None
        charge = atoms.info.get("charge", 0.0)
        structure = structure_of(
            torch.tensor(atoms.positions), torch.tensor(atoms.numbers), cell, total_charge=charge
        )
        found = known.evaluate(structure, stress=cell is not None)
        labels = {"energy": float(found.energy[0]), "forces": found.forces.numpy()}
        if found.stress is not None:
            labels["stress"] = found.stress[0].numpy()[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        atoms.calc = SinglePointCalculator(atoms, **labels)
        images.append(atoms)
    return images


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_network_and_moving_pqeq_together_are_the_potential(protocol):
    """Before anything moved: energies, forces and stress of a batch are those of the potential, to
    1e-8 eV, eV/Å, eV/Å³."""
    known = potential(protocol)
    frames = [frame_of(atoms, DataSettings(files=("x",)), "frame") for atoms in labelled(known, 3)]
    batch = join(
        [sample_of(frame, known.search, {8: 0.0, 12: 0.0}, torch.float64) for frame in frames]
    )
    found = predict(Polarizable(known.gnn, TrainedPQEq(known.pqeq, NAMES, 0.2, NUMBERS)), batch)
    torch.testing.assert_close(found.energy, batch.energy, rtol=0, atol=1e-8)
    torch.testing.assert_close(found.forces, batch.forces, rtol=0, atol=1e-8)
    labelled_ = torch.isfinite(batch.stress)
    torch.testing.assert_close(found.stress[labelled_], batch.stress[labelled_], rtol=0, atol=1e-8)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_derivatives_of_a_force_error_in_the_parameters(protocol):
    """Σ w·F differentiated in each parameter's move against central differences (1e-4): 1e-6 of
    derivatives of 0.01 to 1."""
    known = potential(protocol)
    frames = [frame_of(atoms, DataSettings(files=("x",)), "frame") for atoms in labelled(known, 3)]
    batch = join(
        [sample_of(frame, known.search, {8: 0.0, 12: 0.0}, torch.float64) for frame in frames]
    )
    trained = TrainedPQEq(known.pqeq, NAMES, 0.2, NUMBERS)
    weights = torch.randn(
        batch.forces.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )

    def loss() -> torch.Tensor:
        return (trained.predict(batch, create_graph=True).forces * weights).sum()

    for name in NAMES:
        with torch.no_grad():
            trained.moves[name].fill_(
                0.3
            )  # away from the kink at zero, where the bounds are not symmetric
    slopes = torch.autograd.grad(loss(), [trained.moves[name] for name in NAMES])
    for name, slope in zip(NAMES, slopes):
        assert slope.abs().max() > 1e-4
        for element in range(2):
            values = []
            for step in (1e-4, -1e-4):
                with torch.no_grad():
                    trained.moves[name][element] += step
                values.append(float(loss().detach()))
                with torch.no_grad():
                    trained.moves[name][element] -= step
            assert float(slope[element]) == pytest.approx(
                (values[0] - values[1]) / 2e-4, abs=1e-6
            ), (name, element)


def at_the_lower_bounds(names: list[str], bounds: float) -> tuple[Potential, TrainedPQEq]:
    """The potential with every parameter moved as far down as it goes."""
    known = potential("ewald")
    trained = TrainedPQEq(known.pqeq, names, bounds, NUMBERS)
    with torch.no_grad():
        for move in trained.moves.values():
            move.fill_(-50.0)
    parameters = trained.config(known.config["pqeq"]["parameters"])
    return pq.build(
        known.config | {"pqeq": known.config["pqeq"] | {"parameters": parameters}}
    ), trained


def test_parameters_stay_within_bounds():
    """However far the moves go: 20 % of the start, in the exported table as well (K in the table's
    unit)."""
    made, trained = at_the_lower_bounds(NAMES, 0.2)
    for symbol, values in trained.table().items():
        for name, (start, now) in values.items():
            assert name == "hardness" or now / start == pytest.approx(0.8, abs=1e-9)
            original = potential("ewald").config["pqeq"]["parameters"][symbol][name]
            assert made.config["pqeq"]["parameters"][symbol][name] == pytest.approx(
                original * now / start, rel=1e-12
            )


@pytest.mark.parametrize("names", [["hardness"], ["hardness", "radius"]])
def test_the_hardness_stays_above_the_self_energy_of_the_gaussian(names):
    """Bounds of 60 % would let η fall below 2k_e γ_ii/√π, where charges have no minimum: it ends
    `MARGIN` above, or where it was."""
    made, trained = at_the_lower_bounds(names, 0.6)
    fractions = [
        values["hardness"][1] / values["hardness"][0] for values in trained.table().values()
    ]
    assert all(0.4 < fraction <= 1.0 for fraction in fractions)
    if names == ["hardness"]:
        assert made.pqeq.soft_elements(torch.tensor(NUMBERS)) == "none"
        exponent = gaussian_exponents(made.pqeq.radius[NUMBERS])
        self_energy = 14.399645 * 2 / np.sqrt(np.pi) * pair_exponents(exponent, exponent)
        torch.testing.assert_close(
            made.pqeq.hardness[NUMBERS], self_energy + MARGIN, rtol=0, atol=1e-9
        )


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_parameters_are_recovered_from_forces(tmp_path: Path, protocol: str):
    """χ of O 8 % higher and η 6 % lower in the labels: the force loss alone brings the held-out
    error below 30 %, and finds the difference of χ between the elements, which is what charges
    depend on, to 0.2 eV of the 0.7 eV by which it was off."""
    pq.save(potential(protocol), tmp_path / "model.pt")
    truth = potential(protocol, {"electronegativity": 1.08, "hardness": 0.94})
    ase.io.write(tmp_path / "frames.traj", labelled(truth, 9))
    start = {
        "model": str(tmp_path / "model.pt"),
        "train": "none",
        "train_pqeq": NAMES[:2],
        "pqeq_learning_rate": 0.08,
    }
    training = {
        "epochs": 20,
        "energy_weight": 0.0,
        "stress_weight": 0.0,
        "dtype": "float64",
        "threads": 1,
        "warmup": 2,
    }
    training |= {"batch_size": 1, "ema": 0.5, "measure_every": 100}
    data = {"files": [str(tmp_path / "frames.traj")], "held_out": {"seed": 0, "n": 3}}
    result = finetune(
        config_of({"data": data, "start": start, "training": training}),
        tmp_path / "new.pt",
        say=lambda line: None,
    )
    written = json.loads((tmp_path / "new" / "errors.json").read_text())
    assert (
        written["errors"]["held out"]["force_rmse"]
        < 0.3 * written["errors_before"]["held out"]["force_rmse"]
    )
    found, wanted, original = (
        p.config["pqeq"]["parameters"] for p in (pq.load(result.model), truth, potential(protocol))
    )

    def difference(table: dict) -> float:
        return table["O"]["electronegativity"] - table["Mg"]["electronegativity"]

    assert difference(wanted) - difference(original) > 0.6
    assert difference(found) == pytest.approx(difference(wanted), abs=0.2)
    for name in ("radius", "core_charge", "spring_constant"):
        assert found["O"][name] == original["O"][name]
