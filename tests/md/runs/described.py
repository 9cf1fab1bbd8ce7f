"""The short run of the tests, and what breaks it off."""

import os
import signal

from openmm_pqeq.md.config import run_config

STEPS = 24


def description(folder, output, **settings):
    """A short run; its field changes, its three intervals are different."""
    return run_config(
        {
            "structure": str(folder / "MgO.cif"),
            "model": str(folder / "model.pt"),
            "output": str(folder / output),
            "steps": STEPS,
            "timestep": 0.2,
            "temperature": 300,
            "field": [0, 0, "0.01*sin(2*pi*t/0.004)"],
            "field_interval": 3,
            "table_interval": 2,
            "trajectory_interval": 3,
            "charges_interval": 4,
            "restart_interval": 7,
            "seed": 11,
            "backend": "python",
            "platform": "Reference",
            "precision": "double",
        }
        | settings
    )


class Death(Exception):
    """What a killed process does not do any more."""


def die_at(step):
    """A watch that ends the process, as it were, without a word to the files."""

    def watch(news):
        if news.stage == "produce" and news.step >= step:
            raise Death

    return watch


def stop_at(step):
    """A watch that presses Ctrl-C, once."""
    pressed = []

    def watch(news):
        if news.stage == "produce" and news.step >= step and not pressed:
            pressed.append(news.step)
            os.kill(os.getpid(), signal.SIGINT)

    return watch
