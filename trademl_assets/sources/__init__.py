"""Where market data comes from: the contract of a source, one module a source.

No cleaning, no compression, no alignment.
"""
