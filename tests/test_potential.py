"""The sum of terms: the same numbers however it is evaluated, saved or selected; and what files are
refused."""

import pickle

import pytest
import structures
import torch
from structures import CELL, FIELD, tensor

from openmm_pqeq.checkpoint import card, load, save
from openmm_pqeq.model_file import FORMAT
from openmm_pqeq.potential import Potential, build
from openmm_pqeq.structure import Structure, collate

GNN = {
    "species": ["Ba", "Ti", "O"],
    "hidden_irreps": "4x0e+4x1o+2x2e",
    "layers": 2,
    "r_max": 4.5,
    "radial_hidden": [8],
    "seed": 3,
}
CONFIG = {
    "gnn": GNN,
    "pqeq": {"protocol": "ewald", "tolerance": 1e-10},
    "d3": {"damping": "bj", "functional": "pbe", "cutoff": 8.0, "cn_cutoff": 8.0},
}


@pytest.fixture(scope="module")
def potential() -> Potential:
    return build(CONFIG)


def perovskite(charge: float = 0.0) -> Structure:
    return structures.perovskite(charge, FIELD)


def test_the_stress_of_a_molecule_is_refused(potential):
    molecule = structures.periodic_along(perovskite(), (False, False, False))
    molecule = molecule._replace(cell=torch.zeros_like(molecule.cell))
    with pytest.raises(ValueError, match="stress: expected structures with a volume"):
        potential.evaluate(molecule, stress=True)


def test_terms_add_up_and_can_be_selected(potential):
    whole = potential.evaluate(perovskite(), stress=True)
    assert sorted(whole.terms) == ["d3", "gnn", "pqeq"]
    parts = [potential.select(name).evaluate(perovskite(), stress=True) for name in whole.terms]
    assert float(sum(part.energy for part in parts) - whole.energy) == pytest.approx(0.0, abs=1e-10)
    torch.testing.assert_close(sum(part.forces for part in parts), whole.forces, atol=1e-10, rtol=0)
    torch.testing.assert_close(sum(part.stress for part in parts), whole.stress, atol=1e-12, rtol=0)
    assert all(float(part.forces.abs().max()) > 1e-6 for part in parts)


def test_forces_and_stress_of_the_sum_against_finite_differences(potential):
    """1e-5 eV/Å and 1e-6 eV/Å³; −∇E_SCF + qF."""
    structure, step = perovskite(0.5), 1e-4
    energy_of = torch.no_grad()(lambda *moved: float(potential(*moved).energy))
    found = potential.evaluate(structure, stress=True)
    expected = found.forces - found.charges[:, None] * FIELD
    for atom, axis in ((0, 0), (1, 2), (4, 1)):
        change = torch.zeros_like(structure.positions)
        change[atom, axis] = step
        up, down = (
            energy_of(structure._replace(positions=structure.positions + s * change))
            for s in (1, -1)
        )
        assert abs(-(up - down) / (2 * step) - float(expected[atom, axis])) < 1e-5
    volume = float(torch.linalg.det(tensor(CELL)))
    for a, b in ((0, 0), (1, 2), (2, 2)):
        strain = torch.zeros(1, 3, 3, dtype=torch.float64)
        strain[0, a, b] += step / 2
        strain[0, b, a] += step / 2
        up, down = (energy_of(structure, s * strain) for s in (1, -1))
        assert abs((up - down) / (2 * step * volume) - float(found.stress[0, a, b])) < 1e-6


def test_eager_script_saved_script_and_loaded_model_agree(potential, tmp_path):
    torch.manual_seed(0)
    expected = potential.evaluate(perovskite())
    torch.jit.save(torch.jit.script(potential.compile_for_inference()), tmp_path / "script.pt")
    save(potential, tmp_path / "model.pt", card={"title": "test"})
    loaded = load(tmp_path / "model.pt")
    assert card(tmp_path / "model.pt") == {"title": "test"}
    assert loaded.config == potential.config
    for module in (torch.jit.load(tmp_path / "script.pt"), loaded, loaded.compile_for_inference()):
        structure = perovskite()
        structure.positions.requires_grad_(True)
        energy = module(structure, None).energy
        (gradient,) = torch.autograd.grad([energy.sum()], [structure.positions])
        torch.testing.assert_close(energy.detach(), expected.energy, atol=1e-9, rtol=0)
        torch.testing.assert_close(-gradient, expected.forces, atol=1e-9, rtol=0)


def test_a_batch_is_its_structures(potential):
    structures = [perovskite(), perovskite(0.5)]
    together = potential.evaluate(collate(structures), stress=True)
    for index, structure in enumerate(structures):
        alone = potential.evaluate(structure, stress=True)
        torch.testing.assert_close(together.energy[index], alone.energy[0], atol=1e-10, rtol=0)
        torch.testing.assert_close(together.stress[index], alone.stress[0], atol=1e-12, rtol=0)
        torch.testing.assert_close(
            together.forces[5 * index : 5 * index + 5], alone.forces, atol=1e-10, rtol=0
        )


@pytest.mark.parametrize(("precision", "error"), [("mixed", 1e-4), ("single", 5e-3)])
def test_lower_precision_stays_close(potential, precision, error):
    """Forces of a few eV/Å: float32 sums of Coulomb terms of 100 eV lose five digits in single, the
    network six in mixed."""
    exact = potential.evaluate(perovskite()).forces
    structure = perovskite()
    if precision == "single":
        floats = {
            k: getattr(structure, k).float() for k in ("positions", "cell", "total_charge", "field")
        }
        structure = structure._replace(**floats)
    rough = potential.configured(precision=precision).evaluate(structure).forces
    assert 0 < float((rough - exact).abs().max()) < error


def test_two_atoms_at_the_same_place_are_named(potential):
    structure = perovskite()
    structure.positions[3] = structure.positions[2] + tensor(CELL[0])
    with pytest.raises(ValueError, match=r"atoms 2 and 3 .* same place"):
        potential.evaluate(structure)


def test_unknown_elements_are_named(potential):
    with pytest.raises(ValueError, match="does not know Na; it knows O, Ti, Ba"):
        potential.check_elements([56, 11])


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({}, "expected a mapping"),
        ({"lj": {}}, "no term 'lj'"),
        ({"gnn": {}}, "species is missing"),
        ({"gnn": {"species": ["H"], "depth": 3}}, "unknown key 'depth'"),
        ({"d3": {"functional": "nope"}}, "nope"),
        ({"pqeq": {"protocol": "wolf"}}, "protocol: expected one of reaxnet"),
    ],
)
def test_bad_configs_are_refused(config, words):
    with pytest.raises(ValueError, match=words):
        build(config)


def test_only_converged_protocols_stand_for_each_other(potential):
    assert potential.configured(protocol="direct").pqeq.protocol == "direct"
    with pytest.raises(ValueError, match="protocol: this potential has no charges"):
        potential.select("gnn").configured(protocol="pme")
    with pytest.raises(ValueError, match="made for 'ewald'"):
        potential.configured(protocol="reaxnet")


class Malicious:
    def __reduce__(self):
        return (print, ("this must never run",))


def test_files_that_are_not_models_are_refused(tmp_path, capsys):
    path = tmp_path / "x.pt"
    with pytest.raises(FileNotFoundError, match="neither a model that ships.*models download"):
        load(path)
    path.write_bytes(b"not a model")
    with pytest.raises(ValueError, match=r"x\.pt"):
        load(path)
    path.write_bytes(pickle.dumps(Malicious()))
    with pytest.raises(ValueError, match=r"x\.pt"):
        load(path)
    torch.save({"format": 1, "config": Malicious(), "weights": {}, "card": {}}, path)
    with pytest.raises(ValueError, match="print"):
        load(path)
    assert "must never run" not in capsys.readouterr().out
    torch.save({"format": FORMAT + 1, "config": {}, "weights": {}, "card": {}}, path)
    with pytest.raises(ValueError, match="upgrade openmm-pqeq"):
        load(path)
    torch.save([1, 2], path)
    with pytest.raises(ValueError, match="not a model of this package"):
        load(path)


def test_a_truncated_model_is_refused(potential, tmp_path):
    save(potential, tmp_path / "whole.pt")
    content = (tmp_path / "whole.pt").read_bytes()
    (tmp_path / "half.pt").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="damaged"):
        load(tmp_path / "half.pt")


def test_a_model_is_not_written_where_there_is_no_folder(potential, tmp_path):
    with pytest.raises(FileNotFoundError, match="path: there is no folder"):
        save(potential, tmp_path / "none" / "model.pt")
