"""Analyses of the command line, one module each: HELP, EPILOG, add_arguments, command.

A command is given the folder that it writes NAME.json, NAME.png and the like into, and returns its
exit code, or None for 0.
"""

from openmm_pqeq.cli.analyses import (
    arrhenius,
    averages,
    conductivity,
    dielectric,
    diffusion,
    elastic,
    eos,
    hysteresis,
    infrared,
    lattice,
    phonons,
    polarization,
    polyhedra,
    profile,
    rdf,
    relaxation,
)

ANALYSES = {
    "rdf": rdf,
    "diffusion": diffusion,
    "arrhenius": arrhenius,
    "conductivity": conductivity,
    "profile": profile,
    "polyhedra": polyhedra,
    "averages": averages,
    "lattice": lattice,
    "polarization": polarization,
    "hysteresis": hysteresis,
    "relaxation": relaxation,
    "dielectric": dielectric,
    "infrared": infrared,
    "elastic": elastic,
    "eos": eos,
    "phonons": phonons,
}
"""By name; a new one is a module and a line here."""
