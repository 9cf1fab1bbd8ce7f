"""What does a universal network gain from a few frames of one's own? SevenNet-0, before and after.

    python studies/fine_tuning/run.py [--short | --here | --full] [--data FOLDER]

NaCl clusters, PBE by this project (studies/charge_states/pbe.extxyz); and with

--data    FOLDER/charge_states/AlAuMgO_4G/input.data: Au2 on MgO(001), 18 frames in all;
          with --full FOLDER/lgps, too: Li–Ge–P–S, DeePMD's arrays, a fifth of 4,964 frames

Forces alone are fitted, by the linear maps (`maps`), without replay: what becomes of other elements
is in docs/finetuning.md.
"""

import sys
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import ase
import ase.io
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "charge_states"))
import charge_pairs
import study as studies

import openmm_pqeq as pq
from openmm_pqeq.training.formats import read_images
from openmm_pqeq.training.run import train

MODEL = "sevennet-0"
TITLES = {"NaCl": "NaCl clusters", "Au2": "Au$_2$ on MgO(001)", "LGPS": "Li–Ge–P–S"}
LGPS_HELD_OUT = 100


class Size(NamedTuple):
    """Epochs by system; share of LGPS that is learnt."""

    epochs: dict[str, int]
    lgps: float


SIZES = {
    "short": Size({"NaCl": 2, "Au2": 1}, 0.0),
    "here": Size({"NaCl": 60, "Au2": 10}, 0.0),
    "full": Size({"NaCl": 60, "Au2": 60, "LGPS": 2}, 0.2),
}


def cost(size: Size) -> str:
    n_lgps = round(4964 * size.lgps)
    seconds = 15 + 3.0 * size.epochs["Au2"] + 0.45 * n_lgps * size.epochs.get("LGPS", 0)
    return f"some {seconds / 60:.0f} minutes of one core, as measured with --here"


def frames_of(study: studies.Study, size: Size) -> dict[str, dict[str, list[ase.Atoms]]]:
    """By system, frames to learn and those held out."""
    file = study.home.parent / "charge_states" / "pbe.extxyz"
    every = [one for one in ase.io.read(file, ":") if "Na" in one.symbols and one.calc is not None]
    pairs = [[a, b] for a, b in pairwise(every) if len(a) == len(b) + 1]
    found = {"NaCl": charge_pairs.parts_of(pairs)}
    if study.data is not None:
        found["Au2"] = charge_pairs.of_data("Au2", study.data)
    if study.data is not None and "LGPS" in size.epochs:
        found["LGPS"] = lgps(study.data, study.seed, size.lgps)
    return found


def lgps(data: Path, seed: int, share: float) -> dict[str, list[ase.Atoms]]:
    images = read_images(data / "lgps", ("Li", "Ge", "P", "S"))
    order = np.random.default_rng(seed).permutation(len(images))
    chosen = order[: LGPS_HELD_OUT + round(share * len(images))]
    frames = [images[k] for k in chosen]
    return {"train": frames[LGPS_HELD_OUT:], "held_out": frames[:LGPS_HELD_OUT]}


def learn(folder: Path, parts: dict[str, list[ase.Atoms]], epochs: int, seed: int) -> Path:
    """The file of the tuned model; one that is there is taken, one that was begun goes on."""
    if (folder / "tuned" / "model.pt").is_file():
        return folder / "tuned" / "model.pt"
    folder.mkdir(parents=True, exist_ok=True)
    for part, frames in parts.items():
        ase.io.write(folder / f"{part}.extxyz", frames)
    text = f"""output = "{(folder / "tuned").as_posix()}"
[data]
files = ["train.extxyz"]
stress_key = "none"
held_out = {{ files = ["held_out.extxyz"] }}
[start]
model = "{MODEL}"
train = "maps"
[training]
epochs = {epochs}
learning_rate = 0.003
energy_weight = 0.0
stress_weight = 0.0
seed = {seed}
threads = 1
"""
    file = folder / "tuned.toml"
    file.write_text(text, encoding="utf-8")
    resume = (folder / "tuned" / "checkpoint.ckpt").is_file()
    overwrite = (folder / "tuned").exists() and not resume
    return train(file, overwrite=overwrite, resume=resume, say=lambda line: None).model


def forces_of(model: pq.Potential, frames: list[ase.Atoms]) -> np.ndarray:
    """(n, 3) eV/Å, of all atoms."""
    calculator = pq.PQEqCalculator(model)
    return np.concatenate([calculator.get_property("forces", frame) for frame in frames])


def labels_of(frames: list[ase.Atoms]) -> np.ndarray:
    return np.concatenate(
        [one.arrays["forces"] if one.calc is None else one.get_forces() for one in frames]
    )


def rms(difference: np.ndarray) -> float:
    """meV/Å, by component."""
    return 1000 * float(np.sqrt(np.mean(difference**2)))


def main() -> None:
    study, size = studies.begin(__file__, __doc__, SIZES, cost)
    potential = studies.fetched(MODEL)
    if potential is None:
        raise SystemExit("nothing was computed")
    every = frames_of(study, size)
    figure, axes = studies.axes_of(len(every))
    rows = []
    for ax, (system, parts) in zip(np.atleast_1d(axes), every.items()):
        folder = study.output / "runs" / system
        tuned = pq.load(learn(folder, parts, size.epochs[system], study.seed))
        label, found = labels_of(parts["held_out"]), {}
        for when, model in (("before", potential), ("after", tuned)):
            found[when] = forces_of(model, parts["held_out"])
        for (when, force), colour in zip(found.items(), (studies.GREY, studies.BLUE)):
            ax.plot(label.ravel(), force.ravel(), ".", ms=3, color=colour, label=when)
        learnt = rms(forces_of(tuned, parts["train"]) - labels_of(parts["train"]))
        rows.append([system, len(parts["train"]), len(parts["held_out"]), rms(label),
                     *(rms(force - label) for force in found.values()), learnt])  # fmt: skip
        study.say(f"{system}: learnt")
        ax.axline((0, 0), slope=1, color=studies.BLACK, lw=0.6)
        ax.set(title=TITLES[system], xlabel="forces, DFT, eV/Å", ylabel="SevenNet-0, eV/Å")
        ax.legend(frameon=False, fontsize=8)
    header = ["", "frames learnt", "held out", "RMS force, meV/Å", "error before, meV/Å"]
    study.table([*header, "after", "after, on frames learnt"], rows)
    study.picture(figure, "Fine-tuning on a few frames", "held-out frames; one dot a component")


if __name__ == "__main__":
    main()
