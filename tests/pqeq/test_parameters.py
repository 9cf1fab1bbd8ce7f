"""Tables of PQEq parameters: what is not understood is refused by name."""

import math

import pytest

from openmm_pqeq.fitting.crystals.table import rows_to_start
from openmm_pqeq.potential import build
from openmm_pqeq.pqeq.parameters import BOND_COLUMNS, COLUMNS, as_mapping, resolve_parameters

HEADER = "element,pol,chi,eta,Z,R_core,K2"
MAGNESIUM = "Mg,1,3,12,1,1.5,300"


@pytest.fixture
def table(tmp_path):
    """Writes lines into a table, and returns its path."""

    def write(*lines):
        path = tmp_path / "mine.csv"
        path.write_text("\n".join(lines) + "\n")
        return str(path)

    return write


def test_every_column_is_read(table):
    names = {**COLUMNS, **BOND_COLUMNS}
    cells = [str(1.0 + 0.25 * place) for place in range(len(names))]
    path = table(",".join(["element", "pol", *names]), ",".join(["Mg", "1", *cells]))
    found = resolve_parameters(path)["Mg"]._asdict()
    assert found == {name: float(cell) for name, cell in zip(names.values(), cells)}


def test_a_mapping_says_all_that_a_table_does(table):
    """What a model's file keeps of its parameters."""
    names = {**COLUMNS, **BOND_COLUMNS}
    cells = ",".join(str(1.0 + 0.25 * place) for place in range(len(names)))
    header = ",".join(["element", "reference_charge", *names])
    mine = table(header, f"Mg,,{cells}", f"Mg,2,{cells.replace('1.25', '3.5')}")
    for parameters in (mine, "response", "molecules", "reaxnet"):
        resolved = resolve_parameters(parameters)
        assert resolve_parameters(as_mapping(resolved)) == resolved


@pytest.mark.parametrize(
    ("column", "meant"),
    [("chi_slop", "chi_slope"), (" chi_slope", "chi_slope"), ("Softness", "softness"), ("xyz", "")],
)
def test_an_unknown_column_is_named(table, column, meant):
    """A slope under a name that nobody reads would be another physics without a word."""
    path = table(f"{HEADER},{column}", f"{MAGNESIUM},0.5")
    hint = rf"; did you mean '{meant}'\?$" if meant else "source$"
    with pytest.raises(ValueError, match=rf"mine\.csv: .* unknown column '{column}'.*{hint}"):
        resolve_parameters(path)


def test_a_column_that_is_there_twice_is_named(table):
    path = table(f"{HEADER},softness,chi", f"{MAGNESIUM},0.5,4")
    with pytest.raises(ValueError, match=r"mine\.csv: the table has the column 'chi' twice"):
        resolve_parameters(path)


def test_an_element_that_is_there_twice_is_named(table):
    path = table(HEADER, MAGNESIUM, "O,1,8,14,1,0.8,400", MAGNESIUM)
    with pytest.raises(ValueError, match=r"mine\.csv: row 4: Mg for the second time, after row 2"):
        resolve_parameters(path)


@pytest.mark.parametrize("cell", ["no", "", "0.5", "-1"])
def test_whether_there_is_a_shell_is_one_or_zero(table, cell):
    with pytest.raises(ValueError, match=rf"row 2, column pol: expected 1 .* or 0, got '{cell}'"):
        resolve_parameters(table(HEADER, MAGNESIUM.replace("Mg,1", f"Mg,{cell}")))
    path = table(HEADER, MAGNESIUM.replace("Mg,1", "Mg, 0"))
    assert resolve_parameters(path)["Mg"].spring_constant == 0.0


@pytest.mark.parametrize("cell", ["inf", "nan", "1.5"])
def test_a_reference_charge_is_a_whole_number(table, cell):
    path = table(f"{HEADER},reference_charge", f"{MAGNESIUM},{cell}")
    with pytest.raises(
        ValueError, match=f"reference_charge: expected a whole number, got '{cell}'"
    ):
        resolve_parameters(path)


@pytest.mark.parametrize(
    ("slope", "message"),
    [
        (
            1000.5,
            r"electronegativity_slope \(column chi_slope\) must be .* -1000 to 1000 eV; got 1000",
        ),
        (-2e4, "-1000 to 1000 eV; got -20000"),
        (math.nan, "expected"),
        (-math.inf, "expected"),
    ],
)
def test_a_slope_that_is_no_energy_is_refused(table, slope, message):
    """In mappings, tables, the start of a fit to crystals and a potential."""
    usual = {"electronegativity": 3.0, "hardness": 12.0, "core_charge": 1.0, "radius": 1.5}
    mapping = {"Mg": {**usual, "electronegativity_slope": slope}}
    path = table(f"{HEADER},chi_slope", f"{MAGNESIUM},{slope}")
    doors = [(resolve_parameters, mapping), (resolve_parameters, path), (rows_to_start, path)]
    doors += [(build, {"pqeq": {"parameters": given}}) for given in (mapping, path)]
    for door, given in doors:
        with pytest.raises(ValueError, match=rf"parameters\['Mg'\].*{message}"):
            door(given)
    steepest = {"Mg": {**usual, "electronegativity_slope": math.copysign(1000.0, slope)}}
    assert abs(resolve_parameters(steepest)["Mg"].electronegativity_slope) == 1000.0


def test_the_messages_of_a_table_name_file_row_and_column(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("element,pol,chi,eta,Z,R_core,K2\nMg,1,3,12,1,1.5,300\nO,1,8,x,1,0.8,400\n")
    with pytest.raises(
        ValueError, match=r"mine\.csv: row 3, column eta: expected a number, got 'x'"
    ):
        resolve_parameters(str(path))
    path.write_text("element,pol,chi,eta,Z,R_core,K2\nMg,1,3,12\n")
    with pytest.raises(
        ValueError, match=r"mine\.csv: row 2, column Z: expected a number, got noth"
    ):
        resolve_parameters(str(path))
    path.write_bytes("element,chi\nMgé,1".encode("latin-1"))
    with pytest.raises(ValueError, match=r"mine\.csv: expected text in UTF-8"):
        resolve_parameters(str(path))


def test_a_table_has_one_set(table):
    """Of several, the last one had been taken without a word."""
    rows = [f"{name},{MAGNESIUM}" for name in ("pqeq1", "pqeq3")]
    with pytest.raises(
        ValueError, match=r"mine.csv: expected parameters of one set, got pqeq1, pqeq3"
    ):
        resolve_parameters(table(f"set,{HEADER}", *rows))
    assert list(resolve_parameters(table(f"set,{HEADER}", rows[0]))) == ["Mg"]
