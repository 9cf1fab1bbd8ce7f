"""A field as an expression of time: its value, what is refused, and when the Context gets it."""

import math

import openmm
import pytest
from openmm import app, unit

from openmm_pqeq.md.schedule import FieldSchedule, expression


@pytest.mark.parametrize(
    ("text", "t", "value"),
    [
        ("0.02*sin(2*pi*t/10)", 2.5, 0.02),
        ("-0.01", 7.0, -0.01),
        ("2**-1 + (1 - t)/4", 3.0, 0.0),
        ("exp(-t)*cos(0) + sqrt(4) + abs(-1) + tanh(0)", 0.0, 4.0),
        ("0.01*(step(t-1) - step(t-2))", 1.5, 0.01),
        ("0.01*(step(t-1) - step(t-2))", 2.0, 0.0),
        ("min(t, 1)*max(t, 2, 3)", 0.5, 1.5),
        (" 1e-3 * t ", 2.0, 2e-3),
    ],
)
def test_an_expression_has_the_value_that_it_reads(text, t, value):
    assert math.isclose(expression(text)(t), value, rel_tol=1e-15, abs_tol=1e-18)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("__import__('os').system('true')", "__import__"),
        ("open('x')", "open"),
        ("t.real", "t.real"),
        ("(lambda: 1)()", "lambda"),
        ("[1, 2][0]", "[1, 2]"),
        ("x*2", "'x'"),
        ("t if t else 1", "t if t else 1"),
        ("t > 1", "t > 1"),
        ("t // 2", "t // 2"),
        ("True", "True"),
        ("'a'", "'a'"),
        ("1j", "1j"),
        ("sin(t", "cannot read"),
        ("", "cannot read"),
        ("sin(t, 2)", "sin takes one"),
        ("sin(x=t)", "sin(x=t)"),
        ("max(t)", "max takes two or more"),
        ("(" * 3000 + "t" + ")" * 3000, "1000 characters"),
        ("((((" * 60 + "t" + "))))" * 60, "cannot read"),
    ],
)
def test_anything_else_is_refused_by_name(text, named):
    with pytest.raises(ValueError, match="^field: ") as error:
        expression(text)
    assert named in str(error.value)


@pytest.mark.parametrize(
    "text", ["1/t", "sqrt(t-1)", "log(t)", "9**9**9", "1e308*10", "(0-8)**(1/3)"]
)
def test_a_value_that_does_not_exist_is_refused_with_its_time(text):
    function = expression(text)
    with pytest.raises(ValueError, match="at t = 0 ps"):
        function(0.0)


class Recorder:
    """A reporter that notes time and field."""

    def __init__(self):
        self.rows = []

    def describeNextReport(self, simulation):
        return {"steps": 1, "periodic": False, "include": []}

    def report(self, simulation, state):
        time = simulation.context.getTime().value_in_unit(unit.picosecond)
        self.rows.append((time, simulation.context.getParameter("field_z")))


def particle():
    """A Simulation of one particle with unit charge in the field, steps of 1 fs."""
    topology = app.Topology()
    topology.addAtom("H", app.element.hydrogen, topology.addResidue("H", topology.addChain()))
    force = openmm.CustomExternalForce("-96.485*10*(field_x*x + field_y*y + field_z*z)")
    for name in ("field_x", "field_y", "field_z"):
        force.addGlobalParameter(name, 0.0)
    force.addParticle(0)
    system = openmm.System()
    system.addParticle(1.0)
    system.addForce(force)
    platform = openmm.Platform.getPlatformByName("Reference")
    simulation = app.Simulation(
        topology, system, openmm.VerletIntegrator(1 * unit.femtosecond), platform
    )
    simulation.context.setPositions([openmm.Vec3(0, 0, 0)])
    return simulation


def test_the_context_has_the_field_of_its_time_at_every_update():
    simulation, recorder = particle(), Recorder()
    simulation.reporters += [FieldSchedule((0, 0, "1 + t"), interval=3), recorder]
    simulation.step(8)
    updates = [0, 0, 3, 3, 3, 6, 6, 6]  # step of the latest update after steps 1 to 8
    for (time, field), step in zip(recorder.rows, updates):
        assert math.isclose(field, 1 + step * 1e-3, abs_tol=1e-12), time


def test_a_schedule_that_starts_between_two_updates_takes_the_field_of_the_last_one():
    simulation = particle()
    simulation.step(5)
    schedule = FieldSchedule((0, 0, "1 + t"), interval=3)
    schedule.describeNextReport(simulation)
    assert math.isclose(simulation.context.getParameter("field_z"), 1.003, abs_tol=1e-12)


def test_the_field_acts_from_the_first_step():
    pushed, constant = particle(), particle()
    pushed.reporters.append(FieldSchedule((0, 0, "0.5")))
    constant.context.setParameter("field_z", 0.5)
    z = []
    for simulation in (pushed, constant):
        simulation.step(4)
        z.append(simulation.context.getState(positions=True).getPositions()[0].z)
    assert z[0] == z[1] != 0


@pytest.mark.parametrize(
    ("field", "message"),
    [("0 0 1", "three"), ((0, 0), "three"), ((0, 0, None), "number"), ((0, 0, math.nan), "number")],
)
def test_a_field_without_three_components_is_refused(field, message):
    with pytest.raises(ValueError, match=message):
        FieldSchedule(field)


def test_an_interval_below_one_is_refused():
    with pytest.raises(ValueError, match="interval"):
        FieldSchedule((0, 0, 0), interval=0)
