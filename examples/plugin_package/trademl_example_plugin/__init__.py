"""Plug-ins of another package, found through entry points."""
