"""The native operators: their absence is explained, one idiom chooses them, and their names and numbers
are those of the package."""

import re
from pathlib import Path

import pytest
import torch

import openmm_pqeq as pq
from openmm_pqeq import ops, units
from openmm_pqeq.d3.dispersion import dispersion_reference
from openmm_pqeq.finite import finite_gradient_reference
from openmm_pqeq.gnn import equivariant_convolution, radial_nodes, weighted_convolution
from openmm_pqeq.pqeq import constants
from openmm_pqeq.pqeq.coulomb import kernels, splines
from openmm_pqeq.pqeq.sweeps import tapered_reference
from openmm_pqeq.start import short_pieces

pytestmark = pytest.mark.python_route

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "plugin" / "src"


def test_a_library_that_was_not_built(tmp_path):
    outcome = ops.load(tmp_path)
    assert not outcome.loaded
    assert not outcome.accident
    assert "not built" in outcome.message
    assert "make ops" in outcome.message


def test_a_library_of_another_torch(tmp_path):
    (tmp_path / "libopenmm_pqeq_ops-torch1.13.so").touch()
    outcome = ops.load(tmp_path)
    assert not outcome.loaded
    assert not outcome.accident
    assert f"built for torch 1.13, but torch {torch.__version__} is installed" in outcome.message


def test_a_library_that_fails_to_load(tmp_path):
    (tmp_path / f"libopenmm_pqeq_ops-torch{ops.torch_minor()}.so").write_text("not a library")
    outcome = ops.load(tmp_path)
    assert not outcome.loaded
    assert outcome.accident
    assert "failed to load" in outcome.message


def test_the_library_can_be_switched_off(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENMM_PQEQ_NATIVE", "0")
    assert "OPENMM_PQEQ_NATIVE=0" in ops.load().message


# Choosing


@pytest.mark.parametrize(
    ("dispatched", "on_cpu", "on_meta"),
    [
        ({"CPU"}, True, False),
        ({"CPU", "CUDA"}, True, False),
        ({"CPU", "CompositeExplicitAutograd"}, True, True),
    ],
)
def test_a_device_without_a_kernel_leaves_the_work_to_the_reference(
    monkeypatch, dispatched, on_cpu, on_meta
):
    monkeypatch.setattr(ops, "available", lambda operator=None: True)
    monkeypatch.setattr(ops, "has_kernel", lambda operator, device: device in dispatched)
    native_on = ops.native_on("an operator")
    for question in (native_on, torch.jit.script(native_on)):
        assert question(torch.zeros(1)) == on_cpu
        assert question(torch.zeros(1, device="meta")) == on_meta
    assert ops.pick("an operator", "native", "reference") == "native"


def test_without_the_library_references_are_picked(monkeypatch):
    monkeypatch.setattr(ops, "available", lambda operator=None: False)
    assert ops.pick("half_list", "native", "reference") == "reference"
    assert not ops.native_on("half_list")(torch.zeros(1))


REFERENCES = [
    kernels.coulomb_radial_reference,
    equivariant_convolution.equivariant_convolution_reference,
    weighted_convolution.weighted_convolution_reference,
    radial_nodes.interpolation_reference,
    splines.spread_reference,
    splines.interpolate_reference,
    splines.interpolate_hessian_reference,
    dispersion_reference,
    finite_gradient_reference,
    short_pieces.short_pieces_reference,
    tapered_reference.tapered_pairs_reference,
    tapered_reference.tapered_radials_reference,
    tapered_reference.tapered_gradient_reference,
    tapered_reference.tapered_product_reference,
    tapered_reference.tapered_forces_reference,
    tapered_reference.pair_matrix_product_reference,
]


@pytest.mark.parametrize("reference", REFERENCES, ids=lambda reference: reference.__name__)
def test_every_reference_scripts(reference):
    """It is what a script calls where there is no library, or no kernel for the device."""
    assert "openmm_pqeq::" not in str(torch.jit.script(reference).graph)


@pytest.fixture
def older_library(monkeypatch):
    """A library that was built before there was an operator `dispersion`."""
    there = [name for name in ops.OPERATORS if name != "dispersion"]
    monkeypatch.setattr(ops, "operators", lambda: there)
    monkeypatch.setattr(ops, "_native", ops.Native(True, "loaded.", library=Path("old.so")))
    monkeypatch.setattr(ops, "_told", False)


def test_a_process_is_told_once_of_an_older_library(older_library):
    potential = pq.build({"zbl": {}})
    with pytest.warns(UserWarning, match=r"old\.so .* lacks dispersion.*make ops.*doctor"):
        pq.PQEqCalculator(potential)
    pq.PQEqCalculator(potential)  # warnings are errors
    assert "without dispersion" in ops.status()


def test_a_whole_library_is_not_complained_of():
    assert ops.missing() == []


# Sources, where they are


@pytest.mark.skipif(not SOURCES.is_dir(), reason="an installed package has no sources of operators")
def test_the_list_of_operators_is_that_of_the_schema():
    names = re.findall(r'"(\w+)\(', (SOURCES / "schema.cpp").read_text())
    assert sorted(names) == sorted(ops.OPERATORS)


@pytest.mark.skipif(not SOURCES.is_dir(), reason="an installed package has no sources of operators")
def test_from_the_name_of_a_folder_everything_else_can_be_guessed():
    """The file that the schema names beside a folder exists, and so does a test."""
    schema = (SOURCES / "schema.cpp").read_text()
    named = dict(re.findall(r"// ---- (\w+)/, (openmm_pqeq/\S+\.py)", schema))
    assert set(named) == {path.name for path in SOURCES.iterdir() if path.is_dir()}
    for folder, source in named.items():
        assert folder in (ROOT / source).read_text()
        assert list(ROOT.glob(f"tests/*/test_{folder}_op.py"))


@pytest.mark.skipif(not SOURCES.is_dir(), reason="an installed package has no sources of operators")
def test_numbers_of_the_native_code_are_those_of_the_package():
    """Read from the sources, because a kernel cannot import Python."""
    numbers: dict[str, float] = {}
    for path in [SOURCES / "constants.h", *SOURCES.glob("*/*.h")]:
        for name, value in re.findall(r"constexpr \w+ (k\w+) = ([-+.e\d]+);", path.read_text()):
            numbers[name] = float(value)
    assert numbers["kCoulomb"] == units.COULOMB
    assert numbers["kTwoOverSqrtPi"] == constants.TWO_OVER_SQRT_PI
    assert numbers["kLanes"] == equivariant_convolution.LANES
    assert numbers["kPathFields"] == len(equivariant_convolution.PlannedPath._fields)
    assert numbers["kWeightedPathFields"] == len(weighted_convolution.WeightedPath._fields)
    assert numbers["kPoints"] == radial_nodes.POINTS
