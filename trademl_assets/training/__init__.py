"""Fitting a model on a dataset in a process of its own: loop, data feeding, checkpoints, the process entry and its launcher. No Dagster but Pipes."""
