"""Made-up crystals of alkali halides, labelled by a known table."""

import ase
import numpy as np

from openmm_pqeq.fitting.crystals import table
from openmm_pqeq.fitting.crystals.data import Crystal
from openmm_pqeq.fitting.crystals.problem import Problem
from openmm_pqeq.fitting.crystals.table import BOND_COLUMNS
from openmm_pqeq.pqeq import resolve_parameters
from openmm_pqeq.reference_charges.oxidation import oxidation_states

PUBLISHED = resolve_parameters("reaxnet")
START = table.rows_to_start("reaxnet")
NOTHING = np.full((3, 3), np.nan)


def quiet(line: object) -> None:
    """Say nothing."""


def crystal(symbols: str, size: float, name: str = "", seed: int = 0) -> Crystal:
    """Two or four atoms of a rattled rock salt, without labels."""
    rng = np.random.default_rng(seed)
    n = len(ase.Atoms(symbols))
    places = np.array([[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0, 0, 0.5]])[:n]
    places = places + 0.02 * rng.normal(size=places.shape)
    cell = size * (np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) if n == 2 else np.eye(3) * 1.5)
    atoms = ase.Atoms(symbols, scaled_positions=places, cell=cell, pbc=True)
    charges = np.array(oxidation_states(atoms.get_chemical_symbols()))
    return Crystal(name or symbols, atoms, charges, np.full((n, 3, 3), np.nan), NOTHING)


def salts() -> list[Crystal]:
    """Fourteen made-up crystals of alkali halides."""
    pairs = [(a, b) for a in ("Li", "Na", "K") for b in ("F", "Cl")]
    found = [crystal(a + b, 2.4 + 0.1 * k, seed=k) for k, (a, b) in enumerate(pairs)]
    return found + [crystal(f"{a}{b}{a}{b}", 2.6, seed=20 + k) for k, (a, b) in enumerate(pairs)]


def labelled(crystals, columns, shift: float = 0.3) -> tuple[list[Crystal], np.ndarray]:
    """Crystals with the labels of a table that is `shift` away from the start, and that table."""
    kinds = table.kinds_of(crystals, 3, columns is BOND_COLUMNS)
    start = table.start_of(kinds, columns, START)
    truth = start + shift * np.random.default_rng(5).normal(size=start.size)
    truth = np.clip(truth, *table.bounds_of(start, columns))
    known, answers = Problem(crystals, kinds, columns, start, 1e-9), list(crystals)
    for batch in known.batches:
        found = known.response(batch, truth)
        for k, index in enumerate(batch.crystals):
            born, epsilon = found.born[k].numpy(), found.epsilon[k].numpy()
            answers[index] = crystals[index]._replace(born=born, epsilon=epsilon)
    return answers, truth


def six_salts_by_bonds() -> tuple[Problem, np.ndarray]:
    """What is to be fitted to six labelled crystals, and where a fit starts."""
    crystals, _ = labelled(salts()[:6], BOND_COLUMNS)
    kinds = table.kinds_of(crystals, 3, True)
    start = table.start_of(kinds, BOND_COLUMNS, START)
    return Problem(crystals, kinds, BOND_COLUMNS, start), start
