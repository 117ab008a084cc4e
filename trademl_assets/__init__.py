"""From raw order-book rows to calibrated probabilities of the next price move, every step a Dagster asset."""
