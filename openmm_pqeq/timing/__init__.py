"""Where the time goes: parts of the potential, a step, a run."""
