"""`openmm-pqeq evaluate`: models against labelled structures."""

import argparse
import json
import math
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from openmm_pqeq.jobs import values

HELP = "Errors of models on labelled structures: energy, force and stress, by element and force."

EPILOG = """examples:
  openmm-pqeq evaluate frames.extxyz --model batio3
  openmm-pqeq evaluate frames.extxyz --model batio3 batio3_bonds --json errors.json --plot parity.png
  openmm-pqeq evaluate deepmd_folder --model model.pt --type-map Li,Ge,P,S --frames 100 --seed 1

DATA is what training reads: anything of ASE, n2p2's input.data, DeePMD's folders. Energies are compared per atom as they are,
and once more without the elements' shifts (least squares on these structures), which differ between programs. The slope is that
of the model's forces on the reference's: below 1 the model is too soft."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Data, models, and what to write."""
    parser.add_argument("data", nargs="+", metavar="DATA", help="labelled structures")
    parser.add_argument(
        "--model", nargs="+", required=True, metavar="MODEL", help="names or paths of models"
    )
    parser.add_argument("--protocol", metavar="NAME", help="protocol of the charges")
    parser.add_argument(
        "--frames", metavar="N", help="compare so many, drawn at random (default: all)"
    )
    parser.add_argument("--seed", metavar="N", default="0", help="of the choice (default: 0)")
    for name in ("energy", "forces", "stress"):
        parser.add_argument(
            f"--{name}-key", metavar="KEY", default="auto", help=f"where the data have {name}"
        )
    parser.add_argument(
        "--stress-sign", metavar="SIGN", default="1", help="1: (1/V) ∂E/∂ε as in ASE; -1: negative"
    )
    parser.add_argument(
        "--type-map", metavar="SYMBOLS", default=(), help="elements of DeePMD's types"
    )
    parser.add_argument(
        "--reference-charges",
        metavar="CHARGES",
        default="",
        help="of elements, e, where charges by bonds flow from, such as Na=1,Cl=-1 (default: "
        "oxidation states of each structure)",
    )
    parser.add_argument("--json", metavar="FILE", help="write all errors")
    parser.add_argument("--plot", metavar="FILE", help="write a parity plot (PNG)")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the files of --json and --plot"
    )


def command(options: argparse.Namespace) -> int:
    """Compare, print a table for each model, and write what was asked for."""
    from openmm_pqeq.jobs.folder import owned_file

    if options.json is not None and options.json == options.plot:
        raise ValueError(f"plot: expected another file than that of json, got {options.plot!r}")
    if options.plot is not None and Path(options.plot).suffix.lower() != ".png":
        raise ValueError(f"plot: expected a name that ends in .png, got {options.plot!r}")
    inputs = [*options.data, *options.model]
    with ExitStack() as owned:
        for name, target in (("json", options.json), ("plot", options.plot)):
            if target is not None:
                place = values.path(name, target)
                owned.enter_context(
                    owned_file(place, "evaluation", options.overwrite, name, inputs)
                )
        _evaluate(options)
    return 0


def _evaluate(options: argparse.Namespace) -> None:
    from rich.console import Console

    from openmm_pqeq import checkpoint, evaluation
    from openmm_pqeq.conditions import by_bonds

    checkpoint.refuse_unknown({f"model[{i}]": name for i, name in enumerate(options.model)})
    frames, charges = (
        _frames(options),
        values.numbers("reference_charges", options.reference_charges),
    )
    potentials = {name: checkpoint.load(name, protocol=options.protocol) for name in options.model}
    if charges and not any(map(by_bonds, potentials.values())):
        raise ValueError(
            "reference_charges: the charges of these models flow freely, or there are none, and start "
            "from none; leave them out"
        )
    console = Console(highlight=False, markup=False)
    compared = {}
    for name, potential in potentials.items():
        parts = _with_progress(console, name, potential, frames, charges)
        compared[name] = evaluation.joined(parts)
    errors = {name: evaluation.errors_of(one) for name, one in compared.items()}
    for name, found in errors.items():
        _show(console, name, found)
    if options.json is not None:
        _write_json(Path(options.json), errors, options)
    if options.plot is not None:
        _write_plot(Path(options.plot), compared, errors, options)


def _frames(options: argparse.Namespace) -> list[Any]:
    """The frames to compare."""
    import numpy as np

    from openmm_pqeq.training.frames import read_frames
    from openmm_pqeq.training.settings import DataSettings

    seed = values.within(values.count, 0, values.LARGEST_SEED)("seed", options.seed)
    settings = DataSettings(
        files=tuple(options.data),
        energy_key=options.energy_key,
        forces_key=options.forces_key,
        stress_key=options.stress_key,
        stress_sign=values.sign("stress_sign", options.stress_sign),
        type_map=values.names("type_map", options.type_map) if options.type_map else (),
    )
    frames = read_frames(options.data, settings)
    if options.frames is not None:
        n = values.positive_count("frames", options.frames)
        order = np.random.default_rng(seed).permutation(len(frames))
        frames = [frames[k] for k in sorted(order[:n])]
    return frames


def _with_progress(
    console: Any, name: str, potential: Any, frames: list[Any], charges: dict[str, float]
) -> list[Any]:
    from rich.progress import track

    from openmm_pqeq import evaluation

    steps = evaluation.compared(potential, frames, charges)
    return list(
        track(
            steps,
            description=name,
            total=len(frames),
            console=console,
            disable=not console.is_terminal,
        )
    )


def _show(console: Any, name: str, errors: Any) -> None:
    """The errors of one model."""
    from rich.table import Table

    console.print(f"{name}: {errors.n_frames} structures, {errors.forces.n_atoms} atoms")
    lines = {
        "energy": (errors.energy_mae, errors.energy_rmse, "meV/atom"),
        "energy without shifts of elements": (errors.shifted_mae, errors.shifted_rmse, "meV/atom"),
        "stress": (errors.stress_mae, errors.stress_rmse, "eV/Å³"),
    }
    for what, (mae, rmse, unit) in lines.items():
        if not math.isnan(mae):
            console.print(f"  {what}: MAE {mae:.4g}, RMSE {rmse:.4g} {unit}")
    table = Table("forces (meV/Å)", *("atoms", "RMS", "MAE", "RMSE", "slope"))
    rows = {"all": errors.forces} | errors.by_element
    rows |= {_level(*level): found for level, found in errors.by_level.items()}
    for row, found in rows.items():
        numbers = [f"{value:.1f}" for value in (found.rms, found.mae, found.rmse)]
        table.add_row(row, str(found.n_atoms), *numbers, f"{found.slope:.3f}")
    console.print(table)


def _level(low: float, high: float) -> str:
    return f"|F| from {low:g} eV/Å" if math.isinf(high) else f"|F| {low:g} to {high:g} eV/Å"


def _write_json(path: Path, errors: dict[str, Any], options: argparse.Namespace) -> None:
    from openmm_pqeq.jobs import facts
    from openmm_pqeq.jobs.files import sha256, write_text

    def plain(value: Any) -> Any:
        if isinstance(value, float):
            return None if math.isnan(value) or math.isinf(value) else value
        if hasattr(value, "_asdict"):
            return {key: plain(item) for key, item in value._asdict().items()}
        if isinstance(value, dict):
            return {
                key if isinstance(key, str) else _level(*key): plain(item)
                for key, item in value.items()
            }
        return value

    settings = {name: value for name, value in vars(options).items() if name != "debug"}
    checksums = {str(file): sha256(Path(file)) for file in options.data}
    content = facts.facts_of(settings, None, checksums) | {
        "errors": {name: plain(found) for name, found in errors.items()}
    }
    write_text(path, json.dumps(content, indent=1) + "\n", options.overwrite)


def _write_plot(path: Path, compared: Any, errors: Any, options: argparse.Namespace) -> None:
    import numpy as np

    from openmm_pqeq.evaluation import composition_part
    from openmm_pqeq.jobs.files import whole
    from openmm_pqeq.report.parity import Cloud, plot_parity

    panels: dict[str, dict[str, Any]] = {}
    for name, one in compared.items():
        found = errors[name]
        known = np.isfinite(one.energies[0])
        if known.any():
            difference = (one.energies[1] - one.energies[0])[known]
            reference = one.energies[0][known] / one.counts[known]
            shift = composition_part(one, difference, known)
            model = (one.energies[1][known] - shift) / one.counts[known]
            note = f"RMSE {found.shifted_rmse:.3g} meV/atom"
            mean = reference.mean()
            cloud = Cloud(1000.0 * (reference - mean), 1000.0 * (model - mean), note)
            panels.setdefault("energy per atom, shifts removed (meV)", {})[name] = cloud
        note = f"RMSE {found.forces.rmse:.3g} meV/Å, slope {found.forces.slope:.3f}"
        forces = Cloud(one.forces[0].ravel(), one.forces[1].ravel(), note)
        panels.setdefault("force components (eV/Å)", {})[name] = forces
        both = np.isfinite(one.stress).all(axis=0)
        if both.any():
            note = f"RMSE {found.stress_rmse:.3g} eV/Å³"
            stress = Cloud(one.stress[0][both], one.stress[1][both], note)
            panels.setdefault("stress components (eV/Å³)", {})[name] = stress
    figure = plot_parity(panels, ", ".join(Path(file).name for file in options.data))
    with whole(path, options.overwrite) as part:
        figure.savefig(part, dpi=130, format="png")
