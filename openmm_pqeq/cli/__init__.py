"""The command line: `openmm-pqeq run | energy | relax | evaluate | train | fit-pqeq | import-reaxnet |
import-sevennet | finetune | distill | build | analyze | campaign | report | models | bench | doctor`.

What the user got wrong is said in one message on stderr, with exit code 2, and nothing is
overwritten. Work that fails on the way, or a disk that is full, exits with 1; work that was asked to
stop, with 130. `--debug` shows tracebacks. What a console cannot show is escaped: no result is lost
to an encoding.
"""

import argparse
import io
import logging
import re
import sys
import traceback
import warnings
from collections.abc import Sequence

from openmm import OpenMMException

from openmm_pqeq.cli import (
    analyze,
    bench,
    build,
    campaign,
    distill,
    doctor,
    energy,
    evaluate,
    finetune,
    fit_pqeq,
    import_reaxnet,
    import_sevennet,
    models,
    relax,
    report,
    run,
    train,
)
from openmm_pqeq.jobs.failure import RunFailure, of_the_disk, reason_of

COMMANDS = {
    "run": run,
    "energy": energy,
    "relax": relax,
    "evaluate": evaluate,
    "train": train,
    "fit-pqeq": fit_pqeq,
    "import-reaxnet": import_reaxnet,
    "import-sevennet": import_sevennet,
    "finetune": finetune,
    "distill": distill,
    "build": build,
    "analyze": analyze,
    "campaign": campaign,
    "report": report,
    "models": models,
    "bench": bench,
    "doctor": doctor,
}
WRONG_INPUT = 2
FAILED = 1
INTERRUPTED = 130

_EPILOG = """examples:
  openmm-pqeq run BaTiO3.cif --model batio3 --temperature 300 --time 1ps --field 0 0 0.01 --output out
  openmm-pqeq energy BaTiO3.cif --model batio3
  openmm-pqeq analyze infrared out
  openmm-pqeq models batio3
  openmm-pqeq bench
  openmm-pqeq doctor

Each command has its own --help. Exit codes: 0 done; 1 failed on the way, with what was kept; 2 something in the input, and
nothing was changed; 130 interrupted."""


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    top = argparse.ArgumentParser(
        prog="openmm-pqeq",
        description="Molecular dynamics with a machine-learned potential, polarizable charges and "
        "electric fields, through OpenMM.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--debug", action="store_true", help=argparse.SUPPRESS)
    commands = top.add_subparsers(dest="command", metavar="COMMAND")
    for name, module in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=module.HELP,
            description=module.HELP,
            epilog=module.EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_argument(
            "--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS
        )
        module.add_arguments(command)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says, or show what it may say; returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    options = parser().parse_args(
        _with_negative_values(sys.argv[1:] if arguments is None else arguments)
    )
    if options.command is None:
        parser().print_help()
        return 0
    _tell_people()
    if not options.debug:
        warnings.showwarning = _show_warning  # type: ignore[assignment]
    try:
        return COMMANDS[options.command].command(options)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        return FAILED
    except RunFailure as error:
        return _report(error, options.debug, FAILED)
    except (ValueError, OSError, ImportError, RuntimeError, OpenMMException) as error:
        if of_the_disk(error):
            return _report(RunFailure(reason_of(error)), options.debug, FAILED)
        return _report(error, options.debug, WRONG_INPUT)


def _with_negative_values(arguments: Sequence[str]) -> list[str]:
    """Arguments with a space before values such as -1e-3 or "-0.02*sin(t)", which argparse would
    take for flags."""
    result: list[str] = []
    for argument in arguments:
        component = "--field" in result[-3:] and re.match(r"-[^-]", argument) is not None
        result.append(
            f" {argument}" if component or re.match(r"-([\d.(]|inf|nan)", argument) else argument
        )
    return result


def _report(error: Exception, debug: bool, code: int) -> int:
    if debug:
        traceback.print_exc()
    print(f"openmm-pqeq: error: {error or type(error).__name__}", file=sys.stderr)
    return code


class _ToPeople(logging.Handler):
    """What takes long, said in a line on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        print(f"openmm-pqeq: {record.getMessage()}", file=sys.stderr)


def _tell_people() -> None:
    """Show the package's news of work that takes long."""
    logger = logging.getLogger("openmm_pqeq")
    if not any(isinstance(handler, _ToPeople) for handler in logger.handlers):
        logger.addHandler(_ToPeople())
        logger.setLevel(logging.INFO)


def _show_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, *others: object
) -> None:
    """Warnings of this package to people in one line; those of other packages are their developers'
    concern."""
    if issubclass(category, UserWarning) and "openmm_pqeq" in filename:
        print(f"openmm-pqeq: warning: {message}", file=sys.stderr)
