"""Energy conservation in OpenMM at constant energy: liquid water, molten NaCl and BaTiO3, with PQEq
by three protocols.

    python validation/energy_conservation.py [--systems water nacl batio3] [--protocols pme reaxnet
    reaxnet-published]
                                             [--picoseconds 20] [--minutes M]

`reaxnet` is the published two-sweep model with true gradients, `reaxnet-published` the same model
with its charges and shells held fixed in the gradient, as published. Charges come from the
untouched set `reaxnet`; BaTiO3 with `pme` is the model `batio3` as it ships, with the other
protocols its network beside untouched PQEq. Where there is no network, a repulsion stands in for
it:

    water   24 molecules, 1.0 g/cm³, 300 K; harmonic bonds and angles of SPC/Fw (Wu et al., J. Chem. Phys. 124, 024503, 2006) and
            4ε(σ/r)¹² between molecules, O-O as in SPC/E
    nacl    64 atoms, 1.5 g/cm³, 1200 K; exponential repulsion of Fumi and Tosi, J. Phys. Chem. Solids 25, 31 (1964)
            with σ of Na-Na raised to that of Cl-Cl: with 2.34 Å Na pairs reach 2 Å, where the
            tapered charge matrix of `reaxnet` goes towards a zero eigenvalue and its charges
            towards a pole

Verlet, 0.5 fs, float64 throughout, tolerance 1e-5, after 1 ps at the temperature (NaCl first half
as long at 2500 K). Every 20 steps three consecutive states give the total energy E = U + ½ m v², v
= (r(t+h) − r(t−h))/2h, and what Verlet conserves to fourth order,

    E' = E + h² [ v·U''·v/12 − Σ F²/24m ],     v·U''·v = −v·(F(t+h) − F(t−h))/2h,

which is free of the integrator's own oscillation: short runs show drift in it. Drift: slope of a
straight line through E/N or E'/N, its error by a bootstrap over blocks of a tenth of the run;
scatter: standard deviation about that line. With `--minutes` a run ends after that time and states
the length it reached. CPU s/step counts the sampling too.
"""

import argparse
import time
from pathlib import Path

import ase.build
import ase.io
import numpy as np
import openmm
from openmm import app, unit

import openmm_pqeq as pq
from openmm_pqeq.units import KJ_PER_MOL_PER_EV

STEP, EVERY, TOLERANCE = 0.0005, 20, 1e-5
TEMPERATURE = {"water": 300.0, "nacl": 1200.0, "batio3": 300.0}
MELT, AMU_PER_CUBIC_ANGSTROM = 2500.0, 0.602214  # K; 1 g/cm³
REAXNET = {"protocol": "reaxnet", "parameters": "reaxnet"}
PQEQ = {
    "pme": {"protocol": "pme", "parameters": "reaxnet"},
    "reaxnet": REAXNET,
    "reaxnet-published": {**REAXNET, "stop_gradient": True},
}
REPULSION = "4*sqrt(e1*e2)*(0.5*(s1+s2)/r)^12"
BORN_MAYER = "b(t1,t2)*exp((s(t1,t2)-r)/0.0317)"


def water(count: int, seed: int) -> ase.Atoms:
    """Molecules on a cubic grid, orientations drawn, 1.0 g/cm³."""
    rng = np.random.default_rng(seed)
    side = int(np.ceil(count ** (1 / 3)))
    length = (count * 18.0153 / AMU_PER_CUBIC_ANGSTROM) ** (1 / 3)
    grid = (
        np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)[:count]
        * length
        / side
    )
    atoms = ase.Atoms(cell=[length] * 3, pbc=True)
    for place in grid:
        molecule = ase.build.molecule("H2O")
        molecule.euler_rotate(*rng.uniform(0, 360, 3), center="COP")
        molecule.translate(place - molecule.positions[0])
        atoms += molecule
    return atoms


def structure(system: str, seed: int) -> ase.Atoms:
    if system == "water":
        return water(24, seed)
    if system == "nacl":
        volume = 4 * 58.443 / (1.5 * AMU_PER_CUBIC_ANGSTROM)
        return ase.build.bulk("NaCl", "rocksalt", volume ** (1 / 3), cubic=True).repeat(2)
    return ase.io.read(Path(__file__).parents[1] / "examples" / "BaTiO3.cif").repeat(2)


def topology_of(atoms: ase.Atoms) -> app.Topology:
    topology = app.Topology()
    residue = topology.addResidue("ALL", topology.addChain())
    for symbol in atoms.symbols:
        topology.addAtom(symbol, app.Element.getBySymbol(symbol), residue)
    topology.setPeriodicBoxVectors(atoms.cell.array / 10 * unit.nanometer)
    return topology


def stand_ins(system: str, atoms: ase.Atoms) -> list[openmm.Force]:
    """What holds the atoms apart, and molecules together, where there is no network; nm and
    kJ/mol."""
    if system == "batio3":
        return []
    reach = min(0.6, 0.049 * atoms.cell.lengths().min())
    if system == "water":
        repulsion = openmm.CustomNonbondedForce(REPULSION)
        repulsion.addPerParticleParameter("e")
        repulsion.addPerParticleParameter("s")
        for symbol in atoms.symbols:
            repulsion.addParticle((0.6502, 0.3166) if symbol == "O" else (0.0657, 0.10))
        bonds, angles = openmm.HarmonicBondForce(), openmm.HarmonicAngleForce()
        for o in range(0, len(atoms), 3):
            for h in (o + 1, o + 2):
                bonds.addBond(o, h, 0.1012, 443153.4)
                repulsion.addExclusion(o, h)
            repulsion.addExclusion(o + 1, o + 2)
            angles.addAngle(o + 1, o, o + 2, np.deg2rad(113.24), 317.566)
        forces = [repulsion, bonds, angles]
    else:
        repulsion = openmm.CustomNonbondedForce(BORN_MAYER)
        repulsion.addPerParticleParameter("t")
        repulsion.addTabulatedFunction(
            "b", openmm.Discrete2DFunction(2, 2, [25.45, 20.36, 20.36, 15.27])
        )
        repulsion.addTabulatedFunction(
            "s", openmm.Discrete2DFunction(2, 2, [0.3170, 0.2755, 0.2755, 0.3170])
        )
        for symbol in atoms.symbols:
            repulsion.addParticle([float(symbol == "Cl")])
        forces = [repulsion]
    repulsion.setNonbondedMethod(openmm.CustomNonbondedForce.CutoffPeriodic)
    repulsion.setCutoffDistance(reach)
    repulsion.setUseSwitchingFunction(True)
    repulsion.setSwitchingDistance(0.8 * reach)
    return forces


def simulation(system: str, protocol: str, seed: int) -> app.Simulation:
    atoms = structure(system, seed)
    topology = topology_of(atoms)
    if system == "batio3" and protocol == "pme":
        potentials = [pq.load("batio3", protocol="pme")]
    else:
        potentials = [pq.build({"pqeq": PQEQ[protocol]})] + (
            [pq.load("batio3").select("gnn")] if system == "batio3" else []
        )
    whole = openmm.System()
    for mass in atoms.get_masses():
        whole.addParticle(mass)
    whole.setDefaultPeriodicBoxVectors(*topology.getPeriodicBoxVectors())
    for potential in potentials:
        whole.addForce(
            pq.create_force(potential, topology, precision="double", tolerance=TOLERANCE)
        )
    for force in stand_ins(system, atoms):
        whole.addForce(force)
    integrator = openmm.CompoundIntegrator()
    warm_up = openmm.LangevinMiddleIntegrator(TEMPERATURE[system], 10.0, STEP)
    warm_up.setRandomNumberSeed(seed)
    integrator.addIntegrator(warm_up)
    integrator.addIntegrator(openmm.VerletIntegrator(STEP))
    made = app.Simulation(
        topology, whole, integrator, openmm.Platform.getPlatformByName("Reference")
    )
    made.context.setPositions(atoms.positions / 10)
    if system == "water":
        made.minimizeEnergy(maxIterations=50)
    made.context.setVelocitiesToTemperature(TEMPERATURE[system], seed)
    return made


def warm_up(made: app.Simulation, system: str, picoseconds: float) -> None:
    integrator = made.integrator.getIntegrator(0)
    if system == "nacl":
        integrator.setTemperature(MELT)
        made.step(round(0.5 * picoseconds / STEP))
        integrator.setTemperature(TEMPERATURE[system])
    made.step(round(picoseconds / STEP))
    made.integrator.setCurrentIntegrator(1)


def sample(made: app.Simulation, masses: np.ndarray) -> tuple[float, float, float]:
    """Two steps: total energy, what Verlet conserves to fourth order, and kinetic energy, kJ/mol,
    at the state between them."""
    positions, forces, potential = [], [], []
    for moves in (0, 1, 1):
        made.step(moves)
        state = made.context.getState(positions=True, forces=True, energy=True)
        positions.append(state.getPositions(asNumpy=True).value_in_unit(unit.nanometer))
        forces.append(
            state.getForces(asNumpy=True).value_in_unit(unit.kilojoules_per_mole / unit.nanometer)
        )
        potential.append(state.getPotentialEnergy().value_in_unit(unit.kilojoules_per_mole))
    velocities = (positions[2] - positions[0]) / (2 * STEP)
    kinetic = 0.5 * float((masses * velocities**2).sum())
    curvature = -float((velocities * (forces[2] - forces[0])).sum()) / (2 * STEP)
    total = kinetic + potential[1]
    return (
        total,
        total + STEP**2 * (curvature / 12 - float((forces[1] ** 2 / masses).sum()) / 24),
        kinetic,
    )


def record(made: app.Simulation, picoseconds: float, minutes: float, file: Path) -> np.ndarray:
    """Rows of time (ps), E and E' (meV/atom, about their first values), temperature (K); written as
    they come."""
    masses = np.array(
        [
            [made.system.getParticleMass(i).value_in_unit(unit.dalton)]
            for i in range(made.topology.getNumAtoms())
        ]
    )
    to_mev, to_kelvin = (
        1000 / (KJ_PER_MOL_PER_EV * len(masses)),
        1 / (1.5 * len(masses) * 8.314462618e-3),
    )
    start, rows = time.monotonic(), []
    with file.open("w", encoding="utf-8") as lines:
        print("ps,E,E',K", file=lines)
        for block in range(round(picoseconds / STEP / EVERY)):
            made.step(EVERY - 2)
            total, conserved, kinetic = sample(made, masses)
            rows.append(
                (
                    (block + 1) * EVERY * STEP,
                    total * to_mev,
                    conserved * to_mev,
                    kinetic * to_kelvin,
                )
            )
            print(
                ",".join(f"{value:.6f}" for value in np.array(rows[-1]) - [0, *rows[0][1:3], 0]),
                file=lines,
                flush=True,
            )
            if len(rows) > 10 and time.monotonic() - start > 60 * minutes:
                break
    return np.array(rows)


def drift(times: np.ndarray, energies: np.ndarray, seed: int = 0) -> tuple[float, float, float]:
    """Slope, its standard error by a bootstrap of the residuals in blocks, and the scatter about
    the line."""
    line = np.polyfit(times, energies, 1)
    residuals = energies - np.polyval(line, times)
    n, block, rng = len(times), max(1, len(times) // 10), np.random.default_rng(seed)
    slopes = []
    for _ in range(400):
        starts = rng.integers(0, n - block + 1, size=-(-n // block))
        drawn = residuals[(starts[:, None] + np.arange(block)).ravel()[:n]]
        slopes.append(np.polyfit(times, np.polyval(line, times) + drawn, 1)[0])
    return float(line[0]), float(np.std(slopes)), float(residuals.std())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--systems", nargs="+", choices=TEMPERATURE, default=list(TEMPERATURE))
    parser.add_argument("--protocols", nargs="+", choices=PQEQ, default=list(PQEQ))
    parser.add_argument("--picoseconds", type=float, default=20.0)
    parser.add_argument("--equilibration", type=float, default=1.0, help="ps")
    parser.add_argument(
        "--minutes",
        type=float,
        default=float("inf"),
        help="of wall time for each run, equilibration left out",
    )
    parser.add_argument(
        "--output", type=Path, default=Path("."), help="folder for the energies, one CSV file a run"
    )
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    print(
        "| system | protocol | ps | drift of E' | scatter | drift of E | scatter | mean T, K | CPU "
        "s/step |",
        flush=True,
    )
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    for system in arguments.systems:
        for protocol in arguments.protocols:
            made = simulation(system, protocol, arguments.seed)
            warm_up(made, system, arguments.equilibration)
            start = time.process_time()
            file = arguments.output / f"energies_{system}_{protocol}.csv"
            times, totals, conserved, temperatures = record(
                made, arguments.picoseconds, arguments.minutes, file
            ).T
            seconds = (time.process_time() - start) / (len(times) * EVERY)
            columns = [
                f"{slope:+.1e} ± {error:.0e} | {scatter:.0e}"
                for slope, error, scatter in (drift(times, conserved), drift(times, totals))
            ]
            print(
                f"| {system} | {protocol} | {times[-1]:.2f} | {' | '.join(columns)} | "
                f"{temperatures.mean():.0f} | {seconds:.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
