"""Fitting a model in a process of its own: loop, feeding, checkpoints, entry, launcher. No Dagster but Pipes."""
