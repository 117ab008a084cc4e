"""Dagster: partitions, assets, checks, jobs, schedules, sensors, resources. No domain logic; bodies of about 15 lines."""
