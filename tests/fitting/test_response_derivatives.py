"""The response and its derivatives in the parameters, against central differences."""

import numpy as np
import pytest
import torch
from response_frames import CASES, batio3, frame_of
from structures import perovskite, tensor

import openmm_pqeq as pq
from openmm_pqeq.fitting.parameters import free_parameters, hardness_margins, with_values
from openmm_pqeq.fitting.residuals import FitSettings, Guard, Residuals, measure
from openmm_pqeq.fitting.response import Place, Respondent
from openmm_pqeq.fitting.targets import ResponseFrame
from openmm_pqeq.neighbors.search import NeighborSearch
from openmm_pqeq.pqeq import PQEq
from openmm_pqeq.pqeq.derivatives.adjoint import PARAMETERS
from openmm_pqeq.response import response


@pytest.mark.parametrize("coupling", ["shell", "full"])
@pytest.mark.parametrize("case", CASES)
def test_response_is_that_of_the_potential(case, coupling):
    """Two ways to the same second derivatives: to 1e-9 e²Å²/eV and e, limited by the residual of
    the solution."""
    make, protocol, parameters = CASES[case]
    if coupling == "full" and case == "crystal":
        pytest.skip("full coupling has no meaning in a crystal")
    config = {symbol: values._asdict() for symbol, values in parameters().items()}
    potential = pq.build(
        {
            "pqeq": {
                "protocol": protocol,
                "tolerance": 1e-10,
                "coupling": coupling,
                "parameters": config,
            }
        }
    )
    structure = make()
    alpha, born = response(potential, structure)
    answer = Respondent(
        potential.pqeq, structure, NeighborSearch(6.0)(structure), True, True
    ).answer([], tensor([]))
    assert (answer.polarizability - alpha).abs().max() < 1e-9
    assert (answer.born - born).abs().max() < 1e-9
    assert (answer.forces - potential.evaluate(structure, forces=True).forces).abs().max() < 1e-9


@pytest.mark.parametrize("case", CASES)
def test_derivatives_of_the_response_in_every_parameter(case):
    """Charges, shells, dipole, polarizability, Born charges, forces, smallest eigenvalue, longest
    shell against central differences: to 1e-6 of the largest derivative, the error of a difference
    over 1e-4 of the parameter."""
    make, protocol, parameters = CASES[case]
    structure = make()
    pqeq = PQEq(parameters(), protocol, tolerance=1e-9)
    places = [Place(name, int(z)) for name in PARAMETERS for z in torch.unique(structure.numbers)]
    values = torch.stack([getattr(pqeq, place.name)[place.number] for place in places])
    respondent = Respondent(pqeq, structure, NeighborSearch(6.0)(structure), True, True)
    _, slopes = respondent.answer_with_slopes(places, values)
    for m in range(len(places)):
        step = torch.zeros_like(values)
        step[m] = 1e-5 * max(1.0, float(values[m].abs()))
        up, down = (
            respondent.answer(places, values + step),
            respondent.answer(places, values - step),
        )
        for quantity in up._fields:
            difference = (getattr(up, quantity) - getattr(down, quantity)) / (2 * step[m])
            found = getattr(slopes, quantity)[m]
            largest = max(1.0, float(difference.abs().max()))
            assert float((found - difference).abs().max()) < 1e-6 * largest, (places[m], quantity)


def test_jacobian_of_the_loss_guard_and_prior_included():
    """Every residual against central differences in u, to 1e-5 of the largest; the limits are set
    so that all three guards push."""
    start, structure = batio3(), perovskite()
    answer = measure(start, [ResponseFrame(structure, {}, "")])[0]
    margin = hardness_margins(start, ["O"])["O"]
    guard = Guard(0.95 * answer.softest, 0.95 * margin, 1.05 * answer.longest)
    frame = frame_of(
        perovskite(),
        with_values(start, free_parameters(start, ["O"], ["hardness"]), [9.0]),
        ["born_charge", "dielectric"],
    )
    free = free_parameters(start, ["O", "Ti", "Ba"])
    residuals = Residuals(
        start,
        [frame],
        free,
        FitSettings({"born_charge": 0.1, "dielectric": 0.1}, guard, tolerance=1e-8),
    )
    u = residuals.origin
    assert residuals(u)[-len(u) - 3 - 2 : -len(u)].any()
    jacobian = residuals.jacobian(u)
    for k in range(len(u)):
        step = np.zeros(len(u))
        step[k] = 1e-5
        up, _ = residuals._evaluate(u + step, False)
        down, _ = residuals._evaluate(u - step, False)
        difference = (up - down) / 2e-5
        assert np.abs(jacobian[:, k] - difference).max() < 1e-5 * max(
            1.0, np.abs(difference).max()
        ), free[k]
