"""The loop, its checkpoints and its random numbers."""
