"""OpenMM reporters of charges, shells, dipole, polarization, energies and profiles.

    simulation.reporters.append(ChargeReporter("charges.h5", 100))                 charges and shells; or charges.extxyz
    simulation.reporters.append(DipoleReporter("dipole.csv", 10))                  dipole and polarization
    simulation.reporters.append(EnergyReporter("energies.csv", 100))               gnn, pqeq and d3
    simulation.reporters.append(ChargeStatisticsReporter("elements.csv", 100))     charges and shells of each element
    simulation.reporters.append(ProfileReporter("profile.h5", 100, axis="z"))      charge density, field, potential
    simulation.reporters.append(CommitteeReporter("committee.csv", 100, systems))  how far several models agree

They find the potential in the Simulation's System and evaluate it again at the frames they write,
once for all of them (see observer.py). After each frame the file is complete on disk.
"""

from openmm_pqeq.reporters.axis_profiles import ProfileReporter
from openmm_pqeq.reporters.charges import ChargeReporter
from openmm_pqeq.reporters.committee import CommitteeReporter
from openmm_pqeq.reporters.dipole import DipoleReporter, PolarizationSum
from openmm_pqeq.reporters.energies import EnergyReporter
from openmm_pqeq.reporters.statistics import ChargeStatisticsReporter
from openmm_pqeq.reporters.table import Table, positive_interval, vector_columns
from openmm_pqeq.reporters.work import FieldWork, work_columns

__all__ = [
    "ChargeReporter",
    "ChargeStatisticsReporter",
    "CommitteeReporter",
    "DipoleReporter",
    "EnergyReporter",
    "FieldWork",
    "PolarizationSum",
    "ProfileReporter",
    "Table",
    "positive_interval",
    "vector_columns",
    "work_columns",
]
