"""Numbers with their errors, as people write them."""

import math

MOST_DIGITS = 1e-7
"""Of an error by its value; smaller ones are of arithmetic."""


def with_error(value: float, error: float) -> str:
    """Value ± error, both to two digits of the error."""
    if error <= MOST_DIGITS * abs(value) or not math.isfinite(value):
        return f"{value:.6g} ± {error:.2g}"
    last = math.floor(math.log10(error)) - 1
    if -6 <= last <= 0 and abs(value) < 1e7:
        return f"{value:.{-last}f} ± {error:.{-last}f}"
    power = math.floor(math.log10(max(abs(value), error)))
    scale = 10.0**power
    digits = max(0, power - last)
    return f"({value / scale:.{digits}f} ± {error / scale:.{digits}f})e{power:+03d}"
