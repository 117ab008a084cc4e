"""Jobs: one for each space of partitions that is made together, because a job has one space."""

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

JOBS: dict[str, tuple[str, ...]] = {
    "tall_books_job": ("raw_depth", "book_snapshots"),
    "book_snapshots_job": ("book_snapshots",),
    "aligned_grid_job": ("aligned_grid",),
    "long_term_job": ("daily_aggregates", "market_regime"),
    "external_series_job": ("external_series",),
    "candles_job": ("candles",),
    "coverage_job": ("coverage_calendar",),
    "dataset_job": ("dataset",),
    "leakage_controls_job": ("leakage_controls",),
    "model_job": ("hyperparameter_study", "trained_model", "calibrated_model", "model_evaluation"),
    "ablation_job": ("ablation_study",),
    "leaderboard_job": ("leaderboard",),
}
DESCRIPTIONS: dict[str, str] = {
    "tall_books_job": "Days that are read as tall rows: the rows, then the snapshots made of them.",
    "book_snapshots_job": "Snapshots of a day and instrument: imported days, or days whose tall rows are there.",
    "aligned_grid_job": "The grid of a day, all instruments.",
    "long_term_job": "Aggregates and regime of a day.",
    "external_series_job": "External series, such as an index or a news score.",
    "candles_job": "Checked candles of a month and instrument.",
    "coverage_job": "The calendar of what was collected, over all days and instruments.",
    "dataset_job": "The dataset of an experiment.",
    "leakage_controls_job": "Slow controls of a dataset: shuffled labels, random walks, a planted signal.",
    "model_job": "Study, training, calibration and evaluation of a model in an experiment.",
    "ablation_job": "What an experiment's models lose where they may read less.",
    "leaderboard_job": "The ranking of an experiment's models.",
}


def build_jobs(assets: frozenset[str]) -> list[UnresolvedAssetJobDefinition]:
    """Make the jobs over the assets that there are."""
    jobs = {name: [asset for asset in selection if asset in assets] for name, selection in JOBS.items()}
    return [
        dg.define_asset_job(name, selection=dg.AssetSelection.assets(*selection), description=DESCRIPTIONS[name])
        for name, selection in jobs.items()
        if selection
    ]


def job_of(asset: str) -> str:
    """Return the job that makes an asset."""
    return next(name for name, selection in JOBS.items() if asset in selection)
