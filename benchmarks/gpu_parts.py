"""The parts of benchmarks/gpu.py, each in a process of its own.

    python benchmarks/gpu_parts.py network --device cuda --scratch build/gpu

prints a line of JSON for every row of the table, as soon as it is measured: of a part that is cut
short the rows before remain.
"""

import argparse
import json
import os
import subprocess
import sys
import time
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from contestants import LAYERS, N_BASIS, R_MAX, RADIAL_HIDDEN
from gpu_steps import (
    STEP,
    WARMUP,
    compiled,
    crystal,
    measured,
    row,
    sizes,
    stepper,
    structure,
    wait,
)

from openmm_pqeq import build, convert_sevennet, ops
from openmm_pqeq.neighbors.search import NeighborSearch
from openmm_pqeq.potential import Potential

ROOT = Path(__file__).parent.parent

NETWORK = {
    "hidden_irreps": "128x0e + 64x1e + 4x2e",
    "sh_irreps": "1x0e + 1x1e + 1x2e",
    "layers": LAYERS,
    "r_max": R_MAX,
    "n_basis": N_BASIS,
    "radial_hidden": RADIAL_HIDDEN,
}
CHARGES = {"protocol": "pme", "parameters": "reaxnet"}
DISPERSION = {"functional": "pbe", "damping": "bj", "cutoff": 20.0, "cn_cutoff": 20.0}
BONDED = {
    element: {
        "electronegativity": chi,
        "hardness": 14.0,
        "radius": 1.0,
        "softness": 0.4,
        "spring_constant": 900.0,
        "core_charge": 1.0,
    }
    for element, chi in {"Li": 3.0, "P": 5.5, "O": 8.7, "N": 7.0}.items()
}
"""Charges by bonds, fitted to nothing: what a step costs does not depend on them."""


def measure(what: str, fast: Potential, atoms: int, device: str) -> None:
    """A row for a compiled potential."""
    step = stepper(fast, structure(crystal(atoms, device), device))
    row(what, atoms, **measured(step, device))


def made(config: dict[str, dict[str, object]], device: str) -> Potential:
    """A compiled potential; a network has random weights, always the same."""
    torch.manual_seed(0)
    return compiled(build(config), device)


def network(device: str, scratch: Path) -> None:
    """LiPON at the size of the published foundation model; with charges and dispersion, too."""
    alone = {"gnn": {**NETWORK, "species": ["Li", "N", "O", "P"]}}
    fast = made(alone, device)
    everything = made(alone | {"pqeq": CHARGES, "d3": DISPERSION}, device)
    for atoms in sizes(device, 2160, 24000, 100800):
        measure("network", fast, atoms, device)
        measure("network, charges (pme), D3", everything, atoms, device)
    torch.jit.set_fusion_strategy([("DYNAMIC", 0)])
    measure("network, torch's fusion off", fast, sizes(device, 2160)[0], device)


def charges(device: str, scratch: Path) -> None:
    """PQEq alone: charges that flow freely, and by bonds; the published sweeps."""
    kinds = {
        "charges, free, pme": CHARGES,
        "charges by bonds, pme": {
            "protocol": "pme",
            "parameters": BONDED,
            "charge_flow": "bonds",
        },
        "charges, sweeps of reaxnet": {"protocol": "reaxnet", "parameters": "reaxnet"},
    }
    for atoms in sizes(device, 2160, 24000):
        for what, settings in kinds.items():
            measure(what, made({"pqeq": settings}, device), atoms, device)


def dispersion(device: str, scratch: Path) -> None:
    """D3 alone, and torch-dftd with lists that are given to it: what it does with ASE's is not
    asked."""
    fast = made({"d3": DISPERSION}, device)
    for atoms in sizes(device, 2160, 24000, 100800):
        measure("D3", fast, atoms, device)
    given = structure(crystal(sizes(device, 2160)[0], device), device)
    from torch_dftd.dftd3_xc_params import get_dftd3_default_params
    from torch_dftd.nn.dftd3_module import DFTD3Module

    pairs = NeighborSearch(DISPERSION["cutoff"])(given)
    module = DFTD3Module(
        get_dftd3_default_params("bj", "pbe", old=False),
        cutoff=DISPERSION["cutoff"],
        cnthr=DISPERSION["cn_cutoff"],
        dtype=torch.float32,
    ).to(device)
    known = {
        "Z": given.numbers,
        "pos": given.positions.float(),
        "edge_index": torch.stack([pairs.centers, pairs.neighbors]),
        "cell": given.cell[0].float(),
        "pbc": given.pbc[0],
        "shift_pos": (pairs.shifts.to(given.cell) @ given.cell[0]).float(),
    }

    def step() -> object:
        return module.calc_energy_and_forces(**known, damping="bj")

    row("torch-dftd, lists given, float32", len(given.numbers), **measured(step, device))


def sevennet(device: str, scratch: Path) -> None:
    """SevenNet-0, and SevenNet's own calculator where it is installed; its file is in their
    wheel."""
    wheel = next((ROOT / "gpu-wheels").glob("sevenn-*.whl"))
    with zipfile.ZipFile(wheel) as packed:
        name = next(
            n for n in packed.namelist() if n.endswith("11Jul2024/checkpoint_sevennet_0.pth")
        )
        checkpoint = Path(packed.extract(name, scratch))
    fast = compiled(convert_sevennet(checkpoint, scratch / "sevennet-0.pt"), device)
    for atoms in sizes(device, 504, 9984):
        measure("SevenNet-0", fast, atoms, device)
    if find_spec("sevenn") is None:
        row("SevenNet-0, SevenNet's calculator", 0, note="sevenn is not installed")
        return
    from sevenn.calculator import SevenNetCalculator

    calculator = SevenNetCalculator(str(checkpoint), device=device)
    for atoms in sizes(device, 504, 9984):
        given, draw = crystal(atoms, device), np.random.default_rng(1)
        given.calc = calculator

        def step(given: Atoms = given, draw: np.random.Generator = draw) -> object:
            given.positions += draw.normal(0.0, STEP, given.positions.shape)
            return given.get_forces()

        row("SevenNet-0, SevenNet's calculator", atoms, **measured(step, device))


def dynamics(device: str, scratch: Path) -> None:
    """BaTiO3, batio3, in OpenMM through PythonForce without a thermostat: speed, and drift of the
    energy."""
    from openmm import unit

    from openmm_pqeq.md.build import build_simulation, read_parts
    from openmm_pqeq.md.config import run_config

    config = run_config(
        {
            "structure": str(ROOT / "examples" / "BaTiO3.cif"),
            "model": "batio3",
            "protocol": "pme",
            "supercell": (6, 6, 6) if device == "cuda" else (2, 2, 2),
            "ensemble": "NVE",
            "timestep": 0.5,
            "steps": 1,  # of a run that is not begun
            "seed": 1,
            "backend": "python",
            "platform": "CUDA" if device == "cuda" else "CPU",
            "output": str(scratch / "run"),
        }
    )
    parts = read_parts(config)
    simulation = build_simulation(config, parts, "NVE")
    simulation.context.setVelocitiesToTemperature(300 * unit.kelvin, 1)
    atoms, steps = simulation.system.getNumParticles(), 400 if device == "cuda" else 20

    def energy() -> float:
        state = simulation.context.getState(energy=True)
        total = state.getKineticEnergy() + state.getPotentialEnergy()
        return total.value_in_unit(unit.kilojoule_per_mole) / 96.485

    simulation.step(WARMUP)
    before, begun = energy(), time.perf_counter()
    simulation.step(steps)
    after, spent = energy(), (time.perf_counter() - begun) / steps
    row(
        f"MD, PythonForce, {simulation.context.getPlatform().getName()}, batio3",
        atoms,
        spent,
        ns_per_day=round(0.5e-6 * 86400.0 / spent, 3),
        drift_meV_per_atom=round(1e3 * (after - before) / atoms, 4),
        steps=steps,
    )


def bridge(device: str, scratch: Path) -> None:
    """Where a step of BaTiO3 goes: `openmm-pqeq bench`."""
    for edge in (6, 12) if device == "cuda" else (2,):
        command = [
            *(sys.executable, "-m", "openmm_pqeq", "bench", "--backend", "python", "--overwrite"),
            *("--platform", "CUDA" if device == "cuda" else "CPU", "--steps", "20"),
            *("--supercell", *3 * [str(edge)], "--output", str(scratch / "bench")),
        ]
        subprocess.run(command, check=True, stdout=sys.stderr)
        found = json.loads((scratch / "bench" / "bench.json").read_text())
        wall = {
            name: part["energy"]["wall"] + part["forces"]["wall"]
            for name, part in found["parts"].items()
        }
        around = wall["OpenMM"] + found["neighbours_with_searches"]["wall"]
        shares = {name: round(1e3 * seconds, 3) for name, seconds in wall.items()}
        row(
            "step of BaTiO3, batio3, pme",
            found["atoms"],
            found["step"]["wall"],
            bridge_and_lists_percent=round(100.0 * around / found["step"]["wall"], 2),
            products=found["products_of_a_charge_solution"],
            parts_ms=shares,
        )


def profile(device: str, scratch: Path) -> None:
    """Which kernels a step with everything spends its time in, and how many it starts."""
    from torch.profiler import ProfilerActivity

    atoms = sizes(device, 2160)[0]
    config = {
        "gnn": {**NETWORK, "species": ["Li", "N", "O", "P"]},
        "pqeq": CHARGES,
        "d3": DISPERSION,
    }
    step = stepper(made(config, device), structure(crystal(atoms, device), device))
    for _ in range(WARMUP):
        step()
    kinds = [ProfilerActivity.CUDA] if device == "cuda" else [ProfilerActivity.CPU]
    with torch.profiler.profile(activities=kinds) as recorded:
        step()
        wait(device)
    kind = torch.autograd.DeviceType.CUDA if device == "cuda" else torch.autograd.DeviceType.CPU
    found = [event for event in recorded.key_averages() if event.device_type == kind]
    spent = {e.key[:80]: e.self_device_time_total or e.self_cpu_time_total for e in found}
    longest = sorted(spent, key=lambda key: -spent[key])[:15]
    row(
        "kernels of a step with everything",
        atoms,
        started=sum(event.count for event in found),
        longest_us={key: round(spent[key]) for key in longest},
    )


def operators(device: str, scratch: Path) -> None:
    """Build the native operators, for this torch, with CUDA."""
    built = scratch / "native"
    commands = [
        [
            *("cmake", "-S", str(ROOT / "plugin"), "-B", str(scratch / "plugin")),
            *(f"-DPython3_EXECUTABLE={sys.executable}", f"-DPQEQ_OUTPUT_DIRECTORY={built}"),
            *(["-DPQEQ_CUDA=ON", "-DCMAKE_CUDA_ARCHITECTURES=native"] if device == "cuda" else ["-DPQEQ_CUDA=OFF"]),
        ],
        ["cmake", "--build", str(scratch / "plugin"), "--parallel", os.environ.get("JOBS", str(os.cpu_count()))],
    ]  # fmt: skip
    begun = time.perf_counter()
    for command in commands:
        subprocess.run(command, check=True, stdout=sys.stderr)
    row("operators built", 0, time.perf_counter() - begun)
    script = "from openmm_pqeq import ops; print(ops.status()); print(ops.has_kernel('dispersion', 'CUDA'))"
    environment = os.environ | {"OPENMM_PQEQ_NATIVE": str(built)}
    said = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)  # fmt: skip
    status, with_cuda = said.stdout.splitlines()[-2:]
    row("operators loaded", 0, status=status, with_cuda=with_cuda == "True")


def tests(device: str, scratch: Path) -> None:
    """The tests marked gpu: every kernel against its CPU twin and the reference, searches, forces
    of whole potentials."""
    files = [p for p in (ROOT / "tests").rglob("test_*.py") if "pytest.mark.gpu" in p.read_text()]
    command = [sys.executable, "-m", "pytest", *map(str, sorted(files)), "-m", "gpu", "-v"]
    # warnings of versions that nobody has tried here are no errors
    command += ["--tb=short", "-p", "no:cacheprovider", "-W", "default"]
    if device == "cpu":
        command += ["--gpu-on-cpu"]
    elif find_spec("xdist") is not None:
        command += ["-n", "4"]
    lines = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        for line in process.stdout or []:
            print(line, end="", file=sys.stderr, flush=True)
            lines.append(line.strip())
    failed = [line for line in lines if line.startswith(("FAILED ", "ERROR "))]
    row("tests marked gpu", 0, summary=lines[-1].strip("= "), failed=failed)
    if process.returncode != 0:
        raise SystemExit(1)


PARTS = (operators, tests, network, charges, dispersion, dynamics, sevennet, bridge, profile)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=[part.__name__ for part in PARTS])
    parser.add_argument("--device", choices=["cuda", "cpu"], required=True)
    parser.add_argument("--scratch", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.scratch.mkdir(parents=True, exist_ok=True)
    if arguments.part not in ("operators", "tests"):
        print(f"operators: {ops.status()}", file=sys.stderr)
    next(part for part in PARTS if part.__name__ == arguments.part)(
        arguments.device, arguments.scratch
    )


if __name__ == "__main__":
    main()
