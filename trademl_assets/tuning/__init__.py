"""Hyper-parameter studies over trainings. No training loop of its own."""
