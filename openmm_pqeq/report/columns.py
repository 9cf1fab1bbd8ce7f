"""Columns of tables in words: "polarization_x_uC_per_cm2" is Polarization x, in µC/cm²."""

UNITS = {
    "uC_per_cm2": "µC/cm²",
    "g_per_cm3": "g/cm³",
    "V_per_A": "V/Å",
    "eV": "eV",
    "eA": "e Å",
    "A3": "Å³",
    "ps": "ps",
    "K": "K",
    "e": "e",
}
"""By the ends of names; longer ones first."""


def words_of(column: str) -> tuple[str, str]:
    """The name and the unit of a column; "" for none."""
    for end, unit in UNITS.items():
        if column.endswith(f"_{end}"):
            return _words(column.removesuffix(f"_{end}")), unit
    return _words(column), ""


def label_of(column: str) -> str:
    """Name and unit of a column, for an axis."""
    name, unit = words_of(column)
    return f"{name} ({unit})" if unit else name


def _words(name: str) -> str:
    words = name.replace("_", " ")
    return words[:1].upper() + words[1:]
