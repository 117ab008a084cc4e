"""Mathematics on probabilities and labels: metrics, calibration, baselines. No models, no files, no plots."""
