"""Labels without the long-range part: what the network has to learn.

    label = reference − Σ terms but the network, such as PQEq and D3        (energy, forces, stress)

The part is computed once for all structures and kept in a file. eV, eV/Å, eV/Å³.
"""

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from rich.progress import track
from torch import Tensor

from openmm_pqeq.conditions import needs_reference_charges, own_reference_charges
from openmm_pqeq.jobs.files import whole
from openmm_pqeq.potential import Potential, build
from openmm_pqeq.training.config import Config
from openmm_pqeq.training.frames import Frame, Labels, with_reference_charges
from openmm_pqeq.training.samples import check_species


def without_long_range(
    frames: Mapping[int, Frame], config: Config, terms: Mapping[str, Any], keep: Path | None
) -> dict[int, Frame]:
    """Frames with labels less all terms but the network, those that are trained, and what a field
    alone adds, which is in no label.

    terms : of the whole potential, as `build` takes them
    keep : the file of what is subtracted
    """
    subtracted = {name: values for name, values in terms.items() if name != "gnn"}
    trained = config.start is not None and config.start.train_pqeq
    if trained or subtracted.get("pqeq", {}).get("energy") == "field":
        subtracted.pop("pqeq", None)
    if not subtracted:
        return dict(frames)
    potential = build(subtracted)
    check_species(list(frames.values()), potential.species, f"the terms {', '.join(subtracted)}")
    if config.data.labels != "reference":
        return dict(frames)
    if needs_reference_charges(potential):
        frames = with_charges(frames, config, own_reference_charges(potential))
    wanted = list(frames.values())
    return dict(zip(frames, subtract(wanted, _kept_or_computed(wanted, potential, keep))))


def with_charges(
    frames: Mapping[int, Frame], config: Config, own: Mapping[str, float] | None
) -> dict[int, Frame]:
    """Frames with reference charges: those of the settings, the potential's own, or oxidation states."""
    charged = with_reference_charges(list(frames.values()), config.data.reference_charges, own)
    return dict(zip(frames, charged))


def long_range_part(frames: Sequence[Frame], potential: Potential) -> list[Labels]:
    """Energy, forces and stress of `potential` (every term but the network) for every frame, with
    a progress bar."""
    parts = []
    for frame in track(frames, description="long-range part"):
        structure = frame.structure._replace(only_energy=True)
        try:
            known = potential.evaluate(
                structure, forces=True, stress=bool(torch.isfinite(frame.labels.stress).all())
            )
        except RuntimeError as error:
            raise ValueError(f"{frame.name}: {error}") from error
        stress = (
            torch.full((3, 3), torch.nan, dtype=torch.float64)
            if known.stress is None
            else known.stress[0]
        )
        if known.forces is None or not (
            torch.isfinite(known.energy).all() and torch.isfinite(known.forces).all()
        ):
            raise ValueError(
                f"{frame.name}: {', '.join(known.terms)}: expected finite numbers, got "
                f"{known.energy.tolist()} eV; remove the frame"
            )
        parts.append(Labels(known.energy[0], known.forces, stress))
    return parts


def subtract(frames: Sequence[Frame], parts: Sequence[Labels]) -> list[Frame]:
    """The frames with labels = reference − part."""
    return [
        frame._replace(
            labels=Labels(*(reference - known for reference, known in zip(frame.labels, part)))
        )
        for frame, part in zip(frames, parts)
    ]


def fingerprint(frames: Sequence[Frame], config: Any) -> str:
    """A hash of all structures and of the config of the long-range part: says whether kept labels
    may be used again."""
    digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
    for frame in frames:
        for values in frame.structure:
            if isinstance(values, Tensor):
                digest.update(values.numpy().tobytes())
    return digest.hexdigest()


def _kept_or_computed(frames: list[Frame], potential: Potential, path: Path | None) -> list[Labels]:
    """From the file `path` where it holds those of the same structures and parameters, or else
    computed and kept there."""
    same = fingerprint(frames, potential.config)
    if path is not None and path.is_file():
        with suppress(Exception):  # torch raises anything at all on damaged bytes
            kept = torch.load(path, weights_only=True)
            if kept["fingerprint"] == same:
                return [Labels(*values) for values in kept["labels"]]
    labels = long_range_part(frames, potential)
    if path is not None:
        written = io.BytesIO()
        torch.save({"fingerprint": same, "labels": [tuple(one) for one in labels]}, written)
        with whole(path) as part:
            part.write_bytes(written.getbuffer())
    return labels
