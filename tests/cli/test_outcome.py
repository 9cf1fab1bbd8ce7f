"""How values with errors are written."""

import pytest

from openmm_pqeq.cli.analyses.outcome import Value, with_error


@pytest.mark.parametrize(
    ("value", "error", "written"),
    [
        (0.28371, 0.00512, "0.2837 ± 0.0051"),
        (1.23e-5, 3e-7, "(1.230 ± 0.030)e-05"),
        (1234.4, 56.0, "1234 ± 56"),
        (0.0, 0.1, "0.00 ± 0.10"),
        (5.0, 0.0, "5 ± 0"),
        (-4.2, 12.0, "-4 ± 12"),
        (2e9, 3e6, "(2.0000 ± 0.0030)e+09"),
        (0.0239, 8.7e-17, "0.0239 ± 8.7e-17"),
    ],
)
def test_two_digits_of_the_error(value, error, written):
    assert with_error(value, error) == written


def test_what_has_no_error_has_none():
    assert str(Value(1.5, None, "Å")) == "1.5 Å"
    assert str(Value(1.5, float("nan"), "")) == "1.5"
