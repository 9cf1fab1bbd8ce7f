"""Analyses of the command line, one module each: HELP, EPILOG, add_arguments, command."""

from openmm_pqeq.cli.analyses import dielectric, infrared

ANALYSES = {"infrared": infrared, "dielectric": dielectric}
"""By name; a new one is a module and a line here."""
