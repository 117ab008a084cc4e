"""Trains a trial's models in this process, one a window, and judges them on validation. Imports torch."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from trademl_assets.datasets.sample_index import stated_edges
from trademl_assets.datasets.trainable import refuse_untrainable
from trademl_assets.datasets.windows import Dataset, open_dataset
from trademl_assets.foundation.errors import ConfigError, TrainingError
from trademl_assets.scoring.baselines import class_prior
from trademl_assets.scoring.direction import direction_log_losses, up_shares
from trademl_assets.scoring.excess import excess_calibration_error
from trademl_assets.scoring.metrics import evaluate, log_losses
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.storage.holding import hold_folder, remove_unheld
from trademl_assets.training.artifact import load_model
from trademl_assets.training.data import SegmentFeed
from trademl_assets.training.epochs import HeldOut
from trademl_assets.training.fit import fit_members, view_of_data
from trademl_assets.training.losses import without_class_weights
from trademl_assets.training.module import VALIDATION_LOG_LOSS
from trademl_assets.training.parameters import TrainingSpec
from trademl_assets.training.results import HISTORY_FILE, PREDICTIONS_FILE, SPEC_FILE, SUMMARY_FILE, read_json
from trademl_assets.tuning.parameters import StudyParameters
from trademl_assets.tuning.template import TrainingTemplate
from trademl_assets.tuning.work import Outcome, Tell

Floats = NDArray[np.float64]
_LATENCY_REPEATS = 9
_PRIOR_PSEUDO_COUNTS = 1.0
_BAND = 0.9
"""Confidence of a band that nobody reads: only the excess itself is an objective."""


@dataclass(frozen=True)
class _Window:
    """Validation of one window: what was predicted and what came true."""

    probabilities: Floats
    labels: NDArray[np.int64]
    rows: pl.DataFrame
    prior_log_loss: float
    up_shares: Floats
    latency_ms: float | None


class TrainedTrials:
    """The objective of a study of trainings; the dataset is opened once.

    Args:
        template: What the trainings have in common.
        parameters: The search.
        report: Takes lines of progress of the trainings.

    Raises:
        ConfigError: No model is trained on the dataset, it has too few folds, or no edge between up and down.
        StorageError: It cannot be read.
    """

    def __init__(self, template: TrainingTemplate, parameters: StudyParameters, report: Callable[[str], None]) -> None:
        self._template = template
        self._parameters = parameters
        self._report = report
        self._dataset = open_dataset(ArtifactStore.at(Path(template.store_root)), template.experiment)
        refuse_untrainable(self._dataset)
        refuse_unsigned(self._dataset, parameters)
        self._folds = last_folds(self._dataset, parameters.n_windows)
        self._plain: dict[int | None, Dataset] = {}

    @property
    def most_epochs(self) -> int:
        """Epochs of a trial over all its windows."""
        return self._stated_epochs * len(self._folds)

    @property
    def _stated_epochs(self) -> int:
        return int(self._template.searchable["training"]["max_epochs"])

    def __call__(self, overrides: dict[str, Any], tell: Tell) -> Outcome:
        """Train and judge a trial.

        Raises:
            TrainingError: It diverged, or ran out of memory.
            ConfigError: Its values make no model.
        """
        specs = [self._specify(overrides, fold) for fold in self._folds]
        judged: list[_Window] = []
        losses: list[float] = []
        try:
            with ExitStack() as held:
                for spec in specs:
                    held.enter_context(hold_folder(Path(spec.output_folder)))
                for number, spec in enumerate(specs):
                    window = self._train(spec, _Mean(tuple(losses), number * self._stated_epochs, tell))
                    judged.append(window)
                    losses.append(float(log_losses(window.probabilities, window.labels).mean()))
        except BaseException:
            _remove(specs)
            raise
        _remove([spec for spec in specs if spec.fold is not None])  # the final training takes over the others
        return self._outcome(judged, losses)

    def _specify(self, overrides: dict[str, Any], fold: int | None) -> TrainingSpec:
        try:
            return self._template.specify(
                overrides, mode="search", fold=fold, patience_epochs=self._parameters.patience_epochs
            )
        except ValidationError as error:
            raise ConfigError(f"{overrides} are no valid parameters: {error} -> narrow the space") from error

    def _train(self, spec: TrainingSpec, on_epoch: "_Mean") -> _Window:
        view = self._view(spec)
        try:
            fit_members(
                spec,
                processes=1,
                writes=True,
                report=lambda line, _facts: self._report(line),
                on_epoch=on_epoch,
                opened=view,
            )
        except (RuntimeError, MemoryError) as error:
            raise TrainingError(f"{type(error).__name__}: {error}") from error
        folder = Path(spec.output_folder)
        for row in read_json(folder / HISTORY_FILE)[str(spec.seeds[0])][on_epoch.epochs :]:
            on_epoch(int(row["epoch"]), row[VALIDATION_LOG_LOSS])  # of a member that was trained before a kill
        predictions = pl.read_parquet(folder / PREDICTIONS_FILE)
        rows = predictions.join(view.index, on="sample", maintain_order="left").sort("sample")
        logits = rows.select(pl.col("^logit_\\d+$")).to_numpy().astype(np.float64)
        weights = read_json(folder / SUMMARY_FILE)["class_weights"]
        probabilities = torch.softmax(without_class_weights(torch.from_numpy(logits), weights), dim=1).numpy()
        labels = rows["label"].to_numpy().astype(np.int64)
        trained = view.samples("train", on_stride_only=True)
        prior = class_prior(trained["label"].to_numpy(), view.classes, _PRIOR_PSEUDO_COUNTS)
        shares = up_shares(trained["label"].to_numpy(), trained["return_bps"].to_numpy(), view.classes)
        latency = _latency_ms(view, folder) if "latency_ms" in self._parameters.objectives else None
        prior_loss = -float(np.log(prior[labels]).mean())
        return _Window(probabilities, labels, rows.select("t0", "t1", "return_bps"), prior_loss, shares, latency)

    def _view(self, spec: TrainingSpec) -> Dataset:
        if spec.weights is not None:
            return view_of_data(self._dataset, spec)
        if spec.fold not in self._plain:
            self._plain[spec.fold] = view_of_data(self._dataset, spec)
        return self._plain[spec.fold]

    def _outcome(self, judged: Sequence[_Window], losses: Sequence[float]) -> Outcome:
        wanted = self._parameters.objectives
        values = {"log_loss": float(np.mean(losses))}
        if "weighted_f1" in wanted:
            found = [evaluate(window.probabilities, window.labels)["weighted_f1"] for window in judged]
            values["weighted_f1"] = float(np.mean(found))
        if "direction_log_loss" in wanted:
            values["direction_log_loss"] = float(np.mean([_direction_log_loss(window) for window in judged]))
        if "excess_ece" in wanted:
            values["excess_ece"] = float(np.mean([self._excess(window) for window in judged]))
        if "latency_ms" in wanted:
            values["latency_ms"] = float(np.median([window.latency_ms or 0.0 for window in judged]))
        return Outcome(values, float(np.mean([w.prior_log_loss for w in judged])), tuple(losses), _daily(judged))

    def _excess(self, window: _Window) -> float:
        spans = tuple(window.rows[name].to_physical().to_numpy() for name in ("t0", "t1"))
        found = excess_calibration_error(
            window.probabilities,
            window.labels,
            (spans[0], spans[1]),
            replicates=self._parameters.excess_replicates,
            confidence=_BAND,
            seed=self._parameters.seed,
        )
        return found.excess


class _Mean:
    """Tells of an epoch by the mean of the windows done and the best of this one so far."""

    def __init__(self, done: tuple[float, ...], epochs_before: int, tell: Tell) -> None:
        self._done = done
        self._before = epochs_before
        self._tell = tell
        self._best = np.inf
        self.epochs = 0

    def __call__(self, epoch: int, loss: float) -> None:
        self.epochs += 1
        self._best = min(self._best, loss)
        self._tell(self._before + epoch, float((sum(self._done) + self._best) / (len(self._done) + 1)))


def _remove(specs: Sequence[TrainingSpec]) -> None:
    for spec in specs:
        remove_unheld(Path(spec.output_folder), unless=SPEC_FILE)


def last_folds(dataset: Dataset, n_windows: int | None) -> tuple[int | None, ...]:
    """Return the folds that a study validates on: the last ones, or None for the validation blocks.

    Raises:
        ConfigError: There are not so many.
    """
    if n_windows is None:
        return (None,)
    known = len(dataset.recipe.get("folds", []))
    if known < n_windows:
        raise ConfigError(
            f"dataset {dataset.experiment!r} has {known} folds, the study asks for n_windows: {n_windows} -> give the "
            "dataset a split with as many folds (expanding, rolling, time_series), or write n_windows: null"
        )
    return tuple(range(known - n_windows, known))


def refuse_unsigned(dataset: Dataset, parameters: StudyParameters) -> None:
    """Refuse a search over class grids by the direction's log-loss on classes of which one is both up and down.

    With an edge at 0 no class is, and the score follows from what is forecast alone, whichever grid was learnt.

    Raises:
        ConfigError: The dataset has no edge at 0.
    """
    edges = stated_edges(dataset.recipe)[dataset.target][dataset.horizon_seconds]
    if "training.class_grid" in parameters.space and "direction_log_loss" in parameters.objectives and 0.0 not in edges:
        raise ConfigError(
            f"dataset {dataset.experiment!r} has class edges {edges.tolist()}, none of them 0, and direction_log_loss "
            "shall compare class grids -> give its labels an edge at 0, or write objectives: [log_loss]"
        )


def _daily(judged: Sequence[_Window]) -> tuple[tuple[str, float, int], ...]:
    frames = [
        window.rows.select(day=pl.col("t0").dt.date(), loss=pl.Series(log_losses(window.probabilities, window.labels)))
        for window in judged
    ]
    daily = pl.concat(frames).group_by("day").agg(pl.col("loss").mean(), samples=pl.len()).sort("day")
    return tuple((day.isoformat(), float(loss), int(samples)) for day, loss, samples in daily.iter_rows())


def _direction_log_loss(window: _Window) -> float:
    returns = window.rows["return_bps"].to_numpy()
    return float(direction_log_losses(window.probabilities, window.up_shares, returns).mean())


def _latency_ms(view: Dataset, folder: Path) -> float:
    """Median milliseconds in which the trained network predicts the decisions of one segment of validation."""
    network = load_model(folder).members[0][0]
    feed = SegmentFeed(view, network)
    batch = next(iter(HeldOut(feed, feed.stretches("validation", on_stride_only=True)[:1], 1)))
    seconds = []
    with torch.no_grad():
        for _ in range(_LATENCY_REPEATS):
            begun = time.perf_counter()
            network(batch)
            seconds.append(time.perf_counter() - begun)
    return float(np.median(seconds)) * 1000.0
