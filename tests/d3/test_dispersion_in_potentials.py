"""The dispersion operator in a potential, and what it refuses."""

import copy

import laws
import pytest
import torch
from dispersion_twins import (
    LONG,
    SINGLE,
    native_of,
    salt,
    term,
)
from structures import quartz_like, structure_from

from openmm_pqeq import ops
from openmm_pqeq.d3.inference import InferenceD3
from openmm_pqeq.d3.model import D3
from openmm_pqeq.neighbors.half_list import KeptSearch
from openmm_pqeq.neighbors.search import NeighborSearch
from openmm_pqeq.potential import build

pytestmark = [
    pytest.mark.python_route,
    pytest.mark.skipif(not ops.available("dispersion"), reason=f"dispersion: {ops.status()}"),
]


def test_compiled_potentials_use_it_and_give_the_same_numbers(tmp_path):
    potential = build({"d3": {"functional": "pbe", "species": ["O", "Si", "C"], **LONG}})
    given = structure_from(quartz_like())
    expected = potential.evaluate(given, stress=True)
    compiled = potential.compile_for_inference()
    assert isinstance(potential.d3, D3)
    script = torch.jit.freeze(torch.jit.script(compiled))
    torch.jit.save(script, tmp_path / "potential.pt")
    again = [
        compiled.compile_for_inference(),
        compiled.select("d3"),
        compiled.configured(precision="double"),
        copy.deepcopy(compiled),
    ]
    for module in (compiled, *again):
        assert isinstance(module.d3, InferenceD3)
        found = module.evaluate(given, stress=True)
        laws.close(found.energy, expected.energy, 1e-12, "energy")
        laws.close(found.forces, expected.forces, 1e-12, "forces")
        laws.close(found.stress, expected.stress, 1e-12, "stress")
    for module in (script, torch.jit.load(tmp_path / "potential.pt")):
        for _ in range(3):
            positions = given.positions.clone().requires_grad_(True)
            energy = module(given._replace(positions=positions), None).energy
            (slope,) = torch.autograd.grad([energy.sum()], [positions])
            laws.close(energy, expected.energy, 1e-12, "energy of the script")
            laws.close(-slope, expected.forces, 1e-12, "forces of the script")


def test_mixed_precision_of_a_potential():
    potential = build({"d3": {"functional": "pbe", "species": ["Na", "Cl"], **LONG}})
    given, mixed = (
        structure_from(salt()),
        potential.configured(precision="mixed").compile_for_inference(),
    )
    assert mixed.d3.c6.dtype == SINGLE
    found, expected = mixed.evaluate(given), potential.evaluate(given)
    laws.close(found.forces, expected.forces, 1e-6, "forces")
    laws.close(found.energy / 64, expected.energy / 64, 1e-6, "energy per atom")


def test_without_the_operator_the_torch_module_stays(monkeypatch):
    monkeypatch.setattr(ops, "available", lambda operator=None: False)
    compiled = build({"d3": {"functional": "pbe", "species": ["O"]}}).compile_for_inference()
    assert isinstance(compiled.d3, D3)
    assert isinstance(compiled.terms["d3"].search, NeighborSearch)


def test_an_element_that_the_tables_lack():
    with pytest.raises(ValueError, match="made without some of these elements"):
        native_of(term(species=["Si", "O"]))(structure_from(quartz_like()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: {"positions": a["positions"][:, :2]}, "positions: expected"),
        (lambda a: {"cell": a["cell"].float()}, "cell: expected"),
        (lambda a: {"batch": a["batch"] + 1}, "batch: expected 0 to 0"),
        (lambda a: {"centers": a["centers"].long()}, "centers: expected int32"),
        (lambda a: {"neighbors": a["neighbors"][1:]}, "neighbors: expected"),
        (lambda a: {"neighbors": a["neighbors"] + 2}, "neighbors: expected 0 to 2"),
        (lambda a: {"centers": a["centers"] - 1}, "centers: expected 0 to 2"),
        (lambda a: {"shifts": a["shifts"].int()}, "shifts: expected int8"),
        (lambda a: {"species": a["species"] + 94}, "species: expected 0 to 93"),
        (lambda a: {"radii6": a["radii6"].float()}, "radii6: expected float64"),
        (lambda a: {"coordination": a["coordination"][:3]}, "coordination: expected"),
        (lambda a: {"cutoff": -1.0}, "cutoff, cn_cutoff, smoothing_width: expected"),
        (lambda a: {"c6": a["c6"].clone().requires_grad_(True)}, "tables without gradients"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(change, message):
    given, d3 = structure_from(quartz_like()), term()
    pairs = KeptSearch(d3.cutoff)(given)
    values = [
        pairs.positions,
        given.cell,
        given.batch,
        *pairs[1:],
        d3.rows[given.numbers],
        d3.c6,
        d3.coordination,
    ]
    values += [
        d3.covalent_radii,
        d3.c8_over_c6,
        d3.radii6,
        d3.radii8,
        False,
        1.0,
        0.7,
        14.0,
        13.0,
        9.0,
        2.0,
    ]
    names = [
        argument.name for argument in torch.ops.openmm_pqeq.dispersion.default._schema.arguments
    ]
    arguments = dict(zip(names, values, strict=True))
    with pytest.raises((ValueError, RuntimeError), match=message):
        torch.ops.openmm_pqeq.dispersion(*{**arguments, **change(arguments)}.values())
