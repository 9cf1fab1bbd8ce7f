"""Fine-tuning against training from scratch: held-out force errors of three sets of DFT data, after
equal numbers of steps.

    python validation/finetune.py --data DATA --work WORK

DATA holds `mptrj_demo/demo.traj` (500 frames, 79 elements, labels are DFT less the long-range
energy), `llzo_dft/llzo_161.xyz`, `li3ps4/{train,val,test}.xyz` and
`charge_states/Carbon_chain_4G/input.data`. A universal network is trained on the first
(WORK/universal, unless it is there), then the three others are learnt in three ways: its readout
fine-tuned (two linear layers, force-only loss, the paper's recipe), all of it fine-tuned, and a
network of the same form from scratch. What is finished in WORK is not done again. The table goes to
--output.
"""

import argparse
import datetime
import json
import platform
import sys
import time
from pathlib import Path

import ase.io
from ase.data import chemical_symbols

from openmm_pqeq.training.config import config_of
from openmm_pqeq.training.folder import CHECKPOINT
from openmm_pqeq.training.run import fit

GNN = {
    "hidden_irreps": "64x0e + 16x1o + 8x2e",
    "sh_irreps": "1x0e + 1x1o + 1x2e",
    "layers": 3,
    "r_max": 5.0,
    "radial_hidden": [64, 64],
}
PQEQ = {"protocol": "reaxnet"}
TRAINING = {"amsgrad": False, "measure_every": 1000, "dtype": "float32"}
FORCE_ONLY = {
    "energy_weight": 0.0,
    "stress_weight": 0.0,
    "force_weight": 1.0,
    "batch_size": 0,
    "warmup": 20,
}
RATES = {"readout": 0.02, "all": 0.005, "scratch": 0.005}
EPOCHS = {"Carbon chains": 60, "Li3PS4": 30, "LLZO (20 % subset)": 16}
WAYS = {
    "readout": "fine-tuned, readout",
    "all": "fine-tuned, all weights",
    "scratch": "from scratch",
}


def sets(data: Path, seed: int) -> dict[str, dict]:
    """The [data] table of each set."""
    carbon = {
        "files": [str(data / "charge_states" / "Carbon_chain_4G" / "input.data")],
        "held_out": {"seed": seed, "n": "20%"},
    }
    li3ps4 = {
        "files": [str(data / "li3ps4" / f"{name}.xyz") for name in ("train", "val")],
        "validation": 10,
    }
    li3ps4["held_out"] = {"seed": seed, "files": [str(data / "li3ps4" / "test.xyz")]}
    llzo = {
        "files": [str(data / "llzo_dft" / "llzo_161.xyz")],
        "held_out": {"seed": seed, "n": "20%"},
        "validation": 8,
    }
    return {
        "Carbon chains": carbon | {"validation": "10%", "stress_key": "none"},
        "Li3PS4": li3ps4 | {"stress_key": "none"},
        "LLZO (20 % subset)": llzo | {"stress_key": "none", "subset": "20%"},
    }


def run(table: dict, folder: Path) -> dict:
    """The facts of a training, done now or before."""
    if not (folder / "model.pt").is_file():
        print(f"--- {folder}", flush=True)
        start = time.process_time()
        fit(
            config_of(table),
            folder,
            False,
            (folder / CHECKPOINT).is_file(),
            lambda line: print(line, flush=True),
        )
        (folder / "cpu_seconds.txt").write_text(f"{time.process_time() - start:.0f}\n")
    cpu = folder / "cpu_seconds.txt"
    return json.loads((folder / "errors.json").read_text()) | {
        "cpu": cpu.read_text().strip() if cpu.exists() else "–"
    }


def pretrain(data: Path, folder: Path, minutes: float, threads: int) -> None:
    file = data / "mptrj_demo" / "demo.traj"
    numbers = {int(z) for atoms in ase.io.read(file, ":") for z in atoms.numbers}
    table = {
        "data": {
            "files": [str(file)],
            "held_out": {"seed": 0, "n": 50},
            "validation": 25,
            "labels": "short-range",
        },
        "potential": {
            "gnn": GNN | {"species": [chemical_symbols[z] for z in sorted(numbers)]},
            "pqeq": PQEQ,
        },
        "training": TRAINING
        | {
            "batch_size": 4,
            "learning_rate": 0.005,
            "max_time": 60 * minutes,
            "warmup": 50,
            "threads": threads,
        },
    }
    table["training"] |= {
        "schedule": "cosine-time",
        "epochs": 100000,
        "energy_weight": 10.0,
        "measure_every": 5,
    }
    run(table, folder)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument(
        "--work", required=True, type=Path, help="folder for everything that is trained"
    )
    parser.add_argument("--sets", nargs="+", choices=list(EPOCHS), default=list(EPOCHS))
    parser.add_argument("--pretraining-minutes", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, help="Markdown table")
    options = parser.parse_args()
    universal = options.work / "universal"
    pretrain(options.data, universal, options.pretraining_minutes, options.threads)
    rows = []
    for name in options.sets:
        data = sets(options.data, options.seed)[name]
        training = (
            TRAINING
            | FORCE_ONLY
            | {"epochs": EPOCHS[name], "seed": options.seed, "threads": options.threads}
        )
        for way, title in WAYS.items():
            table: dict = {"data": data, "training": training | {"learning_rate": RATES[way]}}
            if way == "scratch":
                table["potential"] = {"gnn": GNN, "pqeq": PQEQ}
            else:
                table["start"] = {"model": str(universal / "model.pt"), "train": way}
            facts = run(table, options.work / f"{name.split()[0]}-{way}-seed{options.seed}")
            rows.append((name, title, facts))
    text = markdown(rows, universal, options)
    print(text)
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(text)


def markdown(rows: list, universal: Path, options: argparse.Namespace) -> str:
    pre = json.loads((universal / "errors.json").read_text())
    lines = [
        "# Fine-tuning against training from scratch",
        "",
        f"    python validation/finetune.py --data DATA --work WORK --threads {options.threads} "
        f"--seed {options.seed}",
        "",
        f"{datetime.date.today()}, {options.threads} thread(s) of a shared machine with 2 cores "
        f"({platform.machine()}), Python"
        f" {sys.version.split()[0]}, torch {pre['torch']}. Universal network: {pre['seconds']:.0f} "
        f"s on {pre['frames']['training']}"
        f" frames of 79 elements (seed {pre['seed']}), held-out force RMSE "
        f"{pre['errors']['held out']['force_rmse']:.0f} meV/Å.",
        "Force-only loss, the same number of steps for each way; RMSE of held-out frames that "
        "neither training nor the choice of"
        " weights has seen.",
        "",
        "| data (force RMS of the labels) | frames: training / held out | way | weights trained | "
        "force RMSE before, meV/Å | after"
        " | change | energy RMSE after, meV/atom | steps | time, s (processor, s) |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, title, facts in rows:
        after = facts["errors"]["held out"]
        before = facts.get("errors_before", {}).get("held out", {}).get("force_rmse")
        change = f"{100 * (after['force_rmse'] / before - 1):+.0f} %" if before else "–"
        frames, labels = facts["frames"], 1000 * facts["force_rms_eV_per_A"]
        cells = [
            f"{name} ({labels:.0f} meV/Å)",
            f"{frames['training']} / {frames['held out']}",
            title,
            facts["trained_parameters"],
        ]
        cells += [
            f"{before:.0f}" if before else "–",
            f"{after['force_rmse']:.0f}",
            change,
            f"{after['energy_rmse']:.1f}",
        ]
        cells += [facts["steps"], f"{facts['seconds']:.0f} ({facts['cpu']})"]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
