"""Dagster: partitions, assets, checks, jobs, schedules, sensors, resources, the drive. No domain logic."""
