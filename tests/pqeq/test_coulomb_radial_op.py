"""The native operator coulomb_radial equals its torch reference in value, first and second
derivative."""

import pytest
import torch

from openmm_pqeq import ops
from openmm_pqeq.pqeq.coulomb import kernels

pytestmark = [
    pytest.mark.python_route,
    pytest.mark.skipif(
        not ops.available("coulomb_radial"), reason=f"coulomb_radial: {ops.status()}"
    ),
]


def distances_and_exponents(n=64, dtype=torch.float64):
    """Distances (Å) and exponents (Å⁻¹) over the range that occurs in materials."""
    generator = torch.Generator().manual_seed(7)
    distance = 0.6 + 11.0 * torch.rand(n, dtype=torch.float64, generator=generator)
    gamma = 0.1 + 0.9 * torch.rand(n, dtype=torch.float64, generator=generator)
    return distance.to(dtype), gamma.to(dtype)


def native(distance, gamma):
    return torch.ops.openmm_pqeq.coulomb_radial(distance, gamma)


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


def test_derivatives_against_differences():
    distance, gamma = (x.requires_grad_() for x in distances_and_exponents(4))
    assert torch.autograd.gradcheck(native, (distance, gamma))
    assert torch.autograd.gradgradcheck(native, (distance, gamma))


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


@pytest.mark.gpu
def test_tensors_on_a_gpu_are_taken(gpu):
    distance, gamma = distances_and_exponents()
    for ours, reference in zip(
        native(distance.to(gpu), gamma.to(gpu)), kernels.coulomb_radial_reference(distance, gamma)
    ):
        torch.testing.assert_close(ours.cpu(), reference, rtol=0.0, atol=1e-12)


def test_the_kernel_for_other_devices_has_the_same_shapes():
    distance, gamma = distances_and_exponents(5)
    assert [v.shape for v in native(distance.to("meta"), gamma.to("meta"))] == [(5,)] * 3


def test_scripted_code_calls_it():
    scripted = torch.jit.script(kernels.coulomb_radial)
    assert "openmm_pqeq::coulomb_radial" in str(scripted.graph)
    distance, gamma = distances_and_exponents()
    distance.requires_grad_()
    (slope,) = torch.autograd.grad(scripted(distance, gamma).value.sum(), distance)
    torch.testing.assert_close(slope, native(distance, gamma)[1] * distance, rtol=0.0, atol=1e-12)
