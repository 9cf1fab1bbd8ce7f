"""`openmm-pqeq fit-pqeq`: PQEq parameters from Born charges, polarizabilities, ε∞, dipoles or
charges."""

import argparse

from openmm_pqeq.pqeq import COUPLINGS

INTERRUPTED = 130

HELP = "Fit PQEq parameters to Born charges, polarizabilities, ε∞, dipoles or charges in the data."

EPILOG = """examples:
  openmm-pqeq fit-pqeq batio3.extxyz --held-out 12 --frames 4 --output fitted
  openmm-pqeq fit-pqeq sio2.extxyz --fit Si:all --fit O:radius,spring_constant --bounds radius=0.4:1.6
  openmm-pqeq fit-pqeq qm7b.xyz --cluster --target polarizability=pol:bohr3 --held-out 200 --frames 100
  openmm-pqeq fit-pqeq batio3.extxyz --held-out 12 --frames 4 --output fitted --resume

The data (anything ASE reads) has born_charge (n, 9) [atom, 3·field + force] in e, polarizability (3, 3) in e²Å²/eV, dielectric
(3, 3), or charges, by these names or by --target NAME=KEY:UNIT; units: polarizability bohr3, A3; dipole eA, debye, au.

The output folder has parameters.csv, card.json, errors.txt and parity.png; afterwards
  pq.build({"pqeq": {"protocol": "ewald", "parameters": "fitted/parameters.csv"}})"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Data, what to fit, limits, and where to write."""
    parser.add_argument("data", nargs="+", metavar="DATA", help="labelled structures")
    parser.add_argument(
        "--target",
        action="append",
        default=[],
        metavar="NAME[=KEY[:UNIT]]",
        help="default: all that are found",
    )
    parser.add_argument(
        "--scale",
        action="append",
        default=[],
        metavar="NAME=ERROR",
        help="the error that counts as one in the loss",
    )
    parser.add_argument(
        "--cluster", action="store_true", help="ignore the cells: they are boxes around molecules"
    )
    parser.add_argument(
        "--parameters",
        default="reaxnet",
        metavar="SET",
        help="where to start: a set or a table (default: reaxnet)",
    )
    parser.add_argument(
        "--coupling",
        default="shell",
        choices=[name for name in COUPLINGS if name != "fragment"],
        help="how the field acts (default: shell)",
    )
    parser.add_argument(
        "--fit",
        action="append",
        default=[],
        metavar="[ELEMENT:]NAMES",
        help="Ba:radius,hardness; Ti:all (default: all)",
    )
    parser.add_argument(
        "--bounds",
        action="append",
        default=[],
        metavar="[ELEMENT:]NAME=LOW:HIGH",
        help="or xLOW:xHIGH, factors",
    )
    parser.add_argument(
        "--held-out", type=int, metavar="N", help="frames that only measure (default: a fifth)"
    )
    parser.add_argument(
        "--frames",
        type=int,
        metavar="N",
        help="frames to fit, of those not held out (default: all)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the choice of frames (default: 0)")
    parser.add_argument(
        "--min-eigenvalue",
        type=float,
        default=0.3,
        metavar="E",
        help="of the Hessian, eV/e² and eV/Å² (default: 0.3)",
    )
    parser.add_argument(
        "--min-hardness",
        type=float,
        default=0.3,
        metavar="E",
        help="above the Gaussian self-energy, eV (default: 0.3)",
    )
    parser.add_argument(
        "--max-shell", type=float, default=0.5, metavar="D", help="longest shell, Å (default: 0.5)"
    )
    parser.add_argument(
        "--prior", type=float, default=0.05, help="pull towards the start (default: 0.05)"
    )
    parser.add_argument(
        "--iterations",
        type=int,
        default=60,
        metavar="N",
        help="most evaluations of the loss (default: 60)",
    )
    parser.add_argument(
        "--output",
        "-o",
        default="pqeq_fit",
        metavar="FOLDER",
        help="folder for what is written (default: pqeq_fit)",
    )
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument(
        "--overwrite", action="store_true", help="replace the fit that is in the output folder"
    )
    existing.add_argument(
        "--resume", action="store_true", help="continue the fit that is in the output folder"
    )


def command(options: argparse.Namespace) -> int:
    """Fit, measure, and write everything."""
    from rich.console import Console
    from rich.progress import Progress

    try:
        from openmm_pqeq.fitting.run import RunSettings, run
    except ModuleNotFoundError as error:
        raise ImportError(
            f'fit-pqeq: {error.name} is not installed: pip install "openmm-pqeq[train]"'
        ) from None

    settings = RunSettings(
        data=tuple(options.data),
        targets=tuple(options.target),
        scales=tuple(options.scale),
        cluster=options.cluster,
        parameters=options.parameters,
        coupling=options.coupling,
        fit=tuple(options.fit),
        bounds=tuple(options.bounds),
        held_out=options.held_out,
        frames=options.frames,
        seed=options.seed,
        min_eigenvalue=options.min_eigenvalue,
        min_hardness=options.min_hardness,
        max_shell=options.max_shell,
        prior=options.prior,
        iterations=options.iterations,
    )
    console = Console(highlight=False, markup=False)
    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task("frames", total=1)

        def advance(done: int, total: int) -> None:
            progress.update(bar, completed=done, total=total)

        def say(line: str = "") -> None:
            console.print(line, soft_wrap=True)  # names of files stay in one piece

        finished = run(settings, options.output, options.overwrite, options.resume, say, advance)
    return 0 if finished else INTERRUPTED
