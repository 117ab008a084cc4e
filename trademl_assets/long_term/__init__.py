"""Daily statistics of the grid, or of candles, and the market regimes read from them. Nothing finer than a day."""
