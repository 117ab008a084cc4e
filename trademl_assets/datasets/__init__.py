"""The sample index and the streams it points into: clock, labels, splits, weights, scaling, windows. No models."""
