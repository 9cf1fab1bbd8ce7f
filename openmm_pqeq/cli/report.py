"""`openmm-pqeq report`: a run or a campaign as one HTML page."""

import argparse
from pathlib import Path

HELP = "Write a run or a campaign as one HTML page that opens without network: what was run, plots, structure, warnings."

EPILOG = """examples:
  openmm-pqeq report out                    out/report.html
  openmm-pqeq report out -o run.html
  openmm-pqeq report heating                of a campaign: its runs in a table
  openmm-pqeq report heating --runs         and the page of each run

The page has the settings, seed, machine and versions, the model's card with its limits beside the run, warnings, plots of
table.csv, what openmm-pqeq analyze has left in the folder, and the last frame to turn around. It may be sent as one file. An
older report is replaced."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The folder, and the page."""
    parser.add_argument("folder", metavar="FOLDER", help="of a run, or of a campaign")
    parser.add_argument(
        "--output", "-o", metavar="FILE", help="page to write (default: FOLDER/report.html)"
    )
    parser.add_argument(
        "--runs", action="store_true", help="of a campaign: also the page of each run"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a file that is no report")


def command(options: argparse.Namespace) -> int:
    """Write the page, and say where it is."""
    from openmm_pqeq.campaign.study import RUNS
    from openmm_pqeq.jobs.failure import RunFailure
    from openmm_pqeq.jobs.folder import kept_if_used, made
    from openmm_pqeq.jobs.lock import locked_file
    from openmm_pqeq.pages.campaign import PAGE, campaign_page
    from openmm_pqeq.pages.page import write_page
    from openmm_pqeq.pages.run import run_page

    folder = Path(options.folder)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"folder: {folder} is no folder; expected that of a run or a campaign"
        )
    path = Path(options.output) if options.output else folder / PAGE
    many = (folder / RUNS).is_dir() and not (folder / "run.toml").is_file()
    if options.runs and not many:
        raise ValueError(f"runs: {folder} is no campaign; leave --runs away")
    place = path.absolute().parent
    with kept_if_used(place):
        made(place)
        with locked_file(path, "report"):
            left_out = _pages(folder, options.overwrite) if options.runs else []
            text = campaign_page(folder, place) if many else run_page(folder)
            write_page(path, text, options.overwrite)
    print(f"written: {path} ({path.stat().st_size / 1e6:.1f} MB)")
    if left_out:
        raise RunFailure("\n".join(left_out))
    return 0


def _pages(campaign: Path, overwrite: bool) -> list[str]:
    """Write the page of each run of a campaign; why some have none."""
    from openmm_pqeq.pages.campaign import PAGE, entries_of
    from openmm_pqeq.pages.page import write_page
    from openmm_pqeq.pages.run import run_page

    left_out = []
    for entry in entries_of(campaign, {}):
        if (entry.folder / "run.toml").is_file():
            try:
                write_page(entry.folder / PAGE, run_page(entry.folder), overwrite)
            except (ValueError, OSError) as error:
                left_out.append(f"{entry.folder.name} has no page: {error}")
    return left_out
