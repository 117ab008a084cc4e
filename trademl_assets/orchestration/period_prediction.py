"""What a trained model says of days of its own: their streams as a dataset for a while, predicted outside Dagster."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import polars as pl

from trademl_assets.datasets.build import SCHEMA_VERSION, DatasetParts, write_dataset
from trademl_assets.datasets.period import build_period
from trademl_assets.datasets.sample_index import of_horizon
from trademl_assets.datasets.windows import Dataset, open_dataset
from trademl_assets.evaluation.boosted_reference import Summaries, summarise
from trademl_assets.evaluation.period import PeriodMaterial, gather_period
from trademl_assets.foundation.errors import CorruptArtifactError
from trademl_assets.orchestration.catalog import CALIBRATED_MODEL, DATASET, TRAINED_MODEL
from trademl_assets.orchestration.deployment import Deployment
from trademl_assets.orchestration.partitions import join_key, split_key
from trademl_assets.scoring.calibration import Calibration
from trademl_assets.scoring.predictions import member_mean
from trademl_assets.scoring.temperature import apply_temperature
from trademl_assets.storage.commit import ArtifactStore, Provenance
from trademl_assets.storage.tables import read_table
from trademl_assets.training.launch import Runner, launch_training, remove_scratch
from trademl_assets.training.prediction_spec import PredictionSpec
from trademl_assets.training.results import PREDICTIONS_FILE

PERIOD_ASSET = "period_evaluation"


@dataclass(frozen=True)
class Period:
    """A model, days, and whether training data lies after them or on them."""

    key: str
    first_day: date
    last_day: date
    hindsight: bool

    @property
    def partition(self) -> str:
        """Key of the partition that the judgement is written to."""
        return join_key(self.key, f"{self.first_day}_{self.last_day}")


@dataclass(frozen=True)
class PeriodPrediction:
    """A predicted period.

    Attributes:
        material: What the model is judged on.
        summaries: Windows of the decisions in a few numbers; None where the configuration asks for none.
        recipe: Of the period as a dataset.
        upstream: Content hashes that it was read from.
    """

    material: PeriodMaterial
    summaries: Summaries | None
    recipe: Mapping[str, Any]
    upstream: Mapping[str, str]


def predict_period(
    deployment: Deployment,
    store: ArtifactStore,
    period: Period,
    recipe: dict[str, Any],
    *,
    runner: Runner | None = None,
    on_progress: Callable[[str], None] = lambda _line: None,
) -> PeriodPrediction:
    """Predict a period by a stored model, calibrated as stored.

    Args:
        deployment: The deployment.
        store: Where model, dataset and days lie.
        period: The model and the days.
        recipe: Of the model's dataset.
        runner: Runs the process that predicts, as `launch_training` takes it.
        on_progress: Takes lines of a plain subprocess.

    Raises:
        MissingPartitionError: The model, or a day of the period, was never made.
        CorruptArtifactError: The dataset is another one than the model was trained on.
        TrainingError: The process ended without predictions.
    """
    experiment, configuration = split_key(period.key)[0], deployment.configuration
    _require_own_dataset(store, period)
    parts = build_period(store, recipe, period.first_day, period.last_day)
    with _as_dataset(store, parts, f"{experiment}.{period.first_day}.{period.last_day}") as dataset:
        folder = store.layout.scratch_folder(PERIOD_ASSET, period.partition)
        spec = PredictionSpec(
            mode="predict",
            store_root=str(store.layout.root),
            experiment=dataset.experiment,
            part="test",
            model_name=period.key,
            training=configuration.training.model_copy(update={"devices": "cpu"}),
            output_folder=str(folder),
        )
        launch_training(spec, runner=runner, on_progress=on_progress)
        logits, samples = member_mean(read_table(folder / PREDICTIONS_FILE))
        remove_scratch(folder)
        boosting = configuration.evaluation.baselines.boosting
        chosen = pl.DataFrame({"sample": samples}).join(dataset.index, on="sample", maintain_order="left")
        summaries = None if boosting is None else summarise(dataset, chosen, boosting.summaries)
    horizon = recipe["labels"]["horizons_seconds"][0]
    material = gather_period(
        recipe,
        of_horizon(store.read_table(DATASET.name, experiment, "index"), horizon),
        store.read_table(CALIBRATED_MODEL.name, period.key, "predictions"),
        of_horizon(parts.index, horizon),
        block={**parts.recipe["blocks"][0], "hindsight": period.hindsight},
        samples=samples,
        logits=logits,
        calibration=read_calibration(store, period.key),
        before=apply_temperature(logits, 1.0),
    )
    if summaries is not None:
        numbered = material.predictions.filter(pl.col("part") == "test")["sample"].to_numpy().min()
        summaries = replace(summaries, samples=summaries.samples + int(numbered - samples.min()))
    return PeriodPrediction(material, summaries, parts.recipe, dict(parts.upstream))


def read_calibration(store: ArtifactStore, key: str) -> Calibration:
    """Return what was fitted with a model."""
    return Calibration.from_dict(store.read_json(CALIBRATED_MODEL.name, key, "calibration"))


def _require_own_dataset(store: ArtifactStore, period: Period) -> None:
    place = f"{DATASET.name}/{split_key(period.key)[0]}"
    trained = store.require(TRAINED_MODEL.name, period.key)
    if trained.upstream[place] != store.require(*place.split("/", 1)).content_hash:
        raise CorruptArtifactError(
            f"{TRAINED_MODEL.name}/{period.key} was trained on another version of {place}: its classes and scales are "
            "not known any more -> train it again"
        )


@contextmanager
def _as_dataset(store: ArtifactStore, parts: DatasetParts, name: str) -> Iterator[Dataset]:
    """Yield a period as a dataset that is gone afterwards."""
    counted = {**parts.recipe, "blocks": [{**block, "on_stride": 0} for block in parts.recipe["blocks"]]}
    provenance = Provenance("scratch", "", parts.upstream)
    try:
        with store.write(DATASET.name, name, schema_version=SCHEMA_VERSION, provenance=provenance) as writer:
            write_dataset(writer, replace(parts, recipe=counted))
        yield open_dataset(store, name)
    finally:
        store.delete(DATASET.name, name)
