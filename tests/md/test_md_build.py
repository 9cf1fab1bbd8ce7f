"""The OpenMM objects of a run's description: its barostat and its integrator."""

import numpy as np
import openmm
import pytest
from openmm import unit

from openmm_pqeq.md.build import barostat_of, integrator_of
from openmm_pqeq.md.config import run_config

pytestmark = pytest.mark.python_route

GOOD = {"structure": "a.cif", "model": "m", "output": "o", "time": "1ps"}


def config_of(**settings):
    return run_config(
        GOOD | {"seed": 5, "ensemble": "NPT", "pressure": "2", "temperature": 250} | settings
    )


@pytest.mark.parametrize(
    ("barostat", "kind"),
    [
        ("isotropic", openmm.MonteCarloBarostat),
        ("anisotropic", openmm.MonteCarloAnisotropicBarostat),
        ("flexible", openmm.MonteCarloFlexibleBarostat),
        ("membrane", openmm.MonteCarloMembraneBarostat),
    ],
)
def test_each_barostat_has_pressure_temperature_and_seed(barostat, kind):
    made = barostat_of(
        config_of(barostat=barostat, barostat_interval=9, scale_axes=[True, False, True])
    )
    assert type(made) is kind
    assert made.getDefaultTemperature() == 250 * unit.kelvin
    pressure = made.getDefaultPressure().value_in_unit(unit.bar)
    assert np.allclose(
        [pressure.x, pressure.y, pressure.z] if barostat == "anisotropic" else pressure, 2
    )
    assert (made.getFrequency(), made.getRandomNumberSeed()) == (9, 6)
    if barostat == "anisotropic":
        assert (made.getScaleX(), made.getScaleY(), made.getScaleZ()) == (True, False, True)


def test_each_ensemble_has_its_integrator():
    config = config_of(timestep=0.5)
    assert type(integrator_of(config, "NVE")) is openmm.VerletIntegrator
    langevin = integrator_of(config, "NPT")
    assert type(langevin) is openmm.LangevinMiddleIntegrator
    assert (langevin.getRandomNumberSeed(), langevin.getTemperature()) == (5, 250 * unit.kelvin)
    assert langevin.getStepSize() == 0.5 * unit.femtosecond
    assert (
        type(integrator_of(config_of(thermostat="nose-hoover"), "NVT"))
        is openmm.NoseHooverIntegrator
    )
