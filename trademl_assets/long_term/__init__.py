"""Daily statistics of the grid and the market regimes read from them. Nothing finer than a day."""
