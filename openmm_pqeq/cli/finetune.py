"""`openmm-pqeq finetune`: an existing model, adjusted to new data."""

import argparse
from typing import Any

from openmm_pqeq.cli.train import training

HELP = "Adjust a model to labelled structures: its readout, any named part, or all of it."

EPILOG = """examples:
  openmm-pqeq finetune model.pt data.extxyz -o finetuned.pt
  openmm-pqeq finetune model.pt data.extxyz -o finetuned.pt --train all --time 10min --held-out 20% --seed 1
  openmm-pqeq finetune model.pt data.extxyz -o finetuned.pt --subset 20% --loss energy+force+stress
  openmm-pqeq finetune model.pt data.extxyz -o finetuned.pt --train-pqeq electronegativity,hardness --bounds 20%

parts for --train, several joined by commas:
  readout           the last two linear layers (default)
  layer.0, layer.1  an interaction, and so on
  radial            the radial networks of all interactions
  self-connection   the species-dependent maps of all interactions
  linear            the linear maps before and after the tensor products
  embedding, basis  species to features; frequencies of the radial basis
  all, none         none: for --train-pqeq alone
  anything else     a regular expression for names of weights, such as interactions.2.radial

finetuned.pt is the new model. The folder finetuned/ has the errors before and after (errors.txt, errors.json, parity.png), the
course (metrics.csv) and what --resume needs. The original file is only read."""

LOSSES = ("force", "energy+force", "energy+force+stress")


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
    add(
        "--train",
        metavar="PARTS",
        default="readout",
        help="parts of the network that are trained (default: readout)",
    )
    add(
        "--train-pqeq",
        metavar="NAMES",
        default="",
        help="and of PQEq: electronegativity,hardness,radius,spring_constant",
    )
    add(
        "--bounds",
        metavar="SHARE",
        default="20%",
        help="how far PQEq's parameters may go from where they are (default: 20%%)",
    )
    add("--loss", choices=LOSSES, default=LOSSES[0], help="what is fitted (default: force)")
    add(
        "--energy-weight",
        type=float,
        default=10.0,
        metavar="W",
        help="of energies in the loss, forces having 1 (default: 10)",
    )
    add(
        "--stress-weight",
        type=float,
        default=1.0,
        metavar="W",
        help="of stress in the loss (default: 1)",
    )
    add(
        "--subset",
        metavar="SHARE",
        default="100%",
        help="train on so many of the frames, or such a share as 20%%",
    )
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
        default=[],
        help="measure on the frames of these files instead",
    )
    add(
        "--validation",
        metavar="SHARE",
        default="10%",
        help="frames for early stopping and choosing weights (default: 10%%)",
    )
    add(
        "--seed",
        type=int,
        default=0,
        help="of the split and of the order of the frames (default: 0)",
    )
    add("--epochs", type=int, help="at most (default: 100, or as many as fit into --time)")
    add(
        "--time",
        metavar="TIME",
        help="at most, such as 10min; the learning rate then falls to zero by the end of it",
    )
    add(
        "--patience",
        type=int,
        default=0,
        metavar="EPOCHS",
        help="stop after so many without a better validation error",
    )
    add("--learning-rate", type=float, default=0.005, help="of the network (default: 0.005)")
    add("--batch-size", type=int, default=0, help="frames a step (default: about 64 atoms)")
    add(
        "--keep-shifts",
        action="store_true",
        help="keep the model's energies of the elements instead of fitting them to the data",
    )
    add(
        "--labels",
        choices=("reference", "short-range"),
        default="reference",
        help="short-range: PQEq and D3 are already subtracted",
    )
    for name in ("energy", "forces", "stress"):
        add(
            f"--{name}-key",
            metavar="KEY",
            default="auto",
            help=f"where the data have {name} (default: the usual names)",
        )
    add(
        "--charge-key",
        metavar="KEY",
        default="charge",
        help="where the data have the total charge (default: charge)",
    )
    add(
        "--type-map",
        metavar="SYMBOLS",
        default="",
        help="elements of DeePMD's types, such as Li,Ge,P,S",
    )
    add(
        "--ablate-long-range",
        action="store_true",
        help="the same once more without PQEq and D3, and a table of both",
    )
    add("--threads", type=int, default=0, help="of the processor (default: torch's choice)")
    add("--device", default="cpu", help="cpu or cuda (default: cpu)")
    add(
        "--dtype",
        choices=("float32", "float64"),
        default="float32",
        help="of the network while it is trained (default: float32)",
    )
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument(
        "--overwrite", action="store_true", help="replace an earlier result of this name"
    )
    existing.add_argument("--resume", action="store_true", help="continue one that was interrupted")


def command(options: argparse.Namespace) -> int:
    """Fine-tune and write the model."""
    with training("finetune") as say:
        from openmm_pqeq.training.config import config_of
        from openmm_pqeq.training.finetune import finetune

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
    """The flags as the tables of a training file."""
    held_out = {"seed": options.seed} | (
        {"files": options.test} if options.test else {"n": _frames(options.held_out)}
    )
    data = {
        "files": options.data,
        "energy_key": options.energy_key,
        "forces_key": options.forces_key,
        "stress_key": options.stress_key,
        "charge_key": options.charge_key,
        "held_out": held_out,
        "validation": _frames(options.validation),
        "subset": _frames(options.subset),
        "labels": options.labels,
        "type_map": _names(options.type_map),
    }
    start = {
        "model": options.model,
        "train": options.train,
        "train_pqeq": _names(options.train_pqeq),
        "bounds": _fraction(options.bounds),
        "shifts": "keep" if options.keep_shifts else "fit",
    }
    settings = {
        "epochs": options.epochs or (100 if options.time is None else 1_000_000),
        "batch_size": options.batch_size,
        "learning_rate": options.learning_rate,
        "schedule": "cosine" if options.time is None else "cosine-time",
        "max_time": options.time or 0.0,
        "patience": options.patience,
        "energy_weight": options.energy_weight if "energy" in options.loss else 0.0,
        "stress_weight": options.stress_weight if "stress" in options.loss else 0.0,
        "seed": options.seed,
        "threads": options.threads,
        "device": options.device,
        "dtype": options.dtype,
    }
    return {"data": data, "start": start, "training": settings}


def _frames(value: str) -> int | str:
    return int(value) if value.isdigit() else value


def _names(value: str) -> list[str]:
    return [name.strip() for name in value.split(",") if name.strip()]


def _fraction(value: str) -> float:
    try:
        return float(value.rstrip("% ")) / (100.0 if value.endswith("%") else 1.0)
    except ValueError:
        raise ValueError(f"bounds: expected a share such as 20% or 0.2, got {value!r}") from None
