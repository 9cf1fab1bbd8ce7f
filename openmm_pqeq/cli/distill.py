"""`openmm-pqeq distill`: a small, fast model from the labels of a large one."""

import argparse
from pathlib import Path

from openmm_pqeq.cli.train import training
from openmm_pqeq.distillation.settings import StructureSettings, StudentSettings, TeacherSettings
from openmm_pqeq.jobs import values
from openmm_pqeq.jobs.settings import add_existing, add_flags, flags_given, read_toml

HELP = "Train a small model on the labels that a large one gives to structures made here."

EPILOG = """examples:
  openmm-pqeq distill copper.toml
  openmm-pqeq distill copper.toml --resume
  openmm-pqeq distill copper.toml --labels-only
  openmm-pqeq distill copper.toml --channels 64 --temperatures 300 900 -o larger

The flags are the keys of the tables [teacher], [structures] and [student] of the file, with - in place of _, and win over it.
[held_out] has the keys of [structures], for the structures that are measured and never trained on: what it does not say is as
in [structures], with another seed. [training] and [card] are those of `train`; [data] may have reference_charges.

copper.toml:
  output = "copper"

  [teacher]
  model = "universal"        # or: calculator = "ase.calculators.emt:EMT"

  [structures]
  files = ["Cu.cif"]
  atoms = 32
  alloys = ["Cu=Au"]
  temperatures = [300, 900, 1500]

  [held_out]
  temperatures = [600]

  [student]
  channels = 32
  layers = 2
  l_max = 1

  [training]
  max_time = "30min"

The folder gets labels.db (ASE's database, a row a structure; what is in it is not labelled again), model.pt, report.txt,
report.json, parity.png, course.png and student/, the training."""

TABLES = {"teacher": TeacherSettings, "structures": StructureSettings, "student": StudentSettings}
"""The tables of the file that have flags."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The file, where to write, and the settings."""
    add = parser.add_argument
    add("config", metavar="FILE.toml", help="teacher, structures, student and training")
    add("--output", "-o", metavar="FOLDER", help="folder for all of it (default: the file's)")
    add("--labels-only", action="store_true", help="label, and end before the training")
    add_existing(parser, "distillation")
    for name, kind in TABLES.items():
        add_flags(parser, kind, skip=SKIPPED.get(name, ()))


SKIPPED = {"teacher": ("options",), "structures": ("files",)}
"""Settings that are given in the file alone."""


def command(options: argparse.Namespace) -> int:
    """Label, train, report."""
    with training("distill") as say:
        from openmm_pqeq.distillation.config import distillation_of
        from openmm_pqeq.distillation.run import distilled

        path = Path(options.config)
        table = read_toml(path)
        for name, kind in TABLES.items():
            given, described = flags_given(kind, options), table.get(name, {})
            if given and isinstance(described, dict):
                table[name] = described | given
        settings = distillation_of(table, path.parent, path.stem)
        folder = values.path(
            "output", settings.output if options.output is None else options.output
        )
        distilled(settings, folder, options.overwrite, options.resume, options.labels_only, say)
    return 0
