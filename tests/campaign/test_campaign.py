"""A campaign as a user sees it, with workers and itself killed in the middle: nothing is done twice,
nothing is lost, no process stays behind."""

import os
import signal
import subprocess
import sys
import time

import pytest
from campaign_studies import STEPS, write_study

distributed = pytest.importorskip("distributed", reason="campaigns need the extra `campaign`")
jobqueue = pytest.importorskip("dask_jobqueue", reason="campaigns need the extra `campaign`")
parquet = pytest.importorskip("pyarrow.parquet", reason="campaigns need the extra `campaign`")
import dask  # noqa: E402
import psutil  # noqa: E402  # with distributed

from openmm_pqeq.campaign.cluster import queue_cluster, workers_of  # noqa: E402
from openmm_pqeq.campaign.settings import Where  # noqa: E402
from openmm_pqeq.campaign.study import read_study  # noqa: E402
from openmm_pqeq.cli import main  # noqa: E402
from openmm_pqeq.md.plot import read_table  # noqa: E402

VARY = """
[vary]
temperature = [{temperatures}]
field = [[0, 0, 0], [0, 0, 0.02]]
[where]
workers = 2
"""
PATIENCE = 400.0
"""Seconds, on a machine that is busy."""


class Campaign:
    """`openmm-pqeq campaign` in a process of its own."""

    def __init__(self, file, *flags):
        self.study = read_study(file)
        command = [sys.executable, "-m", "openmm_pqeq", "campaign", str(file), *flags]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.own = psutil.Process(self.process.pid)

    def below(self, *words):
        """Processes that it has started, by the words of their commands."""
        found = []
        for one in self.own.children(recursive=True):
            try:
                if all(word in " ".join(one.cmdline()) for word in words):
                    found.append(one)
            except psutil.NoSuchProcess:
                continue
        return found

    def wait_until(self, there):
        """Until something is there, which is returned."""
        end = time.monotonic() + PATIENCE
        while not (found := there()):
            assert time.monotonic() < end
            assert self.process.poll() is None, self.process.stdout.read()
            time.sleep(0.05)
        return found

    def under_way(self):
        """Processes of runs that have written a row of their table."""
        return [
            one
            for one in self.below("openmm_pqeq.campaign.process")
            if os.path.isfile(os.path.join(one.cmdline()[-1], "table.csv"))
        ]

    def finished(self):
        return [
            run.name
            for run in self.study.runs
            if '"finished"' in (read_text(run.folder / "facts.json"))
        ]

    def end(self, number=None):
        """Its exit code and what it has said, perhaps after a signal; all that it has started ends."""
        below = self.own.children(recursive=True)
        if number is not None:
            self.process.send_signal(number)
        said, _ = self.process.communicate(timeout=PATIENCE * max(1.0, len(self.study.runs) / 6))
        _, alive = psutil.wait_procs(below, timeout=PATIENCE / 4)
        assert [one.cmdline() for one in alive] == []
        return self.process.returncode, said


def read_text(path):
    return path.read_text() if path.is_file() else ""


@pytest.mark.parametrize(
    ("temperatures", "n_kills"),
    [
        ("100, 200", 1),
        pytest.param(", ".join(str(100 + 10 * k) for k in range(12)), 5, marks=pytest.mark.long),
    ],
)
def test_a_campaign_with_kills(tmp_path, temperatures, n_kills):
    file = write_study(tmp_path, VARY.format(temperatures=temperatures))
    n_runs = 2 * len(temperatures.split(","))

    first = Campaign(file)
    for k in range(n_kills):  # a worker at its work
        (run, *_) = first.wait_until(first.under_way)
        run.parent().kill()
        first.wait_until(lambda run=run: not run.is_running())
        first.wait_until(lambda k=k: len(first.finished()) > k)
    first.wait_until(first.under_way)
    code, said = first.end(signal.SIGINT)
    assert code == 130, said
    assert "Stopped. Continue with: openmm-pqeq campaign" in said

    if len(first.finished()) < n_runs - 1:
        second = Campaign(file)  # its scheduler, and all else
        second.wait_until(second.under_way)
        second.end(signal.SIGKILL)

    code, said = Campaign(file).end()
    assert code == 0, said
    resumed = 0
    for run in read_study(file).runs:
        log = (run.folder / "run.log").read_text()
        assert (log.count(" begin: "), log.count(" finished at step ")) == (1, 1), log
        resumed += log.count(" resume produce ")
        assert read_table(run.folder / "table.csv")["step"].tolist() == list(range(5, STEPS + 1, 5))
    assert resumed >= 1
    table = parquet.read_table(tmp_path / "study" / "results.parquet").to_pydict()
    assert table["state"] == ["finished"] * n_runs
    assert min(table["temperature_K_error"]) > 0
    assert sorted(set(table["field_z"])) == [0.0, 0.02]
    assert (tmp_path / "study" / "results.png").stat().st_size > 10_000


def test_a_run_that_fails_is_named_and_the_others_go_on(tmp_path):
    more = '[[vary.on]]\nname = "good"\nsteps = 20\n[[vary.on]]\nname = "bad"\nfriction = 2\nplatform = "Quantum"\n'
    file = write_study(tmp_path, more + "[where]\nworkers = 1\n")
    code, said = Campaign(file).end()
    assert code == 1
    assert "failed: bad_" in said
    assert "platform: expected one of" in said
    assert "2 runs: 1 finished, 1 failed" in said
    assert "Dashboard: http://127.0.0.1:" in said
    file.write_text(file.read_text().replace('"Quantum"', '"CPU"'))
    code, said = Campaign(file).end()
    assert code == 1  # the failure stays until it is tried again
    code, said = Campaign(file, "--retry").end()
    assert code == 0, said


def test_the_dry_run_writes_nothing(tmp_path, capsys):
    file = write_study(tmp_path, VARY.format(temperatures="100, 200"))
    assert main(["campaign", str(file), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert said.count(" new") == 4
    assert "4 runs of 4 to do: 0:" in said
    assert not (tmp_path / "study").exists()


def test_the_jobs_of_slurm_and_pbs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    where = {
        "queue": "gpu",
        "account": "mine",
        "walltime": "02:00:00",
        "cores": 4,
        "memory": "16GB",
        "prologue": ("module load cuda",),
    }
    with queue_cluster(Where("slurm", directives=("--gres=gpu:1",), **where)) as cluster:
        script = cluster.job_script()
    for line in (
        "#SBATCH -p gpu",
        "#SBATCH -A mine",
        "#SBATCH -t 02:00:00",
        "#SBATCH --gres=gpu:1",
    ):
        assert line in script.splitlines()
    assert "--cpus-per-task=4" in script
    assert script.index("module load cuda") < script.index("distributed.cli.dask_worker")
    assert "--resources device=1" in script
    assert "--lifetime 6900s" in script
    with queue_cluster(Where("pbs", directives=("-l place=excl",), **where)) as cluster:
        script = cluster.job_script()
    for line in ("#PBS -q gpu", "#PBS -A mine", "#PBS -l walltime=02:00:00", "#PBS -l place=excl"):
        assert line in script.splitlines()
    assert "ncpus=4" in script


def test_workers_are_not_forked_whatever_dask_is_told():
    """What is forked from a process whose torch has used threads waits for these for ever."""
    method = "distributed.worker.multiprocessing-method"
    with dask.config.set({method: "fork"}):
        with workers_of(Where(workers=1), 1) as workers:
            said = workers.client.submit(os.environ.get, "PATH").result(timeout=PATIENCE)
            assert dask.config.get(method) == "spawn"
        assert said == os.environ["PATH"]
        assert dask.config.get(method) == "fork"


def test_a_scheduler_at_an_address(tmp_path):
    """As a user starts it: a scheduler, and a worker that has a device."""
    file = write_study(tmp_path, "[vary]\ntemperature = [100]\n")
    file.write_text(file.read_text().replace(f"steps = {STEPS}", "steps = 20"))
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--port", "0"]
    address = str(tmp_path / "scheduler.json")
    dask += ["--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0", "--no-show"]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", address]
    worker += ["--nthreads", "1", "--resources", "device=1", "--no-dashboard"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    started = [
        subprocess.Popen(
            [*command, "--scheduler-file", address] if command is dask else command, **quiet
        )
        for command in (dask, worker)
    ]
    try:
        end = time.monotonic() + PATIENCE
        while not os.path.isfile(address):
            assert time.monotonic() < end
            time.sleep(0.1)
        code, said = Campaign(file, "--scheduler", address).end()
        assert code == 0, said
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait()
