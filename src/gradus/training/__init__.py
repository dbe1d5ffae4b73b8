"""Losses, optimizers, schedules, regularizers, the loop, and checkpoints (chapters 7 and 8)."""
