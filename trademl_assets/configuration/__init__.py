"""Composes every package's parameter models into the YAML's shape, reads files and environment, validates the whole.

No defaults of its own.
"""
