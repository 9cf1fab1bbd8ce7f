"""Analysis of trajectories: functions of arrays and of mdtraj trajectories, which know nothing of
the rest of the package."""
