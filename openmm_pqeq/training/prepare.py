"""Everything before the first step: frames, their labels without the long-range part
(long_range.py), and the network to train.

A network with fresh weights gets element shifts from least squares of the labels' energies on the
compositions. One that goes on from a model keeps the model's scale, and its shifts are corrected by
least squares of what the model leaves over: a foundation model and new data have different energies
of reference, and no network should spend itself on learning those.
"""

from pathlib import Path
from typing import Any, Callable, NamedTuple

import numpy as np
import torch
from ase.data import chemical_symbols
from torch import Tensor, nn

from openmm_pqeq.checkpoint import load
from openmm_pqeq.conditions import by_bonds, own_reference_charges
from openmm_pqeq.gnn import NequIP
from openmm_pqeq.neighbors.search import NeighborSearch
from openmm_pqeq.potential import Potential, build
from openmm_pqeq.pqeq import FieldEnergy
from openmm_pqeq.pqeq.derivatives.adjoint import OF_BONDS
from openmm_pqeq.training import parts
from openmm_pqeq.training import samples as data
from openmm_pqeq.training.config import Config
from openmm_pqeq.training.frames import Frame, read_frames
from openmm_pqeq.training.long_range import with_charges, without_long_range
from openmm_pqeq.training.loss import predict_all
from openmm_pqeq.training.low_rank import update_by_low_rank
from openmm_pqeq.training.pqeq import SLOPE, Polarizable, TrainedPQEq
from openmm_pqeq.training.replay import NOTHING, Replay, replay_of
from openmm_pqeq.training.samples import Samples, Split
from openmm_pqeq.training.settings import StartSettings
from openmm_pqeq.training.tabulated import Tabulated, can_be_tabulated


class Prepared(NamedTuple):
    """Data, model and scales that a training starts from.

    model : the network in the dtype of training, with element shifts of zero; or a `Polarizable`
    config : what `build` takes for the whole potential
    shifts : (n_species,) eV
    scale : eV/Å, the force scale of the loss
    split : indices of the frames read
    samples : the frames in use, by index
    replay : frames that the model has labelled itself
    """

    model: nn.Module
    config: dict[str, dict[str, Any]]
    shifts: Tensor
    scale: float
    split: Split
    samples: dict[int, Samples]
    replay: Replay = NOTHING

    @property
    def species(self) -> list[str]:
        """Element symbols in the order of the shifts."""
        return list(self.config["gnn"]["species"])

    def part(self, name: str) -> list[Samples]:
        """The frames of "train", "validation" or "held_out"."""
        return [self.samples[index] for index in getattr(self.split, name)]


def prepare(
    config: Config, say: Callable[[str], None] = print, keep_labels: Path | None = None
) -> Prepared:
    """Frames, labels and network; the long-range labels are kept in the file `keep_labels`."""
    frames, split = frames_of(config)
    say(
        f"{len(split.train)} frames for training, {len(split.validation)} for validation, "
        f"{len(split.held_out)} held out"
    )
    data.check_stress([frames[i] for i in split.train], config.training, say)
    used = sorted(index for part in split for index in part)
    start = None if config.start is None else model_to_start(config.start)
    known = (
        start.config
        if start is not None
        else {name: dict(table) for name, table in config.potential.items()}
    )
    _check_elements(
        config, known["gnn"], [frames[i] for i in split.train], [frames[i] for i in used]
    )
    if config.data.reference_charges and known.get("pqeq", {}).get("charge_flow") != "bonds":
        say("data.reference_charges: nothing here has charges by bonds, and they are not used")
    in_use = {index: frames[index] for index in used}
    if start is not None and config.start and config.start.train_pqeq and by_bonds(start):
        in_use = with_charges(in_use, config, own_reference_charges(start))
    in_use = without_long_range(in_use, config, known, keep_labels)
    if start is None:
        return _fresh(config, in_use, split, say)
    return _continued(config, start, in_use, split, say)


def frames_of(config: Config) -> tuple[list[Frame], Split]:
    """All frames of the data, and what they are for."""
    frames = read_frames(config.data.files, config.data, config.folder)
    others = (
        read_frames(config.data.held_out.files, config.data, config.folder)
        if config.data.held_out.files
        else []
    )
    split = data.split_frames(len(frames) + len(others), config.data, len(others))
    return frames + others, split


def _check_elements(
    config: Config, gnn: dict[str, Any], training: list[Frame], used: list[Frame]
) -> None:
    """What the network does not know is refused before anything is computed."""
    species = gnn.get("species", data.species_of(training))
    term = "the network" if config.start is None else f"the model {config.start.model}"
    network_of(build({"gnn": {"species": species} | gnn}))
    data.check_species(used, species, term)


def model_to_start(start: StartSettings) -> Potential:
    """The model of [start], with the terms that are asked for; raises ValueError where there is
    nothing to train."""
    potential = load(start.model)
    if potential.gnn is None:
        raise ValueError(f"start.model: {start.model} has no network; expected a model with one")
    if start.train_pqeq and potential.pqeq is None:
        raise ValueError(
            f"start.train_pqeq: {start.model} has no PQEq; expected none of its parameters"
        )
    if start.train_pqeq and isinstance(potential.pqeq, FieldEnergy):
        raise ValueError(
            f"start.train_pqeq: the PQEq of {start.model} adds nothing without a field; expected "
            "none of its parameters"
        )
    of_bonds = [name for name in OF_BONDS if name in start.train_pqeq]
    if of_bonds and not by_bonds(potential):
        raise ValueError(
            f"start.train_pqeq: charges of {start.model} flow freely, and have no {of_bonds[0]}; "
            "expected others of its parameters"
        )
    if SLOPE in of_bonds and not any(
        row.get(SLOPE) for row in potential.config["pqeq"]["parameters"].values()
    ):
        raise ValueError(
            f"start.train_pqeq: every {SLOPE} of {start.model} is 0 and start.bounds are parts of "
            "them, so that none would move; expected others of its parameters, or a model with slopes"
        )
    if start.train_pqeq and start.replay and by_bonds(potential):
        raise ValueError(
            "start.replay: expected 0, because parameters of charges by bonds are trained and "
            f"replayed structures have no reference charges; got {start.replay}"
        )
    if not parts.select(potential.gnn, start.train) and not start.train_pqeq:
        raise ValueError(
            "start.train: expected some part of the network, or parameters of PQEq in "
            "start.train_pqeq, got neither"
        )
    return potential if start.long_range else potential.select("gnn")


def _fresh(
    config: Config, frames: dict[int, Frame], split: Split, say: Callable[[str], None]
) -> Prepared:
    """A network with the weights of the seed; avg_neighbors from the data."""
    training = [frames[i] for i in split.train]
    table: dict[str, Any] = {
        "species": data.species_of(training),
        "seed": config.training.seed,
    } | config.potential["gnn"]
    shifts = data.element_shifts(training, table["species"], config.data.atomic_energies)
    scale = data.force_rms(training)
    gnn = network_of(build({"gnn": table}))
    samples = _samples(config, frames, gnn.cutoff, table["species"], shifts)
    if "avg_neighbors" not in table:
        pairs = sum(len(samples[i].centers) for i in split.train) / sum(
            len(samples[i].numbers) for i in split.train
        )
        if not pairs:
            raise ValueError(
                f"potential.gnn.r_max: expected a cutoff within which atoms have neighbours, got "
                f"{gnn.cutoff:g} Å"
            )
        table = table | {"avg_neighbors": round(pairs, 3)}
        gnn = network_of(build({"gnn": table}))
    gnn.scale.fill_(scale)
    weights = sum(p.numel() for p in gnn.parameters())
    spread = _spread([samples[i] for i in split.train])
    say(
        f"labels: force RMS {scale:.3f} eV/Å, energy spread {spread:.1f} meV/atom; {weights} "
        "weights"
    )
    gnn = gnn.to(getattr(torch, config.training.dtype)).train()
    return Prepared(gnn, config.potential | {"gnn": table}, shifts, scale, split, samples)


def _continued(
    config: Config,
    start: Potential,
    frames: dict[int, Frame],
    split: Split,
    say: Callable[[str], None],
) -> Prepared:
    """The network of a model, with only the chosen weights free, and shifts that fit the data's
    energies."""
    settings = config.start
    if settings is None:
        raise ValueError("start: expected the table [start], got nothing")
    gnn, table = network_of(start), start.config["gnn"]
    training = [frames[i] for i in split.train]
    trained = parts.select(gnn, settings.train)
    gnn.to(getattr(torch, config.training.dtype))
    count = parts.freeze(gnn, trained)
    total = sum(p.numel() for p in gnn.parameters())
    say(f"start: {settings.model}; {count} of {total} weights are trained: {_shortly(trained)}")
    shifts = gnn.shift.clone()
    gnn.shift.zero_()
    if settings.rank:
        large = update_by_low_rank(gnn, trained, settings.rank, config.training.seed)
        count = sum(p.numel() for p in gnn.parameters() if p.requires_grad)
        say(f"updates of rank {settings.rank} of {len(large)} weights: {count} numbers in all")
    model: nn.Module = gnn
    on_gpu = config.training.device == "cuda"  # a CPU has kernels of second derivatives too
    if on_gpu and not settings.train_pqeq and can_be_tabulated(gnn):
        model = Tabulated(gnn)
    if settings.train_pqeq and start.pqeq is not None:
        pqeq = start.pqeq
        rows = sorted({row for one in training for row in pqeq.kinds(one.structure).tolist()})
        model = Polarizable(gnn, TrainedPQEq(pqeq, settings.train_pqeq, settings.bounds, rows))
        say(
            f"PQEq: {', '.join(settings.train_pqeq)} of {len(rows)} elements within "
            f"±{100 * settings.bounds:g} %"
        )
    samples = _samples(config, frames, gnn.cutoff, table["species"], shifts)
    prepared = Prepared(model, start.config, shifts, data.force_rms(training), split, samples)
    say(f"labels: force RMS {prepared.scale:.3f} eV/Å")
    if settings.replay:
        files = [config.place(file) for file in settings.replay_files]
        known, seed = data.species_of(training), config.training.seed
        replay = replay_of(model, start.species, known, gnn.cutoff, files, seed)
        say(
            f"replay: {len(replay.train)} frames of the model's own, {len(replay.held_out)} held out"
        )
        prepared = prepared._replace(replay=replay)
    return fit_shifts(prepared, model, say) if settings.shifts == "fit" else prepared


def fit_shifts(prepared: Prepared, model: nn.Module, say: Callable[[str], None]) -> Prepared:
    """Prepared with element shifts that are the best for `model` on the training frames; forces do
    not change."""
    training = prepared.part("train")
    left_over = data.join(training).energy - predict_all(model, training).energy
    if not bool(torch.isfinite(left_over).any()):
        return prepared
    counts = data.compositions([samples.numbers for samples in training], prepared.species)
    atoms = counts.sum(1)
    correction = data.least_squares(counts, left_over.double().numpy())
    before, after = (
        left_over.numpy() / atoms,
        (left_over.double().numpy() - counts @ correction) / atoms,
    )
    moved = ", ".join(
        f"{s} {c:+.3f}" for s, c in zip(prepared.species, correction) if abs(c) > 5e-4
    )
    say(
        f"element shifts, fitted to the data's energies of reference (eV): {moved or 'none'}; the "
        "energies of the training frames"
        f" were {1000 * _rms(before):.1f} meV/atom off, and are {1000 * _rms(after):.1f}"
    )
    samples = {
        index: one._replace(
            energy=one.energy
            - float(data.compositions([one.numbers], prepared.species)[0] @ correction)
        )
        for index, one in prepared.samples.items()
    }
    return prepared._replace(shifts=prepared.shifts + torch.tensor(correction), samples=samples)


def _samples(
    config: Config, frames: dict[int, Frame], cutoff: float, species: list[str], shifts: Tensor
) -> dict[int, Samples]:
    search, dtype = NeighborSearch(cutoff), getattr(torch, config.training.dtype)
    by_number = dict(zip((chemical_symbols.index(s) for s in species), shifts.tolist()))
    return {
        index: data.sample_of(frame, search, by_number, dtype) for index, frame in frames.items()
    }


def network_of(potential: Potential) -> NequIP:
    """The network of a potential that has one."""
    if potential.gnn is None:
        raise ValueError("potential.gnn: expected a network, got none")
    return potential.gnn


def _shortly(names: list[str]) -> str:
    return (
        ", ".join(names)
        if len(names) < 6
        else f"{', '.join(names[:3])}, … {names[-1]}"
        if names
        else "none"
    )


def _spread(samples: list[Samples]) -> float:
    """Standard deviation of the energies per atom that are left to learn, meV."""
    return 1000 * float(torch.cat([e.energy / e.counts for e in samples]).std(correction=0))


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.nanmean(np.square(values))))
