"""Oscillators whose spectra are known."""

import numpy as np

from openmm_pqeq.units import BOLTZMANN, KJ_PER_MOL_PER_EV, PER_ANGSTROM_IN_PER_CM, SPEED_OF_LIGHT

TEMPERATURE = 300.0  # K
DEBYE = 0.20819434  # e Å
EV_IN_AMU = KJ_PER_MOL_PER_EV * 100  # 1 eV = 9648.5 amu Å²/ps²
INTENSITY = 42.2561  # km/mol of a mode with dμ/dQ = 1 D/Å/√amu; the factor that quantum-chemistry programs print
POSITION = 0.5  # cm⁻¹, a maximum found by a parabola on a grid of a few cm⁻¹


def per_ps(wavenumber):
    """Angular frequency, rad/ps."""
    return 2 * np.pi * wavenumber * SPEED_OF_LIGHT / PER_ANGSTROM_IN_PER_CM


def oscillator(wavenumber, strength=1.0, duration=20.0, interval=0.001, axis=0):
    """Dipole and current, (n, 3), of a mode with dμ/dQ = `strength` (D/Å/√amu) along an axis and
    the energy kT."""
    times, frequency = np.arange(0, duration, interval), per_ps(wavenumber)
    amplitude = (
        strength * DEBYE * np.sqrt(2 * BOLTZMANN * TEMPERATURE * EV_IN_AMU)
    )  # of the current
    dipole, current = np.zeros((2, len(times), 3))
    dipole[:, axis] = amplitude / frequency * np.sin(frequency * times + 0.3)
    current[:, axis] = amplitude * np.cos(frequency * times + 0.3)
    return dipole, current
