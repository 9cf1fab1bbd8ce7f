"""What jobs leave: all numbers of it, and how far apart those of two are."""

import contextlib
import csv
import json
import zipfile
from pathlib import Path

import ase.db
import h5py
import mdtraj
import numpy as np
from killed_jobs import Job

import openmm_pqeq as pq


def left_by(job: Job, folder: Path) -> dict[str, np.ndarray]:
    """All numbers that a job has left."""
    if job.kind == "campaign":
        return {
            f"{run.name} {name}": value
            for run in sorted((folder / "runs").iterdir())
            for name, value in left_by(job._replace(kind="run"), run).items()
        }
    if job.kind == "distillation":
        rows = enumerate(ase.db.connect(folder / "labels.db").select(sort="id"))
        labels = {f"{k} {row.made}": np.array([row.energy, *row.forces.ravel()]) for k, row in rows}
        return labels | left_by(job._replace(kind="training"), folder / "student")
    if job.kind == "training":
        potential = pq.load(folder / "model.pt")
        found = {name: value.numpy() for name, value in potential.state_dict().items()}
        return found | numbers_in(folder / "metrics.csv", without=("seconds", "time"))
    if job.kind == "fit":
        return numbers_in(folder / "parameters.csv")
    found = numbers_in(folder / "table.csv")
    with h5py.File(folder / "charges.h5") as file:
        file.visititems(
            lambda name, item: (
                found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
            )
        )
    (path,) = folder.glob("trajectory.*")
    trajectory = mdtraj.load(path, top=folder / "topology.pdb")
    return found | {"positions": trajectory.xyz, "cells": trajectory.unitcell_vectors}


def numbers_in(table: Path, without: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    """The columns of a CSV file that are numbers."""
    lines = [line for line in table.read_text().splitlines() if not line.startswith("#")]
    rows = list(csv.DictReader(lines))
    found = {}
    for name in rows[0]:
        with contextlib.suppress(ValueError):
            if not any(part in name for part in without):
                found[name] = np.array([float(row[name] or "nan") for row in rows])
    return found


def difference(one: dict[str, np.ndarray], two: dict[str, np.ndarray]) -> tuple[float, str]:
    """The largest, relative to 1 + size, and what it is in; infinite where something is missing."""
    if one.keys() != two.keys():
        return float("inf"), ", ".join(one.keys() ^ two.keys())
    largest = (0.0, "")
    for name, expected in one.items():
        if expected.shape != two[name].shape:
            return float("inf"), name
        if expected.dtype.kind not in "fiub" or np.array_equal(expected, two[name], equal_nan=True):
            continue
        apart = np.abs(np.asarray(expected, float) - np.asarray(two[name], float))
        relative = float(np.nanmax(apart) / (1 + np.nanmax(np.abs(expected))))
        largest = max(largest, (relative, name))
    return largest


def restart_step(folder: Path) -> int:
    """The step from which a run would go on."""
    with zipfile.ZipFile(folder / "restart.zip") as archive:
        return int(json.loads(archive.read("run.json"))["step"])
