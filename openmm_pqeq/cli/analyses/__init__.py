"""Analyses of the command line, one module each: HELP, EPILOG, add_arguments, command.

A command returns its exit code, or None for 0.
"""

from openmm_pqeq.cli.analyses import (
    arrhenius,
    conductivity,
    dielectric,
    diffusion,
    infrared,
    rdf,
)

ANALYSES = {
    "rdf": rdf,
    "diffusion": diffusion,
    "arrhenius": arrhenius,
    "conductivity": conductivity,
    "dielectric": dielectric,
    "infrared": infrared,
}
"""By name; a new one is a module and a line here."""
