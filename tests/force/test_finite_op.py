"""The native operator that looks at a gradient on its way."""

import math

import pytest
import torch
from through_openmm import salt_positions

from openmm_pqeq import ops
from openmm_pqeq.finite import finite_gradient

pytestmark = [
    pytest.mark.python_route,
    pytest.mark.skipif(not ops.available("finite_gradient"), reason="needs the native library"),
]


def test_a_gradient_on_its_way():
    """The same value, derivatives of any order, and an error where one is not finite."""
    x = torch.tensor(salt_positions(), requires_grad=True)
    numbers, indices = torch.tensor([11, 11, 17, 17]), torch.tensor([7, 5, 3, 1])

    def watched(x):
        return finite_gradient(x, numbers, indices)

    assert torch.equal(watched(x), x)
    assert torch.autograd.gradcheck(lambda x: watched(x).pow(3), x)
    assert torch.autograd.gradgradcheck(lambda x: watched(x).pow(3), x)
    assert torch.equal(torch.jit.script(finite_gradient)(x, numbers, indices), x)
    weights = torch.ones(4, 3)
    weights[2, 1] = math.inf
    with pytest.raises(
        RuntimeError, match=r"^forces: not finite, first that on atom 3 \(Cl\)\. Are"
    ):
        (watched(x) * weights).sum().backward()
