"""Two time steps: a fast model moves the atoms, and the potential corrects it now and then.

    E = E_inner + (E − E_inner)

The first part is in force group 0, with everything else in the System, and is evaluated at every
inner step; the second is in force group 1 and is evaluated once an outer step. Its force changes
slowly where the inner model is a good one, so that an outer step may be several times as long
(Tuckerman, Berne and Martyna, J. Chem. Phys. 97, 1990 (1992), doi:10.1063/1.463137). The
integrators are OpenMM's: `MTSIntegrator`, and with a thermostat `MTSLangevinIntegrator`, BAOAB-RESPA
(Lagardère et al., J. Phys. Chem. Lett. 10, 2593 (2019), doi:10.1021/acs.jpclett.9b00901). Any other
integrator sees the sum, which is the potential.
"""

import os

from openmm_pqeq.checkpoint import loaded
from openmm_pqeq.jobs import values
from openmm_pqeq.potential import Potential
from openmm_pqeq.pqeq import FieldEnergy

INNER_GROUP, OUTER_GROUP = 0, 1
"""Force groups, see above."""

INNER_NAME = "openmm_pqeq inner model"
"""What the names of the two forces of an inner model begin with."""


def time_steps(inner_steps: int) -> list[tuple[int, int]]:
    """Force groups, and how many times in an outer step each is evaluated, as OpenMM's
    `MTSIntegrator` and `MTSLangevinIntegrator` want it, for a System with an inner model.

    inner_steps : in an outer step, whose length is the integrator's
    """
    return [(OUTER_GROUP, 1), (INNER_GROUP, values.positive_count("inner_steps", inner_steps))]


def inner_potential(model: Potential | str | os.PathLike[str]) -> Potential:
    """What an inner model does at an inner step: all that it has but the energy of a field.

    Raises
    ------
    ValueError
        for charges that its network has been trained beside: without them it is no model
    FileNotFoundError
        where there is no such model; both name it as the inner one
    """
    try:
        potential = loaded(model)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"inner_model: {error}") from None
    except ValueError as error:
        raise ValueError(f"inner_model: {error}") from None
    if potential.pqeq is None:
        return potential
    if not isinstance(potential.pqeq, FieldEnergy):
        raise ValueError(
            "inner_model: expected a model without charges, or with those of a field alone "
            '(energy = "field"), for they would have to be solved at every inner step; got one '
            "whose energy contains them. Distill a small network from the potential, and use that"
        )
    return potential.select(*(name for name in potential.terms if name != "pqeq"))
