"""Settings from text and typed values: what is understood, and that everything else is a ValueError
that names the setting."""

import argparse
import dataclasses
import math
import tomllib

import numpy as np
import pytest

from openmm_pqeq.fitting.settings import RunSettings
from openmm_pqeq.jobs import phrases, quantities, values
from openmm_pqeq.jobs.settings import (
    add_flags,
    configured,
    flags_given,
    setting,
    settings_of,
    table_of,
    toml_lines,
)
from openmm_pqeq.md.settings import RunConfig
from openmm_pqeq.training.settings import DataSettings, StartSettings, TrainingSettings

TABLES = (RunConfig, RunSettings, DataSettings, StartSettings, TrainingSettings)
ODD = (
    *(math.nan, math.inf, -math.inf, 1e300, -1e300, 10**400, -1, 0, 1e-320, True, None),
    *("", " ", "nan", "inf", "-inf", "1e400", "1e400ps", "1e400GPa", "9" * 5000, "min()", "1 2"),
    *("=", ":", "a=", "a=:", "a=x:1", "Ba:", "Ba:=1:2", "\0", "Å", "%", "1e400%", "::", "1:2:x"),
    *([], {}, [1], [1, 2, 3], ["a", 1, None], [math.nan] * 3, [10**400] * 3, [1e5] * 3),
    *(["min()", 0, 0], ["1e400", 0, 0], [["a"], 0, 0], {"a": math.nan}, {1: 2}, object()),
)


def value_or_message(parse, name, value):
    try:
        return parse(name, value), name
    except ValueError as error:
        return None, str(error)


@pytest.mark.parametrize("table", TABLES)
def test_whatever_is_given_is_a_finite_value_or_a_ValueError_with_its_name(table):
    for name, one in settings_of(table).items():
        for value in ODD:
            found, message = value_or_message(one.metadata["parse"], name, value)
            assert message.startswith((name, "field:")), (name, value)
            assert len(message) < 1000
            for item in found if isinstance(found, tuple) else (found,):
                if isinstance(item, int | float):
                    assert math.isfinite(item), (name, value)
                    assert abs(item) < 1e13, (name, value)


@pytest.mark.parametrize("table", TABLES)
def test_every_setting_has_its_meaning_in_one_line(table):
    for name, one in settings_of(table).items():
        assert one.metadata["help"], name
        assert "\n" not in one.metadata["help"], name


def inner_and_outer():
    @dataclasses.dataclass(frozen=True)
    class Inner:
        n: int | str = setting("a", values.share, "20%", "how many")

    @dataclasses.dataclass(frozen=True)
    class Outer:
        word: str = setting("a", values.text, help="a word", metavar="W")
        time: float | None = setting("a", quantities.picoseconds, None, "time", "T", unit="ps")
        yes: bool = setting("b", values.boolean, False, "whether 20% is meant")
        inner: Inner = setting("b", table_of(Inner), Inner, "a table")
        more: dict = setting("b", values.numbers, dict, "numbers")

    return Inner, Outer


def test_a_table_is_the_same_from_flags_and_from_the_file_that_it_writes():
    inner, outer = inner_and_outer()
    parser = argparse.ArgumentParser()
    add_flags(parser, outer, skip=("inner",))
    words = ["--word", 'quo"te\\ \x7f é', "--time", "500fs", "--yes", "--more", "O=-1,Ti=2e3"]
    found = configured(outer, flags_given(outer, parser.parse_args(words)))
    assert (found.time, found.yes, found.inner) == (0.5, True, inner())
    assert found.more == {"O": -1.0, "Ti": 2000.0}
    assert configured(outer, tomllib.loads("\n".join(toml_lines(found)))) == found
    assert "20%" in parser.format_help()
    for wrong, message in (
        ({"wrd": 1}, "wrd: not a setting; expected one of word.*did you mean 'word'"),
        ({}, "word: missing; expected a word"),
        ({"word": "a", "inner": {"n": "x"}}, "inner.n: expected 0 or more, or a share"),
        ({"word": "a", "inner": 3}, "inner: expected a table"),
    ):
        with pytest.raises(ValueError, match=message):
            configured(outer, wrong)


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (quantities.seconds, "01:00:30", 3630.0),
        (quantities.seconds, "10min", 600.0),
        (quantities.seconds, 5, 5.0),
        (values.share, "12", 12),
        (values.share, "12.5%", "12.5%"),
        (values.fraction, "20%", 0.2),
        (values.names, "Li, Ge", ("Li", "Ge")),
        (values.names, ["Li", "Ge"], ("Li", "Ge")),
        (values.texts, "a, b.xyz", ("a, b.xyz",)),
        (values.sign, -1, -1),
        (phrases.target, "polarizability=pol:bohr3", ("polarizability", "pol", "bohr3")),
        (phrases.scale, "born_charge=0.1", ("born_charge", 0.1)),
        (phrases.selection, "Ba:radius,hardness", ("Ba", ("radius", "hardness"))),
        (phrases.selection, "all", ("", ("all",))),
        (phrases.bounds, "radius=0.4:1.6", (("", ("radius",)), (0.4, 1.6, False))),
        (phrases.bounds, "Ti:hardness=x0.8:x1.5", (("Ti", ("hardness",)), (0.8, 1.5, True))),
    ],
)
def test_small_languages(parse, text, value):
    assert parse("name", text) == value


@pytest.mark.parametrize(
    ("written", "bar"),
    [("1 Mbar", 1e6), ("1 mbar", 1e-3), ("1MPa", 10.0), ("1 mPa", 1e-8), ("2 gpa", 2e4), (3, 3.0)],
)
def test_mega_is_not_milli(written, bar):
    assert quantities.pressure("pressure", written) == pytest.approx(bar, rel=1e-12)


@pytest.mark.parametrize("written", ["1 mpa", "1 MBAR"])
def test_a_unit_that_may_be_mega_or_milli_is_refused(written):
    with pytest.raises(ValueError, match="pressure: expected a number with one of the units"):
        quantities.pressure("pressure", written)


@pytest.mark.parametrize("kind", [float, np.float64, np.float32, np.float16])
def test_numbers_of_any_precision_are_finite_or_not(kind):
    assert values.is_finite(kind(1.5))
    assert values.is_finite(kind(-0.0))
    assert not any(values.is_finite(kind(text)) for text in ("inf", "-inf", "nan"))


def test_what_no_float_holds_is_not_finite():
    assert values.is_finite(np.int32(-3))
    assert values.is_finite(2**1000)
    assert not any(values.is_finite(odd) for odd in (10**400, True, np.True_, "1", None, 1j))


@pytest.mark.parametrize(("written", "wanted"), [(10, 10.0), ("1GPa", 1.0), ("500 bar", 0.05)])
def test_who_relaxes_counts_in_gigapascals(written, wanted):
    """Bare numbers are GPa there, and bar in a run; both say what they took."""
    assert quantities.gigapascals("pressure", written) == wanted
    assert quantities.pressure_in_words(1e4 * wanted).endswith(f" bar ({wanted:g} GPa)")


def test_times_and_pressures_of_numpy_are_numbers():
    assert quantities.femtoseconds("timestep", np.float32(0.5)) == 0.5
    assert quantities.pressure("pressure", np.int64(2)) == 2.0
    with pytest.raises(ValueError, match="time: expected a number"):
        quantities.picoseconds("time", np.float32("nan"))
