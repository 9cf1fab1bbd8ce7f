"""Electric fields that change with time.

Each component of the field is a number or an expression of the time t in ps, in V/Å:

    0.02*sin(2*pi*t/10)          a period of 10 ps
    0.01*(step(t-1)-step(t-2))   on from 1 ps to 2 ps

Expressions are read by a small parser of their own: numbers, + - * / **, parentheses, `t`, `pi` and
the functions below; anything else is refused by name and nothing is ever executed. The field acts
through the Context parameters `field_x`, `field_y`, `field_z`.
"""

import ast
import math
from collections.abc import Sized
from typing import Any, Callable, Sequence

from openmm import app, unit

from openmm_pqeq.force.module import FIELD_PARAMETERS
from openmm_pqeq.reporters.table import next_report, positive_interval
from openmm_pqeq.reporters.work import FieldWork

FUNCTIONS: dict[str, Callable[..., float]] = {
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
    "tanh": math.tanh,
    "exp": math.exp,
    "log": math.log,
    "sqrt": math.sqrt,
    "abs": abs,
    "step": lambda x: 1.0 if x >= 0 else 0.0,
    "min": min,
    "max": max,
}
"""Functions of an expression; `step(x)` is 0 below zero and 1 from there on, as in OpenMM's
expressions."""

_OPERATORS: dict[type, Callable[..., float]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.Pow: lambda a, b: math.pow(a, b),
    ast.UAdd: lambda a: a,
    ast.USub: lambda a: -a,
}
_LONGEST = 1000
_ALLOWED = f"numbers, + - * / **, parentheses, t (ps), pi, and the functions {', '.join(FUNCTIONS)}"

Function = Callable[[float], float]


def expression(text: str) -> Function:
    """The function of time (ps) that `text` describes; ValueError names what it does not
    understand.

    >>> expression("0.02*sin(2*pi*t/10)")(2.5)
    0.02
    """
    if len(text) > _LONGEST:
        raise ValueError(
            f"field: an expression may have at most {_LONGEST} characters, got {len(text)}"
        )
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(
            f"field: cannot read the expression {text!r} ({error}); it may contain {_ALLOWED}"
        ) from None
    function = _compile(tree.body, text)

    def value(t: float) -> float:
        try:
            result = function(t)
        except (ArithmeticError, ValueError) as error:
            raise ValueError(
                f"field: the expression {text!r} has no value at t = {t:g} ps ({error})"
            ) from None
        if not math.isfinite(result):
            raise ValueError(f"field: the expression {text!r} is not finite at t = {t:g} ps")
        return result

    return value


def _compile(node: ast.expr, text: str) -> Function:
    """A node of the syntax tree as a function of time; what is not listed here is refused."""
    if (
        isinstance(node, ast.Constant)
        and isinstance(node.value, (int, float))
        and not isinstance(node.value, bool)
    ):
        try:
            constant = float(node.value)
        except OverflowError:
            raise ValueError(
                f"field: the number {str(node.value)[:20]}... in {text!r} is too large"
            ) from None
        return lambda t: constant
    if isinstance(node, ast.Name) and node.id == "t":
        return lambda t: t
    if isinstance(node, ast.Name) and node.id == "pi":
        return lambda t: math.pi
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        binary = _OPERATORS[type(node.op)]
        left, right = _compile(node.left, text), _compile(node.right, text)
        return lambda t: binary(left(t), right(t))
    if isinstance(node, ast.UnaryOp) and type(node.op) in _OPERATORS:
        unary, operand = _OPERATORS[type(node.op)], _compile(node.operand, text)
        return lambda t: unary(operand(t))
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in FUNCTIONS
        and not node.keywords
    ):
        called, arguments = (
            FUNCTIONS[node.func.id],
            [_compile(argument, text) for argument in node.args],
        )
        expected = "two or more" if node.func.id in ("min", "max") else "one"
        if len(arguments) != 1 if expected == "one" else len(arguments) < 2:
            raise ValueError(
                f"field: {node.func.id} takes {expected} argument(s), got {len(arguments)} in "
                f"{text!r}"
            )
        return lambda t: called(*[argument(t) for argument in arguments])
    raise ValueError(
        f"field: {ast.unparse(node)!r} is not understood in {text!r}; an expression may contain "
        f"{_ALLOWED}"
    )


def component(value: float | str) -> Function:
    """A component of the field, given as a number or an expression, as a function of time (ps)."""
    if isinstance(value, str):
        return expression(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(
            f"field: each component must be a number or an expression of t, got {value!r}"
        )
    constant = float(value)
    return lambda t: constant


class FieldSchedule:
    """Set the field of a Simulation as a function of time, every `interval` steps.

    It is appended to `simulation.reporters` like a reporter. Put it before the others: the dipoles
    and charges they report at a time are then those in the field of that time. Where somebody
    reports the field's work (reporters/work.py), an update that changes the field takes one more
    evaluation.

    Parameters
    ----------
    field : three components, each a number (V/Å) or an expression of t (ps) such as
        "0.02*sin(2*pi*t/10)"
    interval : steps from one update to the next; the field is constant in between
    """

    def __init__(self, field: Sequence[float | str], interval: int = 1):
        if isinstance(field, str | bytes) or not isinstance(field, Sized) or len(field) != 3:
            raise ValueError(
                "field: expected three components such as (0, 0, '0.02*sin(2*pi*t/10)'), got "
                f"{field!r}"
            )
        self._components = [component(value) for value in field]
        self._interval = positive_interval(interval)
        self._started = False

    def field(self, time: float) -> tuple[float, float, float]:
        """The field (V/Å) at a time (ps)."""
        x, y, z = (function(time) for function in self._components)
        return x, y, z

    def apply(self, simulation: app.Simulation) -> None:
        """Set the field of the last multiple of `interval` steps, so that a resumed run has the
        field of an unbroken one."""
        time = simulation.context.getTime().value_in_unit(unit.picosecond)
        step_size = simulation.integrator.getStepSize().value_in_unit(unit.picosecond)
        time -= (simulation.currentStep % self._interval) * step_size
        for name, value in zip(FIELD_PARAMETERS, self.field(time)):
            simulation.context.setParameter(name, value)
        if (work := FieldWork.begun(simulation)) is not None:
            work.look(simulation)

    def describeNextReport(self, simulation: app.Simulation) -> dict[str, Any]:
        """Steps to the next update, as OpenMM asks its reporters; the first call sets the field of
        the beginning."""
        if not self._started:
            self._started = True
            self.apply(simulation)
        return next_report(simulation, self._interval)

    def report(self, simulation: app.Simulation, state: Any) -> None:
        """Update the field."""
        self.apply(simulation)
