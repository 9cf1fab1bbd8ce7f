"""From the start of Python to the first step: the first process on a machine, and the ones after it.

    import → load → read_structure → create_system → Context → step,   40 atoms of BaTiO3

Each start is a process of its own; the first of a model and route has an empty start cache
(docs/performance.md), the later ones find what it kept. Reported are processor and wall time of
each stage, from the interpreter's first line on, and the peak of resident memory; of the later
starts the median.

    python benchmarks/start.py [--models batio3 universal] [--backends torchscript python]
        [--again 3] [--threads 1] [--name start]
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STAGES = ("import", "load", "read_structure", "create_system", "Context", "first step")


def one_start(model: str, backend: str, file: str) -> dict[str, object]:
    """The stages of this process, in s, and its peak memory in MiB."""
    wall, processor, times = time.perf_counter(), 0.0, {}

    def done(stage: str) -> None:
        nonlocal wall, processor
        now, spent = time.perf_counter(), time.process_time()
        times[stage] = {"wall": now - wall, "processor": spent - processor}
        wall, processor = now, spent

    import openmm
    import torch

    torch_alone = _peak()
    import openmm_pqeq as pq

    done("import")
    potential = pq.load(model)
    done("load")
    topology, positions = pq.read_structure(file)
    done("read_structure")
    system = pq.create_system(potential, topology, backend=backend)
    done("create_system")
    context = openmm.Context(
        system, openmm.VerletIntegrator(0.0005), openmm.Platform.getPlatformByName("CPU")
    )
    done("Context")
    context.setPositions(positions)
    context.getIntegrator().step(1)
    done("first step")
    energy = context.getState(energy=True).getPotentialEnergy()._value
    versions = {"torch": torch.__version__, "openmm": openmm.version.version}
    return {
        "times": times,
        "peak": _peak(),
        "torch_alone": torch_alone,
        "energy": energy,
        "versions": versions,
    }


def starts(model: str, backend: str, file: Path, again: int, threads: int) -> dict[str, object]:
    """The first start of a model and route, and the median of the later ones."""
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {
            "OPENMM_PQEQ_START_CACHE": cache,
            "OMP_NUM_THREADS": str(threads),
        }
        command = [sys.executable, __file__, "--one", model, backend, str(file)]
        found = []
        for _ in range(1 + again):
            ended = subprocess.run(
                command, env=environment, stdout=subprocess.PIPE, text=True, check=True
            )
            found.append(json.loads(ended.stdout.splitlines()[-1]))
        kept = sum(path.stat().st_size for path in Path(cache).iterdir())
    if len({start["energy"] for start in found}) != 1:
        raise RuntimeError(f"{model}, {backend}: the energies of the starts differ")
    return {
        "model": model,
        "backend": backend,
        "kept_MiB": kept / 2**20,
        "versions": found[0]["versions"],
        "first": summary(found[:1]),
        "later": summary(found[1:]),
    }


def summary(found: list[dict]) -> dict[str, object]:
    """Medians of starts."""
    stages = {
        stage: {
            kind: statistics.median(start["times"][stage][kind] for start in found)
            for kind in ("processor", "wall")
        }
        for stage in STAGES
    }
    sums = {
        kind: statistics.median(
            sum(start["times"][stage][kind] for stage in STAGES) for start in found
        )
        for kind in ("processor", "wall")
    }
    return {
        "stages": stages,
        **sums,
        "peak_MiB": statistics.median(start["peak"] for start in found),
        "torch_alone_MiB": statistics.median(start["torch_alone"] for start in found),
    }


def table(rows: list[dict]) -> str:
    """A line for each model, route and start."""
    heads = [*STAGES, "processor", "wall", "peak MiB"]
    lines = [" " * 30 + "".join(f"{head:>15}" for head in heads)]
    for row in rows:
        for which in ("first", "later"):
            of = row[which]
            numbers = [of["stages"][stage]["processor"] for stage in STAGES]
            numbers += [of["processor"], of["wall"]]
            name = f"{row['model']}, {row['backend']}, {which}"
            text = "".join(f"{number:15.2f}" for number in numbers)
            lines.append(f"{name:30}{text}{of['peak_MiB']:15.0f}")
    return "\n".join(lines)


def structure_file(folder: str) -> Path:
    """40 atoms of cubic BaTiO3, displaced by 0.02 Å."""
    from ase import Atoms

    cell = Atoms(
        "BaTiO3",
        scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.51], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]],
        cell=[4.0, 4.0, 4.05],
        pbc=True,
    )
    atoms = cell * (2, 2, 2)
    atoms.rattle(0.02, seed=1)
    path = Path(folder, "BaTiO3.cif")
    atoms.write(path)
    return path


def _peak() -> float:
    kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kib / (2**20 if sys.platform == "darwin" else 2**10)


def main() -> None:
    """Measure, print, save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["batio3", "universal"])
    parser.add_argument("--backends", nargs="+", default=["torchscript", "python"])
    parser.add_argument("--again", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--name", default="start")
    parser.add_argument("--one", nargs=3, metavar=("MODEL", "BACKEND", "FILE"))
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one_start(*options.one)))
        return
    import harness

    with tempfile.TemporaryDirectory() as folder:
        file = structure_file(folder)
        rows = [
            starts(model, backend, file, options.again, options.threads)
            for model in options.models
            for backend in options.backends
        ]
    print(table(rows))
    content = {"threads": options.threads, "load": os.getloadavg(), "starts": rows}
    print(harness.save(options.name, content))


if __name__ == "__main__":
    main()
