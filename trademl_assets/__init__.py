"""Probability models of the next price move, from raw order-book rows to calibrated probabilities, as Dagster assets."""
