"""PQEq parameters fitted to response, on frames that were not fitted: BaTiO3, SiO2, QM7b.

    python validation/response_fit.py --data FOLDER [--only batio3 sio2 qm7b] [--frames 12]

FOLDER has batio3/batio3_pbe_59.xyz, batio3/batio3_pbe_field_response.xyz, sio2/sio2_pbe_161.xyz
(allegro-pol, MIT) and qm7b_train.xyz (Materials Cloud 2019.0002). The tables are those in
openmm_pqeq/data; the frames held out are the first of `numpy.random.default_rng(0).permutation`, as
`openmm-pqeq fit-pqeq --seed 0` holds them out. Untouched parameters are beside them.
"""

import argparse
from importlib import resources
from pathlib import Path

import ase.io
import numpy as np
import torch

import openmm_pqeq as pq
from openmm_pqeq.fitting.report import errors_of, heading
from openmm_pqeq.fitting.residuals import measure
from openmm_pqeq.fitting.targets import ResponseFrame, read_response_frames
from openmm_pqeq.pqeq.parameters import Parameters, resolve_parameters
from openmm_pqeq.response import response
from openmm_pqeq.structure import structure_of

TOLERANCE = 1e-6
SETS = {
    "batio3": ("batio3/batio3_pbe_59.xyz", (), False, 12),
    "sio2": ("sio2/sio2_pbe_161.xyz", (), False, 32),
    "qm7b": ("qm7b_train.xyz", ("polarizability=pol:bohr3",), True, 261),
}


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))


def of_table(name: str) -> Parameters:
    return resolve_parameters(str(resources.files("openmm_pqeq.data").joinpath(f"pqeq_{name}.csv")))


def held_out(frames: list[ResponseFrame], count: int, most: int | None) -> list[ResponseFrame]:
    order = np.random.default_rng(0).permutation(len(frames))[:count]
    return [frames[index] for index in order[: most or count]]


def errors(name: str, parameters: Parameters, frames: list[ResponseFrame]) -> None:
    measured = measure(parameters, frames, TOLERANCE)
    solved = [one for one in measured if one is not None]
    print(
        f"\n{name}: {len(frames)} frames not fitted, {len(frames) - len(solved)} without a stable "
        "solution"
    )
    for target, error in errors_of((frames, measured)).items():
        print(
            f"  {heading(target):34s} RMSE {error.rmse:8.4f}   MAE {error.mae:8.4f}   r "
            f"{error.r:.4f}"
        )
    born = [
        rms(one.values["born_charge"] - frame.labels["born_charge"])
        for frame, one in zip(frames, measured)
        if one is not None and "born_charge" in frame.labels
    ]
    if born:
        sums = [np.abs(one.values["born_charge"].sum(axis=0)).max() for one in solved]
        print(
            f"  Born charges, RMSE per frame: {min(born):.3f} to {max(born):.3f} e; |Σ Z*| at most "
            f"{max(sums):.1e} e"
        )
    epsilon = [np.diag(one.values["dielectric"]) for one in solved if "dielectric" in one.values]
    if epsilon:
        labels = np.mean([np.diag(frame.labels["dielectric"]) for frame in frames], axis=0)
        print(
            f"  ε∞ (xx, yy, zz): {np.round(np.mean(epsilon, axis=0), 3)}, PBE {np.round(labels, 3)}"
        )
    print(
        f"  smallest eigenvalue {min(one.softest for one in solved):.2f}, longest shell "
        f"{max(one.longest for one in solved):.2f} Å"
    )


def field_response(name: str, parameters: Parameters, file: Path) -> None:
    """(F(E) − F(0))/E of PBE against Born charges, and against the forces of the same potential in
    the same field."""
    config = {symbol: values._asdict() for symbol, values in parameters.items()}
    potential = pq.build({"pqeq": {"protocol": "ewald", "parameters": config, "tolerance": 1e-8}})
    frames = ase.io.read(file, ":")
    fields = np.array([np.asarray(atoms.info["field_V_per_A"], dtype=float) for atoms in frames])
    zero = int(np.argmin(np.linalg.norm(fields, axis=1)))

    def structure(atoms, field=None):
        arrays = (
            torch.as_tensor(np.array(x)) for x in (atoms.positions, atoms.numbers, atoms.cell.array)
        )
        return structure_of(*arrays, field=None if field is None else torch.as_tensor(field))

    _, born = response(potential, structure(frames[zero]))
    at_rest = potential.evaluate(structure(frames[zero]), forces=True).forces.numpy()
    print(f"\n{name}: forces in a field of {np.linalg.norm(fields, axis=1).max():.4g} V/Å")
    for field, atoms in zip(fields, frames):
        size = np.linalg.norm(field)
        if size > 0:
            reference = (atoms.get_forces() - frames[zero].get_forces()) / size
            predicted = np.einsum("a,iab->ib", field / size, born.numpy())
            forces = potential.evaluate(structure(frames[zero], field), forces=True).forces.numpy()
            r = np.corrcoef(predicted.ravel(), reference.ravel())[0, 1]
            print(
                f"  E along {field / size}: Born charges − PBE {rms(predicted - reference):.3f} e "
                f"(r {r:.4f});"
            )
            print(
                "      force differences of the potential − its Born charges "
                f"{rms((forces - at_rest) / size - predicted):.1e} e"
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--only", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--frames", type=int, metavar="N", help="at most N frames of each")
    arguments = parser.parse_args()
    for name in arguments.only:
        file, targets, cluster, count = SETS[name]
        frames = held_out(
            read_response_frames([arguments.data / file], targets, cluster), count, arguments.frames
        )
        errors(f"{name}, fitted", of_table(name), frames)
        errors(
            f"{name}, untouched (reaxnet)",
            resolve_parameters("reaxnet"),
            frames[:3] if name != "qm7b" else frames,
        )
    if "batio3" in arguments.only:
        for which, parameters in (
            ("fitted", of_table("batio3")),
            ("untouched (reaxnet)", resolve_parameters("reaxnet")),
        ):
            field_response(
                f"batio3, {which}",
                parameters,
                arguments.data / "batio3" / "batio3_pbe_field_response.xyz",
            )


if __name__ == "__main__":
    main()
