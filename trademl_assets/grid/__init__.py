"""Compressed snapshots of several instruments to one uniform grid a day: as-of alignment, gaps, encodings.

No labels, no windows.
"""
