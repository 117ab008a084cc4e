"""What a study is shown by, in the UI and in reports."""

import polars as pl

from trademl_assets.tuning.history import draw_history, draw_importances, draw_parallel_coordinates, draw_pruning
from trademl_assets.tuning.importance import importances
from trademl_assets.tuning.parameters import StudyParameters


def draw_study(trials: pl.DataFrame, curves: pl.DataFrame, parameters: StudyParameters) -> dict[str, bytes]:
    """Return history, parallel coordinates, importances and pruning as PNG; pictures that would be empty are left out.

    Args:
        trials: Table of the trials.
        curves: Table of their losses by epoch.
        parameters: Of the search.
    """
    drawn: dict[str, bytes] = {}
    if trials.height:
        drawn["history"] = draw_history(trials)
        drawn["parallel_coordinates"] = draw_parallel_coordinates(trials)
    if found := importances(trials, parameters):
        drawn["importances"] = draw_importances(found)
    if curves.height:
        drawn["pruning"] = draw_pruning(trials, curves)
    return drawn
