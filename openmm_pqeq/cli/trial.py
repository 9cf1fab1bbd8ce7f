"""One step of a small crystal with one route on every OpenMM platform, for `openmm-pqeq doctor`.

Run as a process of its own: python -m openmm_pqeq.cli.trial torchscript. Prints a line of JSON for
each platform.
"""

import json
import sys
import time

import openmm
import torch  # noqa: F401  # openmmtorch finds its libraries after it
from openmm import app, unit

from openmm_pqeq.force.create import create_system
from openmm_pqeq.potential import build
from openmm_pqeq.units import KJ_PER_MOL_PER_EV

EDGE = 0.564
"""Edge of the cubic cell of NaCl, nm."""


def rock_salt() -> tuple[app.Topology, list[openmm.Vec3]]:
    """Topology and positions (nm) of the eight atoms of a cell of NaCl."""
    topology = app.Topology()
    residue = topology.addResidue("NaCl", topology.addChain())
    positions = []
    for i in range(8):
        x, y, z = i // 4, i // 2 % 2, i % 2
        symbol = "Cl" if (x + y + z) % 2 else "Na"
        topology.addAtom(f"{symbol}{i}", app.Element.getBySymbol(symbol), residue)
        positions.append(openmm.Vec3(x, y, z) * (EDGE / 2))
    topology.setPeriodicBoxVectors(
        [openmm.Vec3(EDGE, 0, 0), openmm.Vec3(0, EDGE, 0), openmm.Vec3(0, 0, EDGE)] * unit.nanometer
    )
    return topology, positions


def main(backend: str) -> None:
    """Try every platform and print what came of it."""
    print(
        json.dumps({"plugin_failures": list(openmm.Platform.getPluginLoadFailures())}), flush=True
    )
    topology, positions = rock_salt()
    potential = build({"pqeq": {"protocol": "ewald"}})
    for name in [
        openmm.Platform.getPlatform(i).getName() for i in range(openmm.Platform.getNumPlatforms())
    ]:
        try:
            system = create_system(
                potential, topology, field=(0, 0, 0.01), backend=backend, precision="double"
            )
            integrator = openmm.VerletIntegrator(0.001)
            context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName(name))
            context.setPositions(positions)
            integrator.step(5)  # TorchScript optimises during the first ones
            start = time.perf_counter()
            integrator.step(1)
            seconds = time.perf_counter() - start
            energy = context.getState(energy=True).getPotentialEnergy()
            news = {
                "energy": energy.value_in_unit(unit.kilojoule_per_mole) / KJ_PER_MOL_PER_EV,
                "seconds": seconds,
            }
        except (openmm.OpenMMException, RuntimeError, ValueError) as error:
            news = {"error": str(error).strip().splitlines()[0]}
        print(json.dumps({"platform": name, **news}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
