"""Workers for runs: on this machine, at the address of a scheduler, or jobs of SLURM or PBS.

A worker has one `device` and does one run at a time. Those of a queue end before their job does, and
new jobs are sent for them; what they ran goes on there.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from openmm_pqeq.campaign.settings import Where
from openmm_pqeq.jobs import quantities

DEVICE = {"device": 1}
CORES_A_RUN = 4
"""Of this machine, where nobody says how many runs it takes."""
MOST_FAILURES = 10
"""Workers that may die with a run before it counts as failed."""
BEFORE_THE_END = 300.0
"""Seconds before the end of a job at which its worker ends, where the job is longer than three times
that."""
PATIENCE = "30s"
"""For a scheduler at an address."""
DASK = {
    "distributed.scheduler.allowed-failures": MOST_FAILURES,
    "distributed.worker.multiprocessing-method": "spawn",
}
"""Dask's settings, whatever the user's are: a worker forked from here would wait for ever for threads
of OpenMP, which do not survive a fork."""


class Workers(NamedTuple):
    """Where runs go.

    client : Dask's, of the scheduler
    link : of the dashboard
    n : workers wanted; 0 where others look after them
    threads : of the processor for a run; 0 leaves them alone
    devices : GPUs of this machine, one a worker; none where there are none
    revive : sends new workers for those that have ended
    """

    client: Any
    link: str
    n: int
    threads: int
    devices: tuple[str, ...]
    revive: Callable[[], None]


@contextmanager
def workers_of(where: Where, n_runs: int) -> Iterator[Workers]:
    """Workers for so many runs, as long as they are needed; ImportError without Dask, OSError where
    there is no scheduler at the address."""
    import_dask()
    import dask
    from distributed import Client

    with dask.config.set(DASK):
        if where.scheduler is not None:
            with Client(timeout=PATIENCE, **_address(where.scheduler)) as client:
                yield Workers(client, client.dashboard_link, 0, 0, (), lambda: None)
            return
        devices = _devices() if where.cluster == "local" else ()
        n = min(n_runs, where.workers or _workers_here(len(devices)))
        if where.cluster == "local":
            cluster, threads = _local(n), max(1, _cores() // n)
        else:
            cluster, threads = queue_cluster(where), where.cores
            cluster.scale(jobs=n)
        queued = where.cluster != "local"

        def revive() -> None:
            if queued:
                cluster.scale(jobs=n)

        with cluster, Client(cluster) as client:
            yield Workers(client, client.dashboard_link, n, threads, devices, revive)


def import_dask() -> None:
    """ImportError says what to install."""
    try:
        import dask_jobqueue
        import distributed
        import pyarrow

        del dask_jobqueue, distributed, pyarrow
    except ImportError as error:
        raise ImportError(
            f"campaign: needs the extra of that name, pip install openmm-pqeq[campaign] ({error})"
        ) from None


def _address(scheduler: str) -> dict[str, str]:
    return {"scheduler_file" if os.path.isfile(scheduler) else "address": scheduler}


def _local(n: int) -> Any:
    from distributed import LocalCluster

    return LocalCluster(
        n_workers=n,
        threads_per_worker=1,
        resources=DEVICE,
        memory_limit=0,  # the runs are processes of their own
        dashboard_address="127.0.0.1:0",
        silence_logs="CRITICAL",
    )


def queue_cluster(where: Where) -> Any:
    """dask_jobqueue's cluster of SLURM or PBS, without jobs yet."""
    import dask_jobqueue

    queued = {"slurm": dask_jobqueue.SLURMCluster, "pbs": dask_jobqueue.PBSCluster}
    seconds = quantities.seconds("walltime", where.walltime)
    arguments = ["--resources", "device=1"]
    if seconds > 3 * BEFORE_THE_END:
        arguments += ["--lifetime", f"{seconds - BEFORE_THE_END:g}s"]
    return queued[where.cluster](
        queue=where.queue,
        account=where.account,
        cores=where.cores,
        processes=1,
        memory=where.memory,
        walltime=where.walltime,
        job_extra_directives=list(where.directives),
        job_script_prologue=list(where.prologue),
        worker_extra_args=arguments,
        job_name="openmm-pqeq",
    )


def _devices() -> tuple[str, ...]:
    """The GPUs of this machine by the names that CUDA has for them."""
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible else [str(k) for k in range(torch.cuda.device_count())]
    return tuple(names[: torch.cuda.device_count()])


def _workers_here(n_devices: int) -> int:
    return n_devices or max(1, _cores() // CORES_A_RUN)


def _cores() -> int:
    """Of the processor, for this process."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
