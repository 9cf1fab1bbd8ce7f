"""Campaigns: the runs of one study file, many at a time, on this machine or a cluster, through Dask.

study.py      what the file says, and the runs it describes, each with a name that only it can have
record.py     what a run's folder says of itself: finished, begun, failed
process.py    a run in a process of its own, which ends with the one that started it
worker.py     what a worker of Dask does with a run
cluster.py    workers: here, at a scheduler's address, in the queue of SLURM or PBS
run.py        the campaign itself
results.py    one table of settings and averages, one plot
cost.py       what it will take
"""
