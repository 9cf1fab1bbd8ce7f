"""Models that others have published: how they are had, and how they are read."""
