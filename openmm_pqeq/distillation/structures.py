"""Structures made from given ones: moved atoms, strained and scaled cells, replaced elements.

    r' = r + d·N(0, 1)        h' = h (1 + ½(ε + εᵀ)),  ε ~ d·N(0, 1)        h' = f·h

Everything follows from the seed, the name of the phase and the kind, so that what is made does not
depend on what else is made.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import ase
import numpy as np
from ase.data import atomic_numbers

from openmm_pqeq.distillation.settings import StructureSettings
from openmm_pqeq.topology.facts import charge_in
from openmm_pqeq.topology.file import check
from openmm_pqeq.training.crystals import varied_crystals
from openmm_pqeq.training.formats import read_images
from openmm_pqeq.training.replay import SIZES, moved

BUILT = "prototypes"
"""The phase of crystals that are built here."""


class Made(NamedTuple):
    """A structure, the phase it is of, how it was made, and whether it is trained on ("training")
    or only measured ("held out")."""

    atoms: ase.Atoms
    phase: str
    how: str
    part: str

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.phase}: {self.how}"


def read_phases(settings: StructureSettings, folder: Path) -> dict[str, list[ase.Atoms]]:
    """The structures to start from, by the name of their file without its ending; raises
    FileNotFoundError or ValueError naming the file."""
    phases: dict[str, list[ase.Atoms]] = {}
    for file in settings.files:
        path = folder / file if (folder / file).exists() else Path(file)
        if not path.exists():
            raise FileNotFoundError(
                f"structures.files: no file {file}, neither in {folder.resolve()} nor in the "
                "working directory"
            )
        if path.stem in phases:
            raise ValueError(
                f"structures.files: expected names that differ, got {path.stem} twice; rename one"
            )
        images = [_plain(image) for image in read_images(path, name="structures.files")]
        if any(_shared(image) for image in images):
            raise ValueError(
                f"structures.files: {file} has sites that several species share; order them first, "
                "with openmm-pqeq build order"
            )
        for number, image in enumerate(images):
            try:
                check(image)
            except ValueError as error:
                raise ValueError(f"structures.files: {file} structure {number}: {error}") from None
        phases[path.stem] = [_repeated(image, settings.atoms) for image in images]
    return phases


def refuse_idle_alloys(settings: StructureSettings, phases: dict[str, list[ase.Atoms]]) -> None:
    """ValueError for a replacement of an element that no structure has."""
    there = {s for images in phases.values() for image in images for s in image.symbols}
    for alloy in settings.alloys:
        if (old := alloy.split("=")[0].strip()) not in there:
            raise ValueError(
                f"structures.alloys: {alloy} replaces {old}, which no structure has; they have "
                f"{', '.join(sorted(there)) or 'no atoms'}"
            )


def generator(seed: int, *about: object) -> np.random.Generator:
    """Random numbers that belong to a seed and to what they are about."""
    text = "\0".join(str(one) for one in (seed, *about))
    return np.random.default_rng(list(hashlib.sha256(text.encode("utf-8")).digest()))


def varied(
    phase: str, images: list[ase.Atoms], settings: StructureSettings, part: str
) -> Iterator[Made]:
    """All structures made from those of a phase, without dynamics."""
    small = settings.rattled[0] if settings.rattled else 0.0
    for index, image in enumerate(images):
        whole = bool(image.pbc.all())
        kinds = [("rattled", f"{d:g} Å", d, 0.0, 1.0) for d in settings.rattled]
        kinds += [("strained", f"{d:g}", small, d, 1.0) for d in settings.strained if whole]
        kinds += [("scaled", f"{f:g}", small, 0.0, f) for f in settings.scaled if whole]
        if part == "training":
            yield Made(image.copy(), phase, "as given", part)
        for kind, size, move, strain, factor in kinds:
            for copy in range(settings.copies):
                random = generator(settings.seed, phase, index, kind, size, copy)
                made = moved(scaled(image, factor), random, move, strain)
                yield Made(made, phase, f"{kind} {size}", part)
        yield from _alloyed(phase, index, image, settings, part)


def built(settings: StructureSettings, part: str) -> Iterator[Made]:
    """Crystals of simple prototypes, each in all sizes, atoms moved by the first of rattled."""
    move = settings.rattled[0] if settings.rattled else 0.0
    if not settings.crystals:
        return
    crystals = varied_crystals(settings.elements, settings.crystals, (), settings.seed)
    for index, crystal in enumerate(crystals):
        for size in SIZES:
            random = generator(settings.seed, BUILT, index, size)
            yield Made(
                moved(scaled(crystal, size), random, move, 0.0), BUILT, f"size {size:g}", part
            )


def _alloyed(
    phase: str, index: int, image: ase.Atoms, settings: StructureSettings, part: str
) -> Iterator[Made]:
    move = settings.rattled[0] if settings.rattled else 0.0
    factors = (1.0, *settings.scaled) if image.pbc.all() else (1.0,)
    for alloy in settings.alloys:
        old, new = (half.strip() for half in alloy.split("="))
        if old not in image.get_chemical_symbols():
            continue
        for share in settings.shares:
            for factor in factors:
                for copy in range(settings.copies):
                    random = generator(settings.seed, phase, index, alloy, share, factor, copy)
                    mixed = replaced(scaled(image, factor), old, new, share, random)
                    how = f"alloyed {100 * share:g} % {new}"
                    yield Made(moved(mixed, random, move, 0.0), phase, how, part)


def scaled(image: ase.Atoms, factor: float) -> ase.Atoms:
    """The structure with all lengths times a factor, where it has a cell."""
    result = image.copy()
    if factor != 1.0:
        result.set_cell(factor * image.cell.array, scale_atoms=True)
    return result


def replaced(
    image: ase.Atoms, old: str, new: str, share: float, random: np.random.Generator
) -> ase.Atoms:
    """The structure with a share of the atoms of one element, drawn at random, of another; one atom
    at least."""
    result = image.copy()
    sites = np.flatnonzero(result.numbers == atomic_numbers[old])
    count = max(1, round(share * len(sites)))
    result.numbers[random.choice(sites, count, replace=False)] = atomic_numbers[new]
    return result


def _plain(image: ase.Atoms) -> ase.Atoms:
    """Numbers, positions, cell and total charge; nothing else that a file may hold."""
    plain = ase.Atoms(image.numbers, image.positions, cell=image.cell, pbc=image.pbc)
    if (charge := charge_in(image.info)) is not None:
        plain.info["charge"] = charge
    if "occupancy" in image.info:
        plain.info["occupancy"] = image.info["occupancy"]
    return plain


def _shared(image: ase.Atoms) -> bool:
    """Whether the file says of some site that its species are there for a part only."""
    sites = image.info.pop("occupancy", {})
    return any(sum(site.values()) < 0.999 or len(site) > 1 for site in sites.values())


def _repeated(image: ase.Atoms, n_atoms: int) -> ase.Atoms:
    """The crystal, repeated along the vector that is the shortest at the time, until it has so many
    atoms."""
    repeats = np.ones(3, dtype=int)
    while image.pbc.all() and len(image) * repeats.prod() < n_atoms:
        repeats[np.argmin(repeats * image.cell.lengths())] += 1
    result = image.repeat(tuple(repeats))
    result.info = dict(image.info)
    if "charge" in result.info:
        result.info["charge"] *= int(repeats.prod())
    return result
