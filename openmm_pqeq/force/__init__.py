"""From a potential to OpenMM: the Force, by either route, and the System around it."""
