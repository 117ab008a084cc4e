"""Candles: bars as a source has them -> checked bars of a month with counts, coverage and gaps; features come after."""
