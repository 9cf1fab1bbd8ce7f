"""What every job shares: its settings, its output folder, the facts it leaves, its news and its
failure."""
