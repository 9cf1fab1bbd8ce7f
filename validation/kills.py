"""Jobs that are killed at any moment and go on: do they end as the unbroken ones?

    python validation/kills.py --kills 100 [--seed 0] [--only NVT train] [--keep FOLDER]

Each job of killed_jobs.py is done once unbroken. Then it is begun again, killed (SIGKILL) at a
moment drawn from the processor time the unbroken one took, whatever else the machine does, resumed,
killed again, up to three times, and resumed to its end; all through the functions of the command
line, in processes forked from this one (killed_processes.py), so that a kill costs no imports. A job
killed before it had anything to go on from has to say so, and is begun anew with --overwrite. What
is left (left_by_jobs.py) is compared:

run         step by step, bit by bit: table.csv, charges.h5, the trajectory's frames
NPT         with a run that ended at the steps where the killed one went on, and was resumed there:
            a barostat begins anew with a seed made from the run's, the stage and the step
train, finetune      every weight of model.pt, and metrics.csv but for the seconds
fit-pqeq    parameters.csv
distill     every label, every weight of the student, its metrics.csv
campaign    all its runs (where Dask is installed); what is killed is the campaign, and its workers and
            runs end by themselves

A difference is the largest of any number, relative to 1 + its size; charges that are solved to a
tolerance (protocol ewald) start from nothing after a resume, and differ by as much as that
tolerance allows, which is 1e-10 eV/e here. Everything is made here: no data are needed (--data none).
"""

import argparse
import contextlib
import os
import random
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import NamedTuple

from killed_jobs import JOBS, STEPS, Job, clear, prepare
from killed_processes import do, done, ended, forked
from left_by_jobs import difference, left_by, restart_step

MOST_KILLS = 3
LATE = 0.5
"""Power of the random number: later moments more often, as half of a short job is its start."""


class Life(NamedTuple):
    """What became of one: kills, how often it was begun anew, the largest difference and where."""

    kills: int
    anew: int
    difference: float
    where: str


def life(job: Job, unbroken: Path, seconds: float, most: int, draw: random.Random) -> Life:
    """Begin, kill, resume, up to `most` kills, to the end; compare."""
    clear(job)
    log, place = Path("job.log"), Path(job.folder)
    kills, anew, steps, arguments = 0, 0, [], job.begin
    log.unlink(missing_ok=True)
    while True:
        last = kills == most
        code = do(arguments, log, None if last else seconds * draw.random() ** LATE)
        if code == 0:
            break
        kills += code is None
        if code == 2 and arguments[-1] == "--resume":  # killed before there was anything
            anew, steps, arguments = anew + 1, [], [*job.begin, "--overwrite"]
        elif code is None:
            arguments = job.resume
            if job.kind == "NPT" and (place / "restart.zip").is_file():
                steps.append(restart_step(place))
                if len(steps) == 1 and steps[0] == 0:
                    shutil.copytree(place, "beginning", dirs_exist_ok=True)
        else:
            raise RuntimeError(
                f"exit code {code} of {' '.join(arguments)}\n{log.read_text()[-3000:]}"
            )
    expected = interrupted(job, steps) if steps else unbroken
    return Life(kills, anew, *difference(left_by(job, expected), left_by(job, place)))


def interrupted(job: Job, steps: list[int]) -> Path:
    """The folder of a run that ended at some steps and was resumed there."""
    place, log = Path("interrupted"), Path("interrupted.log")
    shutil.rmtree(place, ignore_errors=True)
    steps = [step for step in dict.fromkeys(steps) if step < STEPS]
    if steps and steps[0] == 0:
        shutil.copytree("beginning", place, ignore=shutil.ignore_patterns("job.lock"))
        shutil.rmtree("beginning")
        steps = steps[1:]
    for end in (*steps, STEPS):
        length = ["--steps", str(end)]
        if place.is_dir():
            done(["run", str(place), "--resume", *length], log)
        else:
            done([*job.arguments, *length, "--output", str(place)], log)
    return place


def main() -> None:
    """Kill, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=100, help="in all (default: 100)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: 0)")
    parser.add_argument(
        "--only", nargs="+", default=[""], help="jobs whose names have one of these"
    )
    parser.add_argument("--data", default="none", help="frames to train on (default: made here)")
    parser.add_argument("--keep", type=Path, help="work in this folder, and leave it")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    data = options.data if options.data == "none" else str(Path(options.data).absolute())
    with contextlib.ExitStack() as stack:
        place = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        place.mkdir(exist_ok=True)
        os.chdir(place)
        stack.callback(os.chdir, "/")
        print(
            f"| job | lives | kills | begun anew | largest difference |\n|{'---|' * 5}", flush=True
        )
        kill(options.kills, options.seed, options.only, data)


def kill(kills: int, seed: int, only: list[str], data: str) -> None:
    """So many kills, spread over the jobs; prints a row for each job."""
    if ended(forked(lambda: prepare(data), Path("prepare.log"))):
        raise RuntimeError(Path("prepare.log").read_text())
    jobs = {name: job for name, job in JOBS.items() if any(part in name for part in only)}
    total, different = 0, []
    for number, (name, job) in enumerate(jobs.items()):
        share = round(kills * (number + 1) / len(jobs)) - total
        clear(job)
        before = _seconds_of_children()
        done(job.begin, Path("unbroken.log"))
        seconds = _seconds_of_children() - before
        shutil.rmtree("unbroken", ignore_errors=True)
        shutil.copytree(job.folder, "unbroken")
        draw, lives = random.Random(f"{seed} {name}"), []
        while (left := share - sum(one.kills for one in lives)) > 0:
            before = _seconds_of_children()
            lives.append(life(job, Path("unbroken"), seconds, min(left, MOST_KILLS), draw))
            if not lives[-1].kills:  # what the first has compiled, others read
                seconds = min(seconds, _seconds_of_children() - before)
            if lives[-1].difference > 1e-6:
                different.append(name)
                shutil.copytree(job.folder, f"different-{len(different)}")
        total += sum(one.kills for one in lives)
        worst = max(lives, key=lambda one: one.difference)
        print(
            f"| {name} | {len(lives)} | {sum(one.kills for one in lives)} | "
            f"{sum(one.anew for one in lives)} | {worst.difference:.1e} {worst.where} |",
            flush=True,
        )
    print(f"\n{total} kills; different: {', '.join(different) or 'none'}")
    if different:
        raise SystemExit(1)


def _seconds_of_children() -> float:
    """Of a processor."""
    return sum(os.times()[2:4])


if __name__ == "__main__":
    main()
