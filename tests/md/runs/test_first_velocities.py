"""The velocities that a run begins with."""

import numpy as np
import pytest
from described import description
from openmm import unit

from openmm_pqeq.md.build import build_simulation, read_parts
from openmm_pqeq.md.plot import read_table
from openmm_pqeq.md.run import run
from openmm_pqeq.md.velocities import begin_velocities
from openmm_pqeq.units import KJ_PER_MOL_PER_EV

# tapered charges without a repulsion heat their cell
pytestmark = [
    pytest.mark.python_route,
    pytest.mark.filterwarnings("ignore:the temperature is .* was set:UserWarning"),
]


def moving(folder, name="moving.extxyz"):
    """A cell of MgO whose atoms move, in a file whose cell vectors are listed otherwise than OpenMM
    wants them."""
    from ase.build import bulk
    from ase.md.velocitydistribution import Stationary

    atoms = bulk("MgO", "rocksalt", a=4.2, cubic=True)
    atoms.rattle(0.1, seed=2)
    atoms.rotate(90, "z", rotate_cell=True)
    atoms.set_velocities(0.02 * np.random.default_rng(3).normal(size=(8, 3)))
    Stationary(atoms, preserve_temperature=False)  # a System holds the whole still
    atoms.write(folder / name)
    return atoms


@pytest.mark.parametrize("ensemble", ["NVE", "NVT"])
def test_a_run_begins_with_the_velocities_of_the_file(folder, ensemble):
    """The kinetic energy of the first row, after 0.01 fs, is that of the file."""
    atoms = moving(folder)
    settings = {"structure": str(folder / "moving.extxyz"), "ensemble": ensemble}
    settings |= {"velocities": "file", "field": [0, 0, 0], "table_interval": 1, "steps": 3}
    config = description(folder, "moving", friction=1e-3, timestep=0.01, **settings)
    result = run(config, overwrite=True)
    table = read_table(result.files.table)
    assert table["kinetic_energy_eV"][0] == pytest.approx(atoms.get_kinetic_energy(), rel=5e-3)
    assert "velocities: of the structure file" in result.files.log.read_text()
    drawn = run(description(folder, "moving", **settings | {"velocities": "maxwell"}), True)
    assert "velocities: drawn" in drawn.files.log.read_text()


def test_leapfrog_keeps_the_velocities_of_the_file_half_a_step_behind(folder):
    """So the energy of the first row is that of the beginning, at any time step."""
    atoms = moving(folder)
    settings = {"structure": str(folder / "moving.extxyz"), "velocities": "file", "steps": 1}
    config = description(folder, "moving", ensemble="NVE", timestep=1.0, **settings)
    simulation = build_simulation(config, read_parts(config), "NVE")
    begin_velocities(simulation, config, 1)
    state = simulation.context.getState(energy=True)
    kinetic = state.getKineticEnergy().value_in_unit(unit.kilojoule_per_mole) / KJ_PER_MOL_PER_EV
    assert kinetic == pytest.approx(atoms.get_kinetic_energy(), rel=1e-3)


def test_a_file_without_velocities_is_named(folder):
    with pytest.raises(ValueError, match=r"velocities: .*MgO\.cif, which has none"):
        run(description(folder, "still", velocities="file"))
    assert not (folder / "still").exists()
