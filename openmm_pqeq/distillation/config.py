"""The file of a distillation: its tables, and the training of the student that it describes."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from openmm_pqeq.distillation.settings import (
    NONE,
    StructureSettings,
    StudentSettings,
    TeacherSettings,
)
from openmm_pqeq.jobs import values
from openmm_pqeq.jobs.settings import configured, read_toml, refuse_unknown, toml_lines, toml_value
from openmm_pqeq.limits import limits_of
from openmm_pqeq.potential import build
from openmm_pqeq.training.config import Config, config_of

TABLES = ("teacher", "structures", "held_out", "student", "data", "training", "card", "output")
PQEQ = {"protocol": "pme", "parameters": "response", "charge_flow": "bonds"}
"""Of students with charges: those of the universal models."""
TRAINING = {"energy_weight": 10.0, "batch_size": 0}
"""Defaults that a distillation has in place of a training file's."""


@dataclass(frozen=True)
class Distillation:
    """A whole file; `training`, `reference_charges` and `card` are those of a training file."""

    teacher: TeacherSettings
    structures: StructureSettings
    held_out: StructureSettings
    student: StudentSettings
    training: dict[str, Any]
    reference_charges: dict[str, float]
    card: dict[str, Any]
    output: str
    folder: Path

    def of_the_student(self, training: str, held_out: str) -> Config:
        """The training of the student, on files of labelled structures."""
        data: dict[str, Any] = {"files": [training], "reference_charges": self.reference_charges}
        if held_out:
            data["held_out"] = {"files": [held_out]}
        table = {"data": data, "training": self.training, "card": self.card, "output": "student"}
        return config_of(table | self._model())

    def terms(self) -> dict[str, dict[str, Any]]:
        """What `build` takes for the terms beside the network."""
        found: dict[str, dict[str, Any]] = {}
        if self.student.charges != NONE:
            found["pqeq"] = PQEQ | {"energy": "field" if self.student.charges == "field" else "all"}
        if self.teacher.dispersion != NONE:
            found["d3"] = {"damping": "bj", "functional": self.teacher.dispersion}
        return found

    def _model(self) -> dict[str, Any]:
        student = self.student
        if student.start != NONE:
            return {"start": {"model": student.start, "train": student.train}}
        return {"potential": self.terms() | {"gnn": network_of(student)}}


def network_of(student: StudentSettings) -> dict[str, Any]:
    """What `build` takes for the network: parity as it is of vectors, channels halved with each
    degree."""
    degrees = range(student.l_max + 1)
    kinds = [f"{degree}{'eo'[degree % 2]}" for degree in degrees]
    hidden = [f"{max(1, student.channels // 2**d)}x{kind}" for d, kind in zip(degrees, kinds)]
    return {
        "hidden_irreps": " + ".join(hidden),
        "sh_irreps": " + ".join(f"1x{kind}" for kind in kinds),
        "layers": student.layers,
        "r_max": student.cutoff,
        "n_basis": student.basis,
    }


def read_distillation(path: str | os.PathLike[str]) -> Distillation:
    """The file at `path`; raises FileNotFoundError or a ValueError that names the key."""
    path = values.path("config", path)
    return distillation_of(read_toml(path), path.parent, path.stem)


def distillation_of(
    table: Mapping[str, Any], folder: str | os.PathLike[str] = ".", default_output: str = "student"
) -> Distillation:
    """A distillation from a parsed table, checked."""
    refuse_unknown(table, TABLES)
    for name in ("teacher", "structures"):
        if not isinstance(table.get(name), Mapping):
            raise ValueError(
                f"[{name}]: expected a table, got {table.get(name)!r}; add [{name}] to the file"
            )
    structures = configured(StructureSettings, table["structures"], "structures.")
    held_out = _held_out(table.get("held_out", {}), structures)
    for name, asked in (("structures", structures), ("held_out", held_out)):
        if asked.crystals and not asked.elements:
            raise ValueError(f"{name}.elements: expected those of {name}.crystals, got none")
    if not structures.files and not structures.crystals:
        raise ValueError("structures.files: expected at least one file, or crystals; got neither")
    student = configured(StudentSettings, table.get("student", {}), "student.")
    teacher = configured(TeacherSettings, table["teacher"], "teacher.")
    if student.start != NONE and (student.charges != NONE or teacher.dispersion != NONE):
        raise ValueError(
            "student.charges, teacher.dispersion: expected none beside student.start, whose terms "
            "are those of its model"
        )
    output, card = table.get("output", default_output), table.get("card", {})
    if not isinstance(output, str) or not output.strip():
        raise ValueError(f"output: expected the name of a folder, got {output!r}")
    data, training = table.get("data", {}), table.get("training", {})
    for name, one in (("data", data), ("training", training), ("card", card)):
        if not isinstance(one, Mapping):
            raise ValueError(f"[{name}]: expected a table, got {values.shown(one)}")
    refuse_unknown(data, ("reference_charges",), "data.")
    found = Distillation(
        teacher,
        structures,
        held_out,
        student,
        TRAINING | dict(training),
        values.numbers("data.reference_charges", data.get("reference_charges", {})),
        dict(card),
        output,
        Path(folder),
    )
    found.of_the_student("training.traj", "held_out.traj")
    if terms := found.terms():
        try:
            build(terms)
        except ValueError as error:  # a functional that has no D3
            raise ValueError(f"teacher.dispersion: {error}") from None
    limits_of(found.card, "to be distilled")
    return found


def _held_out(given: Any, structures: StructureSettings) -> StructureSettings:
    """[held_out]: what it does not say is as in [structures], but for the seed."""
    said = configured(StructureSettings, given, "held_out.")
    chosen: dict[str, Any] = {name: getattr(said, name) for name in given}
    return replace(structures, **({"seed": structures.seed + 1} | chosen))


def write_toml(settings: Distillation) -> str:
    """The file that describes a distillation, complete, with the meaning of every key."""
    lines = ["# A distillation of openmm-pqeq: openmm-pqeq distill THIS_FILE -o FOLDER"]
    tables = ("teacher", "structures", "held_out", "student")
    for name in tables:
        body = [one for one in toml_lines(getattr(settings, name)) if one and one[0] != "#"]
        lines += ["", f"[{name}]", *body]
    if settings.reference_charges:
        lines += ["", "[data]", f"reference_charges = {toml_value(settings.reference_charges)}"]
    for name, table in (("training", settings.training), ("card", settings.card)):
        if table:
            lines += ["", f"[{name}]"]
            lines += [f"{key} = {toml_value(value)}" for key, value in table.items()]
    return "\n".join(lines) + "\n"


def described(settings: Distillation) -> dict[str, Any]:
    """The settings as facts.json has them."""
    tables = {
        name: asdict(getattr(settings, name))
        for name in ("teacher", "structures", "held_out", "student")
    }
    return tables | {
        "training": settings.training,
        "reference_charges": settings.reference_charges,
    }
