"""How the threads of a step wait for each other.

A step is many short pieces that all threads work on. By itself a thread of GNU's OpenMP, torch's, that
is done with its share turns in a loop 300,000 times before it sleeps: where other programs want the
processors too, it turns on one that the thread it waits for could have, and two threads take longer
than one. To sleep at once costs a waking for each piece, which on a quiet machine makes two threads
slower than one as well. Some microseconds of turning, then sleep, are good for both. OpenMP reads
this when torch is loaded, and never again.
"""

import os
import sys

COUNT = "GOMP_SPINCOUNT"
TURNS = "1000"

SAID = (COUNT, "OMP_WAIT_POLICY", "KMP_BLOCKTIME", "KMP_LIBRARY")
"""By which somebody has said it already."""


def wait_briefly() -> None:
    """Have threads that wait turn a little and then sleep, where nobody has said otherwise and torch
    is not loaded yet; sets `GOMP_SPINCOUNT` in the environment of this process, and so of its
    children."""
    if "torch" not in sys.modules and not any(name in os.environ for name in SAID):
        os.environ[COUNT] = TURNS


wait_briefly()
