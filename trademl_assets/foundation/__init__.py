"""What every other package stands on: errors, parameter models, plug-in registries, the UTC calendar.

Knows nothing of markets, storage or Dagster.
"""
