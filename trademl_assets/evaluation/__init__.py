"""Judging calibrated probabilities: verdict, significance, plots, the report page. No fitting."""
