"""Energies of the terms, charges of each element, and profiles: what the reporters write is what
the potential has."""

import h5py
import numpy as np
import openmm
import pytest
from ase import Atoms
from openmm import app, unit
from simulations import EDGE, FIELD, mgo, rows_of, simulation_of
from through_openmm import both_routes

import openmm_pqeq as pq
from openmm_pqeq.analysis.axis_profiles import profile
from openmm_pqeq.calculator import PQEqCalculator
from openmm_pqeq.potential import build
from openmm_pqeq.units import COULOMB, KJ_PER_MOL_PER_EV

pytestmark = pytest.mark.python_route

ENERGY = 1e-6  # eV; both sides solve to 1e-10 eV/e, in 10 digits of a few hundred eV
CHARGE = 1e-8  # e


@pytest.fixture(scope="module")
def potential():
    return build(
        {
            "pqeq": {"protocol": "ewald", "tolerance": 1e-10},
            "d3": {"damping": "bj", "functional": "pbe", "cutoff": 6.0, "cn_cutoff": 6.0},
        }
    )


def calculated(potential, cell=True):
    """Results of the ASE calculator."""
    symbols, positions = mgo()
    atoms = Atoms(symbols, positions, cell=np.eye(3) * EDGE if cell else None, pbc=cell)
    calculator = PQEqCalculator(potential, field=FIELD)
    calculator.calculate(atoms, ["energy"])
    return calculator.results


@both_routes
def test_energies_are_those_of_the_terms_and_their_sum_is_openmms(potential, backend, tmp_path):
    simulation = simulation_of(potential, backend)
    simulation.reporters.append(pq.EnergyReporter(tmp_path / "energies.csv", 2))
    simulation.step(4)
    simulation.reporters.pop().close()
    rows = rows_of(tmp_path / "energies.csv")
    assert [row["step"] for row in rows] == ["2", "4"]
    assert [name for name in rows[0] if name.endswith("_eV")] == ["pqeq_eV", "d3_eV", "sum_eV"]
    for name, energy in calculated(potential)["energy_terms"].items():
        assert abs(float(rows[0][f"{name}_eV"]) - energy) < ENERGY
    energy = (
        simulation.context.getState(energy=True)
        .getPotentialEnergy()
        .value_in_unit(unit.kilojoule_per_mole)
    )
    assert abs(float(rows[0]["sum_eV"]) - energy / KJ_PER_MOL_PER_EV) < ENERGY
    assert float(rows[0]["field_z_V_per_A"]) == FIELD[2]


def test_energies_need_no_charges(tmp_path):
    dispersion = build(
        {"d3": {"damping": "zero", "functional": "pbe", "cutoff": 6.0, "cn_cutoff": 6.0}}
    )
    simulation = simulation_of(dispersion, field=(0, 0, 0))
    simulation.reporters.append(pq.EnergyReporter(tmp_path / "energies.csv", 1))
    simulation.step(1)
    (row,) = rows_of(tmp_path / "energies.csv")
    assert row["d3_eV"] == row["sum_eV"]
    assert "pqeq_eV" not in row
    simulation.reporters.append(pq.ChargeStatisticsReporter(tmp_path / "elements.csv", 1))
    with pytest.raises(ValueError, match="no charges"):
        simulation.step(1)


def test_statistics_are_those_of_each_elements_atoms(potential, tmp_path):
    simulation = simulation_of(potential)
    simulation.reporters.append(pq.ChargeStatisticsReporter(tmp_path / "elements.csv", 1))
    simulation.step(1)
    (row,) = rows_of(tmp_path / "elements.csv")
    right = calculated(potential)
    for symbol in ("Mg", "O"):
        mine = np.array(mgo()[0]) == symbol
        for name, function in (
            ("mean", np.mean),
            ("std", np.std),
            ("min", np.min),
            ("max", np.max),
        ):
            assert (
                abs(float(row[f"charge_{name}_{symbol}_e"]) - function(right["charges"][mine]))
                < CHARGE
            )
        lengths = np.linalg.norm(right["shells"][mine], axis=1)
        assert abs(float(row[f"shell_mean_{symbol}_A"]) - lengths.mean()) < CHARGE
        assert abs(float(row[f"shell_max_{symbol}_A"]) - lengths.max()) < CHARGE
    assert float(row["charge_std_O_e"]) > 1e-4  # the atoms are rattled


def test_profiles_are_those_of_cores_and_shells(potential, tmp_path):
    simulation = simulation_of(potential)
    simulation.reporters.append(
        pq.ProfileReporter(tmp_path / "profile.h5", 1, axis="y", n_points=50, width=0.4)
    )
    simulation.step(2)
    simulation.reporters.pop().close()
    right, positions = calculated(potential), mgo()[1]
    cores = np.ones(8)  # e, of Mg and O in the set `reaxnet`
    places = np.concatenate([positions, positions + right["shells"]])[:, 1]
    expected = profile(
        places, np.concatenate([right["charges"] + cores, -cores]), EDGE, EDGE**2, 50, 0.4
    )
    with h5py.File(tmp_path / "profile.h5") as file:
        assert file["step"][:].tolist() == [1, 2]
        assert np.abs(file["length"][:] - EDGE).max() < 1e-12
        assert file["fractions"][1] == 0.02
        for name in ("charge_density", "field", "potential"):
            assert np.abs(file[name][0] - getattr(expected, name)).max() < 1e-7, name
        assert [file[name].attrs["units"] for name in ("charge_density", "field", "potential")] == [
            "e/Å³",
            "V/Å",
            "V",
        ]
        assert np.ptp(file["potential"][0]) > 0.1  # V


def test_a_cluster_in_a_box_has_the_potential_step_of_its_dipole(tmp_path):
    potential = build({"pqeq": {"protocol": "direct", "tolerance": 1e-10}})
    symbols, positions = mgo()
    topology = app.Topology()
    residue = topology.addResidue("MgO", topology.addChain())
    for symbol in symbols:
        topology.addAtom(symbol, app.Element.getBySymbol(symbol), residue)
    topology.setUnitCellDimensions(openmm.Vec3(1.5, 1.6, 2.0) * unit.nanometer)
    system = pq.create_system(
        potential, topology, periodic=(False, False, False), backend="python", precision="double"
    )
    platform = openmm.Platform.getPlatformByName("Reference")
    simulation = app.Simulation(topology, system, openmm.VerletIntegrator(1e-9), platform)
    simulation.context.setPositions((positions + 7) / 10)
    simulation.reporters += [
        pq.ProfileReporter(tmp_path / "profile.h5", 1),
        pq.DipoleReporter(tmp_path / "dipole.csv", 1),
    ]
    simulation.step(1)
    for reporter in simulation.reporters:
        reporter.close()
    dipole = float(rows_of(tmp_path / "dipole.csv")[0]["dipole_z_eA"])
    with h5py.File(tmp_path / "profile.h5") as file:
        step = file["potential"][0, -1]
    assert abs(dipole) > 0.01
    assert abs(step - 4 * np.pi * COULOMB * dipole / (15 * 16)) < 1e-5  # V


def test_profiles_without_a_box_or_an_axis_are_refused(potential, tmp_path):
    simulation = simulation_of(potential, cell=False)
    simulation.reporters.append(pq.ProfileReporter(tmp_path / "profile.h5", 1))
    with pytest.raises(ValueError, match="need a box"):
        simulation.step(1)
    for arguments, name in (
        ({"axis": "c"}, "axis"),
        ({"width": 0}, "width"),
        ({"n_points": -1}, "n_points"),
        ({"n_points": 1.5}, "n_points"),
        ({"interval": 0}, "interval"),
    ):
        with pytest.raises(ValueError, match=f"{name}: expected"):
            pq.ProfileReporter(tmp_path / "p.h5", **{"interval": 1, **arguments})
