"""The assets by name: group, kinds, what they are, the stage they are tracked under, and their versions.

`code_version` is raised by hand when a change of code changes what a partition contains; everything made with an older
one is then stale. `plugin_versions` adds the code of other packages' plug-ins.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Space = Literal["books", "days", "history", "series", "candles", "market", "experiments", "trials"]
Stage = Literal[
    "data_collection",
    "data_object",
    "preprocessing",
    "dataset_preparation",
    "hyperparameter_optimization",
    "model_training",
]


@dataclass(frozen=True)
class Entry:
    """One asset.

    Attributes:
        name: Asset key.
        group: Stage of the way, the package that does the work.
        space: Its partition space.
        stage: Stage it is tracked under.
        kinds: Technologies shown in the UI.
        code_version: Version of the code that makes its content.
        schema_version: Version of the files' layout.
        run_name: Name of the tracked run; takes `day`, `instrument`, `target`, `horizon`, `experiment`, `model`,
            `version`.
        description: What a partition holds, for the UI.
    """

    name: str
    group: str
    space: Space
    stage: Stage
    kinds: frozenset[str]
    code_version: str
    schema_version: int
    run_name: str
    description: str


RAW_DEPTH = Entry(
    name="raw_depth",
    group="sources",
    space="books",
    stage="data_collection",
    kinds=frozenset({"parquet", "polars"}),
    code_version="2",
    schema_version=1,
    run_name="raw_ingestion_{day}",
    description="Tall rows of one instrument's book over one UTC day with its lead-in, one row a level, "
    "as the source delivers them. Only the days that the market section reads as tall rows.",
)
BOOK_SNAPSHOTS = Entry(
    name="book_snapshots",
    group="order_book",
    space="books",
    stage="data_object",
    kinds=frozenset({"parquet", "polars"}),
    code_version="3",
    schema_version=1,
    run_name="data_object_{instrument}_{day}",
    description="Checked, compressed books of one instrument and day: near levels as they are, "
    "deeper ones in bins of distance. Made from tall rows, or imported where the history is compressed already.",
)
COVERAGE_CALENDAR = Entry(
    name="coverage_calendar",
    group="order_book",
    space="market",
    stage="data_object",
    kinds=frozenset({"parquet", "polars"}),
    code_version="1",
    schema_version=1,
    run_name="coverage_calendar",
    description="Instrument by day: what there is, how much of the day it covers, how good it is, and why a day was "
    "rejected; and the longest ranges to train on. Days not materialised yet show as missing.",
)
EXTERNAL_SERIES = Entry(
    name="external_series",
    group="sources",
    space="series",
    stage="data_collection",
    kinds=frozenset({"parquet", "polars"}),
    code_version="1",
    schema_version=1,
    run_name="external_series_{instrument}",
    description="Values of one external series with the instant each was published, for as-of reading only.",
)
CANDLES = Entry(
    name="candles",
    group="candles",
    space="candles",
    stage="data_collection",
    kinds=frozenset({"parquet", "polars"}),
    code_version="1",
    schema_version=1,
    run_name="candles_{instrument}_{day}",
    description="Checked bars of one instrument over one calendar month, a row a bar at the instant it opens, "
    "and the stretches of bars that are missing.",
)
ALIGNED_GRID = Entry(
    name="aligned_grid",
    group="grid",
    space="days",
    stage="preprocessing",
    kinds=frozenset({"arrow", "numpy"}),
    code_version="2",
    schema_version=1,
    run_name="multi_asset_alignment_{day}",
    description="All instruments on one uniform grid of a UTC day: book, price and mask streams, seen backward only.",
)
DAILY_AGGREGATES = Entry(
    name="daily_aggregates",
    group="long_term",
    space="history",
    stage="preprocessing",
    kinds=frozenset({"parquet", "polars"}),
    code_version="2",
    schema_version=1,
    run_name="daily_aggregates_{day}",
    description="Moments of returns, quoted volume and realised volatility of each instrument over one day.",
)
MARKET_REGIME = Entry(
    name="market_regime",
    group="long_term",
    space="history",
    stage="preprocessing",
    kinds=frozenset({"parquet", "polars"}),
    code_version="1",
    schema_version=1,
    run_name="market_regime_{day}",
    description="The regime (bull, bear, sideways, high volatility, unknown) as it could be told when the day ended.",
)
DATASET = Entry(
    name="dataset",
    group="datasets",
    space="experiments",
    stage="dataset_preparation",
    kinds=frozenset({"arrow", "polars"}),
    code_version="4",
    schema_version=1,
    run_name="{target}_{horizon}_dataset_v{version}",
    description="A sample index over memory-mapped streams: decision times, labels, split, weights, "
    "and a recipe that pins what it was built from.",
)
LEAKAGE_CONTROLS = Entry(
    name="leakage_controls",
    group="evaluation",
    space="experiments",
    stage="dataset_preparation",
    kinds=frozenset({"scipy", "polars"}),
    code_version="2",
    schema_version=1,
    run_name="{target}_{horizon}_leakage_controls_v{version}",
    description="Skill of a simple learner where there must be none, on labels shuffled by day and on random walks, "
    "and where a signal was planted. Slow, hence made on demand.",
)
HYPERPARAMETER_STUDY = Entry(
    name="hyperparameter_study",
    group="tuning",
    space="trials",
    stage="hyperparameter_optimization",
    kinds=frozenset({"optuna", "pytorch"}),
    code_version="3",
    schema_version=1,
    run_name="{target}_{horizon}_opt_{day}",
    description="Trials of one search over a model's parameters, scored on validation blocks or windows, the best one, "
    "and each trial's loss on each day.",
)
TRAINED_MODEL = Entry(
    name="trained_model",
    group="training",
    space="trials",
    stage="model_training",
    kinds=frozenset({"pytorch", "lightning"}),
    code_version="6",
    schema_version=1,
    run_name="{target}_{horizon}_{model}_v{version}",
    description="Weights of every seed as safetensors with a sidecar, their history, "
    "and their logits outside the training blocks.",
)
CALIBRATED_MODEL = Entry(
    name="calibrated_model",
    group="evaluation",
    space="trials",
    stage="model_training",
    kinds=frozenset({"scipy", "polars"}),
    code_version="2",
    schema_version=1,
    run_name="{target}_{horizon}_{model}_calibration_v{version}",
    description="What was fitted on the calibration block, and the probabilities of the mean "
    "over seeds, before and after.",
)
MODEL_EVALUATION = Entry(
    name="model_evaluation",
    group="evaluation",
    space="trials",
    stage="model_training",
    kinds=frozenset({"polars", "html"}),
    code_version="6",
    schema_version=1,
    run_name="{target}_{horizon}_{model}_evaluation_v{version}",
    description="The verdict on the calibrated model against its baselines, with intervals; how it ages and what "
    "acting on it earns; and the report page.",
)
ABLATION_STUDY = Entry(
    name="ablation_study",
    group="evaluation",
    space="experiments",
    stage="model_training",
    kinds=frozenset({"polars"}),
    code_version="2",
    schema_version=1,
    run_name="{target}_{horizon}_ablation_study_v{version}",
    description="What each ablation costs: models that read less against the model they follow, on the same test "
    "decisions, and against the best forecast that reads no more.",
)
LEADERBOARD = Entry(
    name="leaderboard",
    group="evaluation",
    space="experiments",
    stage="model_training",
    kinds=frozenset({"polars"}),
    code_version="4",
    schema_version=1,
    run_name="{target}_{horizon}_leaderboard_v{version}",
    description="The models of an experiment, ranked by gain over the volatility on the test block: which may be "
    "the best, which lie on the Pareto front, which are fit to serve; what ablations "
    "lose; and what changed since the evaluation before.",
)

ENTRIES: Mapping[str, Entry] = {
    entry.name: entry
    for entry in (
        RAW_DEPTH,
        BOOK_SNAPSHOTS,
        ALIGNED_GRID,
        DAILY_AGGREGATES,
        MARKET_REGIME,
        EXTERNAL_SERIES,
        CANDLES,
        COVERAGE_CALENDAR,
        DATASET,
        LEAKAGE_CONTROLS,
        HYPERPARAMETER_STUDY,
        TRAINED_MODEL,
        CALIBRATED_MODEL,
        MODEL_EVALUATION,
        ABLATION_STUDY,
        LEADERBOARD,
    )
}
"""All assets in the order of the way, so that an asset stands after everything it reads."""
