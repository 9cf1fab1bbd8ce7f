"""Fine-tuning of a published universal network: held-out force errors of three sets of DFT data,
before and after, with a fifth of the frames and with all, and what became of other elements.

    python validation/foundation.py --data DATA --work WORK --output validation/results/foundation.md

DATA holds `batio3/batio3_pbe_59.xyz`, `li3ps4/{train,val,test}.xyz` and the DeePMD folders `lgps/`;
for other elements `sio2/sio2_pbe_161.xyz`, `llzo_dft/llzo_161.xyz` and `mptrj_demo/demo.traj`, whose
structures alone are read. What is finished in WORK is not done again, and what was interrupted goes
on; --rows names those that are run, the table has all that are finished.
"""

import argparse
import datetime
import json
import os
import platform
import sys
import time
from pathlib import Path

import ase.io
import numpy as np
import torch

import openmm_pqeq as pq
from openmm_pqeq.gnn.inference import can_be_fused
from openmm_pqeq.neighbors.search import NeighborSearch
from openmm_pqeq.training.config import config_of
from openmm_pqeq.training.folder import CHECKPOINT
from openmm_pqeq.training.frames import read_frames
from openmm_pqeq.training.loss import errors_of, predict_all
from openmm_pqeq.training.prepare import network_of
from openmm_pqeq.training.replay import labelled_by
from openmm_pqeq.training.run import fit
from openmm_pqeq.training.samples import sample_of
from openmm_pqeq.training.settings import DataSettings
from openmm_pqeq.training.tabulated import Tabulated

START = {"model": "sevennet-0", "train": "maps", "shifts": "fit"}
TRAINING = {
    "energy_weight": 0.0,
    "stress_weight": 0.0,
    "learning_rate": 0.003,
    "batch_size": 1,
    "measure_every": 1000,
}
TARGETS = {"LGPS": 60, "Li3PS4": 80, "BaTiO3": 40}
"""meV/Å, of held-out frames."""
EPOCHS = {
    "BaTiO3 20%": 20,
    "BaTiO3": 6,
    "Li3PS4 20%": 60,
    "Li3PS4": 20,
    "LGPS 2%": 3,
    "LGPS 20%": 2,
    "LGPS": 1,
}
"""Of each row: as many as a processor core does in minutes."""
WAYS = {
    "": {"replay": 2},
    ", all weights": {"train": "all", "replay": 2},
    ", no replay": {},
    ", rank 8": {"replay": 2, "rank": 8},
}
"""What is different from `START`."""
OTHERS = {
    "SiO2": ("sio2/sio2_pbe_161.xyz", 16),
    "LLZO": ("llzo_dft/llzo_161.xyz", 20),
    "Li3PS4": ("li3ps4/test.xyz", 1),
    "BaTiO3": ("batio3/batio3_pbe_59.xyz", 8),
}
"""DFT of other elements: the file, and every which frame of it."""
CRYSTALS = ("mptrj_demo/demo.traj", 5)
"""Crystals of 79 elements, against the network as it was; those with forces below `CALM`."""
CALM = 5.0
"""eV/Å."""


def data_of(name: str, data: Path) -> dict:
    """The [data] table of a set."""
    if name == "BaTiO3":
        files, more = ["batio3/batio3_pbe_59.xyz"], {"held_out": {"n": "20%"}, "validation": "10%"}
    elif name == "Li3PS4":
        test = {"files": [str(data / "li3ps4" / "test.xyz")]}
        files, more = ["li3ps4/train.xyz", "li3ps4/val.xyz"], {"held_out": test, "validation": 9}
    else:
        files, more = ["lgps"], {"held_out": {"n": 100}, "validation": 20}
        more["type_map"] = ["Li", "Ge", "P", "S"]
    return {"files": [str(data / file) for file in files], "stress_key": "none"} | more


def rows() -> list[str]:
    return [row + way for way in WAYS for row in EPOCHS]


def train(row: str, data: Path, folder: Path) -> None:
    """A row, unless it is there; an interrupted one goes on."""
    if (folder / "cpu_seconds.txt").is_file():
        return
    print(f"--- {row}", flush=True)
    what, _, _ = row.partition(",")
    name, _, subset = what.partition(" ")
    table = {
        "data": data_of(name, data) | ({"subset": subset} if subset else {}),
        "start": START | WAYS[row.removeprefix(what)],
        "training": TRAINING | {"epochs": EPOCHS[what], "threads": 1},
    }
    resume, start = (folder / CHECKPOINT).is_file(), time.process_time()
    fit(config_of(table), folder, folder.exists() and not resume, resume, say)
    seconds = time.process_time() - start
    (folder / "cpu_seconds.txt").write_text("–\n" if resume else f"{seconds:.0f}\n")


def say(line: str) -> None:
    print(line, flush=True)


def others(model: str, data: Path) -> dict[str, float]:
    """Force RMSE of a model on DFT of other elements, and its RMS difference on crystals from the
    network as it was, meV/Å."""
    network, before = (_network(name) for name in (model, START["model"]))
    search, errors = NeighborSearch(before.network.cutoff), {}
    no_shifts = dict.fromkeys(range(1, 119), 0.0)
    for name, (file, every) in OTHERS.items():
        files = [str(data / file)]
        frames = read_frames(files, DataSettings(files=tuple(files)))[::every]
        samples = [sample_of(frame, search, no_shifts, torch.float32) for frame in frames]
        errors[name] = errors_of(predict_all(network, samples), samples).force_rmse
    images = ase.io.read(data / CRYSTALS[0], index=f"::{CRYSTALS[1]}")
    known = set(before.network.species)
    images = [image for image in images if set(image.get_chemical_symbols()) <= known]
    samples = [labelled_by(before, image, search) for image in images]
    samples = [one for one in samples if float(one.forces.abs().max()) < CALM]
    errors["crystals"] = errors_of(predict_all(network, samples), samples).force_rmse
    return errors


def _network(name: str) -> torch.nn.Module:
    gnn = network_of(pq.load(name)).to(torch.float32)
    if not can_be_fused(gnn):
        raise SystemExit("this needs the native operators: make ops")
    return Tabulated(gnn)


def kept(path: Path, make) -> dict:
    """What `make` gives, from a file after the first time."""
    if not path.is_file():
        path.write_text(json.dumps(make()))
    return json.loads(path.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--work", required=True, type=Path, help="folder of all that is trained")
    parser.add_argument("--rows", nargs="*", default=list(EPOCHS), help=f"of {rows()}")
    parser.add_argument("--output", type=Path, help="Markdown table")
    options = parser.parse_args()
    if unknown := set(options.rows) - set(rows()):
        parser.error(f"--rows: expected some of {rows()}, got {sorted(unknown)}")
    options.work.mkdir(parents=True, exist_ok=True)
    for row in options.rows:
        train(row, options.data, options.work / _folder(row))
    text = markdown(options.data, options.work)
    print(text)
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(text, encoding="utf-8")


def _folder(row: str) -> str:
    return row.replace("%", "").replace(",", "").replace(" ", "-")


def markdown(data: Path, work: Path) -> str:
    """Both tables."""
    base = kept(work / "others_before.json", lambda: others(START["model"], data))
    first = [
        "| data | frames: training / held out | force RMSE before, meV/Å | after | target | energy "
        "RMSE after, meV/atom | epochs | seconds (processor) |",
        "|---|---|---|---|---|---|---|---|",
    ]
    second = [
        f"| after training on | crystals built here, held out | {len(base) - 1} sets of DFT: "
        + ", ".join(name for name in OTHERS)
        + " | crystals of 79 elements |",
        "|---|---|---|---|",
        f"| nothing | 0 | {_listed(base)} | 0 |",
    ]
    for row in rows():
        folder = work / _folder(row)
        if not (folder / "cpu_seconds.txt").is_file():
            if row in EPOCHS:
                first.append(f"| {row} | not run | | | | | | |")
            continue
        facts = json.loads((folder / "errors.json").read_text())
        held_out, was = (facts[key]["held out"] for key in ("errors", "errors_before"))
        frames, cpu = facts["frames"], (folder / "cpu_seconds.txt").read_text().strip()
        first.append(
            f"| {row} | {frames['training']} / {frames['held out']} | {was['force_rmse']:.0f} | "
            f"{held_out['force_rmse']:.0f} | {TARGETS[row.split()[0].rstrip(',')]} | "
            f"{held_out['energy_rmse']:.1f} | {facts['epochs']} | {facts['seconds']:.0f} ({cpu}) |"
        )
        model = str(folder / "model.pt")
        now = kept(folder / "others.json", lambda model=model: others(model, data))
        replay = facts["errors"].get("replay")
        gone = f"{replay['force_rmse']:.0f} ({replay['energy_rmse']:.0f})" if replay else "–"
        second.append(f"| {row} | {gone} | {_listed(now)} | {now['crystals']:.0f} |")
    return "\n".join([*_heading(), *first, "", *_about_others(), *second, ""])


def _listed(errors: dict[str, float]) -> str:
    return ", ".join(f"{errors[name]:.0f}" for name in OTHERS)


def _heading() -> list[str]:
    threads = f"one thread of {os.cpu_count()} shared cores ({platform.machine()})"
    return [
        "# Fine-tuning of SevenNet-0",
        "",
        "    python validation/foundation.py --data DATA --work WORK",
        "",
        f"{datetime.date.today()}, {threads}, Python {sys.version.split()[0]}, torch "
        f"{torch.__version__}, numpy {np.__version__}. Parts `{START['train']}`, forces alone, "
        f"learning rate {TRAINING['learning_rate']}, one frame and, unless it says otherwise, two "
        "replayed crystals a step. Neither training nor the choice of weights "
        "has seen the held-out frames.",
        "",
    ]


def _about_others() -> list[str]:
    return [
        "Other elements, force RMSE in meV/Å (and energies, meV/atom, without the elements' "
        "shifts). Crystals: against the network as it was. DFT: against the labels.",
        "",
    ]


if __name__ == "__main__":
    main()
