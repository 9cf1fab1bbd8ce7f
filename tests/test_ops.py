"""The native operators equal their torch references in value, first and second derivative, and
their absence is explained."""

import pytest
import torch

from openmm_pqeq import ops
from openmm_pqeq.pqeq.coulomb import kernels

pytestmark = pytest.mark.python_route

needs_library = pytest.mark.skipif(not ops.available(), reason=ops.status())


def distances_and_exponents(n=64, dtype=torch.float64):
    """Distances (Å) and exponents (Å⁻¹) over the range that occurs in materials."""
    generator = torch.Generator().manual_seed(7)
    distance = 0.6 + 11.0 * torch.rand(n, dtype=torch.float64, generator=generator)
    gamma = 0.1 + 0.9 * torch.rand(n, dtype=torch.float64, generator=generator)
    return distance.to(dtype), gamma.to(dtype)


def native(distance, gamma):
    return torch.ops.openmm_pqeq.coulomb_radial(distance, gamma)


@needs_library
# one ulp of the largest value (14.4·2/√π·γ eV/Å⁵ and its derivatives), times the handful of
# operations that differ in order
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 5e-4)])
def test_coulomb_radial_equals_its_reference(dtype, tolerance):
    distance, gamma = distances_and_exponents(dtype=dtype)
    for ours, reference in zip(
        native(distance, gamma), kernels.coulomb_radial_reference(distance, gamma)
    ):
        assert ours.dtype == dtype
        torch.testing.assert_close(ours, reference, rtol=0.0, atol=tolerance)


@needs_library
@pytest.mark.parametrize("component", [0, 1, 2])
def test_derivatives_equal_those_of_the_reference(component):
    def derivatives(function):
        distance, gamma = (x.requires_grad_() for x in distances_and_exponents())
        first = torch.autograd.grad(
            function(distance, gamma)[component].sum(), (distance, gamma), create_graph=True
        )
        weighted = sum((0.3 + k) * g.sum() for k, g in enumerate(first))
        return [*first, *torch.autograd.grad(weighted, (distance, gamma))]

    for ours, reference in zip(derivatives(native), derivatives(kernels.coulomb_radial_reference)):
        # second derivatives of f₂ reach 1e3 eV/Å⁷ at 0.6 Å, where the reference itself cancels to
        # about 1e-10
        torch.testing.assert_close(ours, reference, rtol=1e-9, atol=1e-9)


@needs_library
def test_derivatives_against_differences():
    distance, gamma = (x.requires_grad_() for x in distances_and_exponents(4))
    assert torch.autograd.gradcheck(native, (distance, gamma))
    assert torch.autograd.gradgradcheck(native, (distance, gamma))


@needs_library
def test_shapes_broadcast_as_in_the_reference():
    distance, _ = distances_and_exponents(6)
    gamma = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)
    matrix = distance.reshape(2, 3)
    values = native(matrix, gamma)
    assert [v.shape for v in values] == [matrix.shape] * 3
    (slope,) = torch.autograd.grad(values[0].sum(), gamma)
    (expected,) = torch.autograd.grad(
        kernels.coulomb_radial_reference(matrix, gamma)[0].sum(), gamma
    )
    torch.testing.assert_close(slope, expected, rtol=0.0, atol=1e-12)


@needs_library
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_two_threads_give_the_numbers_of_one(dtype):
    """With more elements than one task takes."""
    made, before = [], torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            distance, gamma = (x.requires_grad_() for x in distances_and_exponents(100_000, dtype))
            values = native(distance, gamma)
            made.append(
                [*values, *torch.autograd.grad(sum(v.sum() for v in values), (distance, gamma))]
            )
    finally:
        torch.set_num_threads(before)
    for one, two in zip(*made):
        assert torch.equal(one, two)


@needs_library
@pytest.mark.gpu
def test_cuda_tensors_are_taken():
    distance, gamma = distances_and_exponents()
    for ours, reference in zip(
        native(distance.cuda(), gamma.cuda()), kernels.coulomb_radial_reference(distance, gamma)
    ):
        torch.testing.assert_close(ours.cpu(), reference, rtol=0.0, atol=1e-12)


@needs_library
def test_the_kernel_for_other_devices_has_the_same_shapes():
    distance, gamma = distances_and_exponents(5)
    assert [v.shape for v in native(distance.to("meta"), gamma.to("meta"))] == [(5,)] * 3


@needs_library
def test_scripted_code_calls_it():
    scripted = torch.jit.script(kernels.coulomb_radial)
    assert "openmm_pqeq::coulomb_radial" in str(scripted.graph)
    distance, gamma = distances_and_exponents()
    distance.requires_grad_()
    (slope,) = torch.autograd.grad(scripted(distance, gamma).value.sum(), distance)
    torch.testing.assert_close(slope, native(distance, gamma)[1] * distance, rtol=0.0, atol=1e-12)


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
