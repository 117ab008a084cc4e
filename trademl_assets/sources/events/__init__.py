"""Importers whose records are events (diffs, orders): books are built from them, one module a format."""
