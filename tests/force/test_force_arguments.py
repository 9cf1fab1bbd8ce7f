"""Arguments, topologies and versions that do not fit are refused where the force is made, with what
was expected."""

import pytest
import torch
from openmm import app, unit
from through_openmm import BOX, FIELD, SALT, WATER, topology_of

from openmm_pqeq import versions
from openmm_pqeq.force.create import create_force
from openmm_pqeq.potential import build

pytestmark = pytest.mark.python_route


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"total_charge": "one"}, "total_charge: expected a finite number in e, .*got 'one'"),
        ({"total_charge": 1e300}, r"total_charge: expected a finite number in e, up to 1e\+06"),
        ({"field": (0, 0, 1e9)}, "field: expected components up to 1000 V/Å, got"),
        ({"total_charge": float("nan")}, "total_charge: expected a finite number"),
        ({"total_charge": 1 * unit.kelvin}, "total_charge: expected a finite number in e"),
        ({"field": 0.1}, "field: expected three components"),
        ({"field": "xyz"}, "field: expected three components"),
        ({"field": (0, 0)}, "field: expected three finite numbers"),
        ({"field": (0, 0, float("nan"))}, "field: expected three finite numbers"),
        ({"field": (0, 0, "a")}, "field: expected three finite numbers"),
        ({"field": [0, 0, 1] * unit.volt}, "field: expected an electric field, got units of volt"),
        (
            {"field": (0, 0, 1 * unit.kilojoule_per_mole)},
            "field: expected an electric field, got units of kilojoule/mole",
        ),
        (
            {"field": (0, 0, 0.1), "coupling": "full"},
            'coupling="full" moves charge along the field',
        ),
        (
            {"coupling": "fragments"},
            "coupling: expected one of shell, full, fragment, got 'fragments'",
        ),
        ({"fragments": [[0, 1]]}, "fragments: expected None"),
        ({"backend": "cuda"}, "backend: expected one of torchscript, python, got 'cuda'"),
        (
            {"precision": "half"},
            "precision: expected one of double, mixed, single, got 'half'",
        ),
        ({"tolerance": -1}, "tolerance: expected a positive number"),
        ({"tolerance": "small"}, "tolerance: expected a positive number"),
        ({"periodic": True}, "periodic: expected three booleans"),
        ({"periodic": (1, 1, 0)}, "periodic: expected three booleans"),
        ({"atoms": []}, "atoms: expected at least one index"),
        ({"atoms": [0, 9]}, r"atoms: expected indices from 0 to 3, got \[9\]"),
        ({"atoms": [-1]}, "atoms: expected indices from 0 to 3"),
        ({"atoms": [1, 1, 2]}, r"atoms: expected each index once, got more than once: \[1\]"),
        ({"atoms": [True, False]}, "atoms: expected integer indices, got True"),
        ({"atoms": 3}, "atoms: expected indices"),
    ],
)
def test_arguments_that_do_not_fit(ewald, arguments, message):
    with pytest.raises(ValueError, match=message):
        create_force(ewald, topology_of(SALT, BOX), **{"backend": "python", **arguments})


def test_topologies_that_do_not_fit(ewald, direct):
    with pytest.raises(
        ValueError,
        match=r"1 particles have no element \(virtual sites, for example\): 3 \(X4 of STR 1\)",
    ):
        create_force(direct, topology_of([*WATER, "X"]), backend="python")
    with pytest.raises(ValueError, match="expected at least one atom"):
        create_force(direct, app.Topology(), backend="python")
    with pytest.raises(ValueError, match="periodic: the structure has no box"):
        create_force(direct, topology_of(WATER), periodic=(True, True, True), backend="python")
    with pytest.raises(ValueError, match="'direct' has no images"):
        create_force(direct, topology_of(WATER, BOX), backend="python")
    few = build({"pqeq": {"protocol": "ewald", "parameters": "pqeq1"}})
    with pytest.raises(ValueError, match="does not know Na"):
        create_force(few, topology_of(SALT, BOX), backend="python")
    with pytest.raises(ValueError, match="potential: expected a Potential"):
        create_force(torch.nn.Linear(1, 1), topology_of(WATER), backend="python")


def test_charges_and_fields_that_nothing_would_feel(network):
    with pytest.raises(ValueError, match="total_charge: this potential has no charges"):
        create_force(network, topology_of(SALT, BOX), total_charge=1, backend="python")
    with pytest.raises(ValueError, match="field: this potential has no charges"):
        create_force(network, topology_of(SALT, BOX), field=FIELD, backend="python")
    with pytest.raises(ValueError, match="electrodes: this potential has no charges"):
        create_force(
            network,
            topology_of(SALT, BOX),
            electrodes=[([0, 1], 0.0), ([2, 3], 1.0)],
            backend="python",
        )
    with pytest.raises(ValueError, match="fragments: this potential has no charges"):
        create_force(
            network,
            topology_of(SALT, BOX),
            coupling="fragment",
            fragments=[[0, 1, 2, 3]],
            backend="python",
        )


def test_versions_that_do_not_fit(ewald, monkeypatch):
    found = {"torch": "2.13.0", "openmm": "8.6.1", "openmmtorch": None}
    monkeypatch.setattr(versions, "installed", found.get)
    with pytest.raises(RuntimeError) as error:
        create_force(ewald, topology_of(SALT, BOX))
    for words in (
        "torch 2.13.0 is installed",
        "==2.9.1",
        "8.5.2",
        "pip install",
        'backend="python"',
    ):
        assert words in str(error.value)
    found["openmm"] = "8.4.0"
    with pytest.raises(RuntimeError, match=r"openmm 8\.4\.0 is installed"):
        create_force(ewald, topology_of(SALT, BOX), backend="python")


def test_the_quadratic_sum_of_many_atoms_is_pointed_out(ewald, monkeypatch):
    topology = topology_of(SALT, BOX)
    create_force(
        ewald, topology, backend="python"
    )  # warnings are errors here, and four atoms are few
    monkeypatch.setattr("openmm_pqeq.conditions.MANY_FOR_EWALD", 3)
    with pytest.warns(
        UserWarning, match=r"here 4; 'pme' gives the same .* load\(\.\.\., protocol='pme'\)"
    ):
        create_force(ewald, topology, backend="python")
    create_force(build({"pqeq": {"protocol": "pme"}}), topology, backend="python")


def test_what_is_no_topology_is_refused():
    for wrong in ("BaTiO3.cif", None, app.Element.getBySymbol("O")):
        with pytest.raises(
            ValueError, match="topology: expected an openmm.app.Topology.*read_structure"
        ):
            create_force(build({"pqeq": {"protocol": "ewald"}}), wrong, backend="python")
