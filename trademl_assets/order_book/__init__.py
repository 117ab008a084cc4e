"""Tall book rows to checked, compressed snapshots of one instrument and day. No alignment across instruments."""
