"""`openmm-pqeq finetune`: an existing model, adjusted to new data."""

import argparse
from typing import Any

from openmm_pqeq.cli.train import training
from openmm_pqeq.jobs.settings import add_existing, add_flags, flags_given
from openmm_pqeq.training.settings import DataSettings, StartSettings, TrainingSettings

HELP = "Adjust a model to labelled structures: its readout, any named part, or all of it."

EPILOG = """examples:
  openmm-pqeq finetune model.pt data.extxyz -o finetuned.pt
  openmm-pqeq finetune universal data.extxyz -o finetuned.pt --train maps --replay 2 --learning-rate 0.003 --time 10min
  openmm-pqeq finetune model.pt data.extxyz -o finetuned.pt --train all --time 10min --held-out 20% --seed 1
  openmm-pqeq finetune model.pt data.extxyz -o finetuned.pt --subset 20% --loss energy+force+stress
  openmm-pqeq finetune model.pt data.extxyz -o finetuned.pt --train-pqeq electronegativity,hardness --bounds 20%

parts for --train, several joined by commas:
  readout           the last two linear layers (default)
  layer.0, layer.1  an interaction, and so on
  radial            the radial networks of all interactions
  self-connection   the species-dependent maps of all interactions
  linear            the linear maps before and after the tensor products
  maps              linear, self-connection and readout: several times faster, for large networks
  embedding, basis  species to features; frequencies of the radial basis
  all, none         none: for --train-pqeq alone
  anything else     a regular expression for names of weights, such as interactions.2.radial

finetuned.pt is the new model. The folder finetuned/ has the errors before and after (errors.txt, errors.json, parity.png), the
course (metrics.csv) and what --resume needs. The original file is only read."""

LOSSES = ("force", "energy+force", "energy+force+stress")


DATA = {"validation": "10%"}
START = {"shifts": "fit"}
TRAINING = {"energy_weight": 10.0, "batch_size": 0}
"""Defaults that fine-tuning has in place of a training file's."""
OTHERWISE = {
    DataSettings: ("files", "held_out"),
    StartSettings: ("model", "shifts", "long_range"),
    TrainingSettings: ("schedule", "max_time", "epochs"),
}
"""Settings that this command gives by flags of its own."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Model, data, what is trained, on how much, for how long."""
    add = parser.add_argument
    add("model", metavar="MODEL", help="name of a model that ships, or path of a file")
    add(
        "data",
        metavar="DATA",
        nargs="+",
        help="labelled structures: extxyz and what else ASE reads, n2p2 input.data, DeePMD folders",
    )
    add("--output", "-o", metavar="FILE.pt", required=True, help="the new model")
    add("--loss", choices=LOSSES, default=LOSSES[0], help="what is fitted (default: force)")
    add(
        "--held-out",
        metavar="SHARE",
        default="20%",
        help="frames kept for measuring (default: 20%%)",
    )
    add(
        "--test",
        metavar="FILE",
        nargs="+",
        help="measure on the frames of these files instead",
    )
    add("--epochs", metavar="N", help="at most (default: 100, or as many as fit into --time)")
    add(
        "--time",
        metavar="TIME",
        help="at most, such as 10min; the learning rate then falls to zero by the end of it",
    )
    add(
        "--keep-shifts",
        action="store_true",
        help="keep the model's energies of the elements instead of fitting them to the data",
    )
    add(
        "--ablate-long-range",
        action="store_true",
        help="the same once more without PQEq and D3, and a table of both",
    )
    add_existing(parser, "result of this name")
    for kind, defaults in (
        (DataSettings, DATA),
        (StartSettings, START),
        (TrainingSettings, TRAINING),
    ):
        add_flags(parser, kind, OTHERWISE[kind], defaults)


def command(options: argparse.Namespace) -> int:
    """Fine-tune and write the model."""
    with training("finetune") as say:
        from openmm_pqeq.training.config import config_of
        from openmm_pqeq.training.finetuning import finetune

        config = config_of(table_of(options), ".", options.output)
        finetune(
            config,
            options.output,
            options.overwrite,
            options.resume,
            options.ablate_long_range,
            say,
        )
    return 0


def table_of(options: argparse.Namespace) -> dict[str, Any]:
    """The flags as the tables of a training file; --seed is that of the split, too."""
    given = flags_given(TrainingSettings, options)
    held_out = {"files": options.test} if options.test else {"n": options.held_out}
    if "seed" in given:
        held_out["seed"] = given["seed"]
    data = DATA | flags_given(DataSettings, options) | {"files": options.data, "held_out": held_out}
    start = START | flags_given(StartSettings, options) | {"model": options.model}
    if options.keep_shifts:
        start["shifts"] = "keep"
    length = {"schedule": "cosine", "epochs": 100 if options.epochs is None else options.epochs}
    if options.time is not None:
        length = {"max_time": options.time}
        if options.epochs is not None:
            length |= {"schedule": "cosine-time", "epochs": options.epochs}
    settings = TRAINING | given | length
    for name in ("energy", "stress"):
        if name not in options.loss:
            settings[f"{name}_weight"] = 0.0
    return {"data": data, "start": start, "training": settings}
