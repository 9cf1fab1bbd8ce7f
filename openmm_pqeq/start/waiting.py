"""How the threads of a step wait for each other.

A step is many short pieces that all threads work on. By itself a thread of OpenMP that is done with
its share turns in a loop until the others are: where other programs want the processors too, it
turns on one that the thread it waits for could have, and two threads take longer than one. Asleep it
leaves the processor to whoever has work, and wakes within microseconds. OpenMP reads this when torch
is loaded, and never again.
"""

import os
import sys

POLICY = "OMP_WAIT_POLICY"

SAID = (POLICY, "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")
"""By which somebody has said it already."""


def wait_asleep() -> None:
    """Have threads wait asleep, where nobody has said otherwise and torch is not loaded yet; sets
    `OMP_WAIT_POLICY` in the environment of this process, and so of its children."""
    if "torch" not in sys.modules and not any(name in os.environ for name in SAID):
        os.environ[POLICY] = "PASSIVE"


wait_asleep()
