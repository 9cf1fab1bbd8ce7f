"""Derivatives through the converged charge solution, against central differences of the solution
itself."""

import pytest
import torch
from pqeq_potentials import BONDED
from structures import FIELD, perovskite, water

from openmm_pqeq.neighbors.search import NeighborSearch
from openmm_pqeq.potential import build
from openmm_pqeq.pqeq import PQEq
from openmm_pqeq.pqeq.derivatives.adjoint import (
    OF_BONDS,
    PARAMETERS,
    parameters_as,
    solve_with_gradient,
)
from openmm_pqeq.structure import Structure, structure_of

STEP = {
    "electronegativity": 1e-4,
    "hardness": 1e-4,
    "core_charge": 1e-4,
    "radius": 1e-5,
    "spring_constant": 1e-4,
}
"""Steps for central differences: their error, of order step², stays below 1e-6 of the
derivative."""


def pqeq_of(protocol: str, **settings) -> PQEq:
    return build({"pqeq": {"protocol": protocol, "tolerance": 1e-11, **settings}}).pqeq


CASES = {"crystal": (perovskite(0.3, FIELD), "ewald"), "molecule": (water(field=FIELD), "direct")}


def observed(pqeq: PQEq, structure: Structure, what: str) -> torch.Tensor:
    """Charges, shells, energy, or forces at the solution, with their derivatives in the
    parameters."""
    positions = structure.positions.detach().requires_grad_(True)
    structure = structure._replace(positions=positions)
    pairs = NeighborSearch(6.0)(structure)
    charges, shells = solve_with_gradient(pqeq, structure, pairs)
    if what == "charges":
        return charges
    if what == "shells":
        return shells
    energy = pqeq.energy(pqeq.problem(structure, pairs), charges, shells)
    if what == "energy":
        return energy
    return -torch.autograd.grad(energy, positions, create_graph=True)[0]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", PARAMETERS)
def test_derivatives_in_a_parameter_are_those_of_the_solution(name, case):
    """A weighted sum of charges, shells, energy and forces, differentiated in one parameter of
    every element, against central differences of full solutions: to 1e-6 per unit of the parameter,
    where the derivatives are 0.01 to 10."""
    structure, protocol = CASES[case]
    pqeq = pqeq_of(protocol)
    own = getattr(pqeq, name)
    elements = torch.unique(structure.numbers)
    generator = torch.Generator().manual_seed(1)
    for what in ("charges", "shells", "energy", "forces"):
        weights: dict[str, torch.Tensor] = {}

        def loss(values: torch.Tensor, what=what, weights=weights) -> torch.Tensor:
            with parameters_as(pqeq, {name: values}):
                result = observed(pqeq, structure, what)
            if what not in weights:
                weights[what] = torch.randn(result.shape, dtype=torch.float64, generator=generator)
            return (result * weights[what]).sum()

        free = own.clone().requires_grad_(True)
        (found,) = torch.autograd.grad(loss(free), free)
        for z in elements.tolist():
            unit = torch.zeros_like(own)
            unit[z] = STEP[name]
            expected = (loss(own + unit) - loss(own - unit)).item() / (2 * STEP[name])
            assert float(found[z]) == pytest.approx(expected, abs=1e-6 * max(1.0, abs(expected))), (
                what,
                z,
            )


def test_the_solution_moves_with_positions_and_field_where_asked():
    """`geometry=True`: charges and shells against central differences in positions (1e-4 Å) and
    field, to 1e-6."""
    structure, pqeq = perovskite(0.3, FIELD), pqeq_of("ewald")
    generator = torch.Generator().manual_seed(2)
    weight_q = torch.randn(5, dtype=torch.float64, generator=generator)
    weight_s = torch.randn(5, 3, dtype=torch.float64, generator=generator)

    def loss(positions: torch.Tensor, field: torch.Tensor) -> torch.Tensor:
        moved = structure._replace(positions=positions, field=field)
        charges, shells = solve_with_gradient(
            pqeq, moved, NeighborSearch(6.0)(moved), geometry=True
        )
        return (charges * weight_q).sum() + (shells * weight_s).sum()

    positions = structure.positions.clone().requires_grad_(True)
    field = structure.field.clone().requires_grad_(True)
    found = torch.autograd.grad(loss(positions, field), (positions, field))
    for index in [(0, 0), (1, 2), (3, 1)]:
        shift = torch.zeros_like(positions)
        shift[index] = 1e-4
        expected = (
            loss(structure.positions + shift, structure.field)
            - loss(structure.positions - shift, structure.field)
        ) / 2e-4
        assert float(found[0][index]) == pytest.approx(expected.item(), abs=1e-6)
    for axis in range(3):
        shift = torch.zeros_like(field)
        shift[0, axis] = 1e-4
        expected = (
            loss(structure.positions, structure.field + shift)
            - loss(structure.positions, structure.field - shift)
        ) / 2e-4
        assert float(found[1][0, axis]) == pytest.approx(expected.item(), abs=1e-6)


def test_forces_are_those_of_the_potential_and_charges_keep_their_sum():
    """The force from a solution with gradients is −dE/dr at fixed charges and shells, to 1e-9 eV/Å,
    and Σq = Q to 1e-12 e."""
    structure = perovskite(0.3, FIELD)._replace(field=torch.zeros(1, 3, dtype=torch.float64))
    potential = build({"pqeq": {"protocol": "ewald", "tolerance": 1e-11}})
    expected = potential.evaluate(structure, forces=True).forces
    assert (observed(potential.pqeq, structure, "forces") - expected).abs().max() < 1e-9
    assert abs(observed(potential.pqeq, structure, "charges").sum().item() - 0.3) < 1e-12


def test_parameters_return_after_the_block_even_after_an_error():
    pqeq = pqeq_of("direct")
    before = pqeq.radius
    with parameters_as(pqeq, {"radius": before + 1.0}):
        assert pqeq.radius is not before
    with pytest.raises(ZeroDivisionError), parameters_as(pqeq, {"radius": before + 1.0}):
        _ = 1 // 0
    assert pqeq.radius is before


def test_what_cannot_be_differentiated_is_refused():
    structure = water(field=FIELD)
    pairs = NeighborSearch(6.0)(structure)
    with pytest.raises(ValueError, match="has no minimum"):
        solve_with_gradient(build({"pqeq": {"protocol": "reaxnet"}}).pqeq, structure, pairs)
    pqeq = pqeq_of("direct")
    with (
        pytest.raises(ValueError, match="expected names among"),
        parameters_as(pqeq, {"width": pqeq.radius}),
    ):
        pass
    with (
        pytest.raises(ValueError, match=r"expected shape \(119,\)"),
        parameters_as(pqeq, {"radius": pqeq.radius[:4]}),
    ):
        pass


@pytest.mark.parametrize("protocol", ["ewald", "direct"])
@pytest.mark.parametrize("name", [*PARAMETERS, *OF_BONDS])
def test_of_charges_by_bonds_too(name, protocol):
    """A weighted sum of charges and shells, differentiated in one parameter of chlorine, against
    central differences of full solutions."""
    cell = torch.diag(torch.tensor([4.4, 4.6, 4.5], dtype=torch.float64))
    places = torch.tensor([[0.1, 0, 0.2], [2.3, 2.1, 2.5]], dtype=torch.float64)
    field = torch.tensor([0.02, -0.03, 0.01])
    structure = structure_of(
        places,
        torch.tensor([11, 17]),
        cell if protocol == "ewald" else None,
        field=field,
        reference_charges=torch.tensor([1.0, -1.0]),
    )
    pqeq = pqeq_of(protocol, parameters=BONDED, charge_flow="bonds")
    pairs = NeighborSearch(7.0)(structure)
    weights = torch.tensor([0.7, -0.4, 0.3, 1.1, -0.8, 0.5, 0.2, -0.6], dtype=torch.float64)
    own = getattr(pqeq, name)

    def weighted(values):
        with parameters_as(pqeq, {name: values}):
            charges, shells = solve_with_gradient(pqeq, structure, pairs)
        return weights @ torch.cat([charges, shells.flatten()])

    values = own.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(weighted(values), values)
    step = torch.zeros_like(own)
    step[17] = 1e-5
    slope = float((weighted(own + step) - weighted(own - step)).detach()) / 2e-5
    assert float(gradient[17]) == pytest.approx(slope, abs=1e-7)
    assert abs(slope) > 1e-6
