"""Control datasets: what a learner is given where nothing can be learnt, or where something was planted.

Rows of a dataset whose labels were shuffled, a dataset of random walks made by the dataset's own functions, and rows
with a column that knows the label a little.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trademl_assets.datasets.build import fit_clock_of, fit_streams, make_clock
from trademl_assets.datasets.ingredients import Ingredients, read_ingredients
from trademl_assets.datasets.inputs import DATASET_ASSET
from trademl_assets.datasets.leakage import stated_parameters
from trademl_assets.datasets.perturbation import randomise_publications_after
from trademl_assets.datasets.sample_index import make_index, of_horizon, of_target
from trademl_assets.datasets.scaling import FittedScaling, evenly_spaced
from trademl_assets.datasets.series import GridFrame, GridSeries
from trademl_assets.datasets.weights import MICROSECONDS_PER_DAY
from trademl_assets.grid.gaps import OBSERVED
from trademl_assets.storage.commit import ArtifactStore

LONG_TERM = "long_term"
BEFORE_EVERYTHING = np.iinfo(np.int64).min
FIRST_MID = 100.0


@dataclass(frozen=True)
class ControlRows:
    """What a learner is given: training and validation rows of one target and horizon, n in all, in time order.

    Attributes:
        features: (n, k) float32, what the streams on the grid's cadence show at the decision, scaled.
        labels: (n,) int64 classes.
        classes: how many there are.
        t0_us, t1_us: (n,) begin and end of the labels, microseconds UTC.
        training: (n,) which are training rows.
        groups: columns of each stream.
        instrument: whose labels they are.
    """

    features: NDArray[np.float32]
    labels: NDArray[np.int64]
    classes: int
    t0_us: NDArray[np.int64]
    t1_us: NDArray[np.int64]
    training: NDArray[np.bool_]
    groups: tuple[NDArray[np.int64], ...]
    instrument: str

    @property
    def complete(self) -> bool:
        """Whether there is something to learn from and something to judge on."""
        return bool(self.classes and self.training.any() and (~self.training).any())


@dataclass(frozen=True)
class ControlMaterial:
    """A dataset as its controls need it."""

    ingredients: Ingredients
    index: pl.DataFrame
    arrays: Mapping[str, NDArray[Any]]
    scaling: Mapping[str, FittedScaling]
    classes: int

    def rows(self, horizon_seconds: int, training_rows_at_most: int, instrument: str | None = None) -> ControlRows:
        """The rows of a horizon and a target: training thinned evenly, validation on the decision stride.

        Args:
            horizon_seconds: the horizon.
            training_rows_at_most: how many training rows are left.
            instrument: the target; None: the primary one.
        """
        target = self.ingredients.parameters.target if instrument is None else instrument
        index = of_target(of_horizon(self.index, horizon_seconds), target).drop_nulls("label")
        part, on_stride = index["part"].to_numpy(), index["on_stride"].to_numpy()
        chosen = np.concatenate(
            [
                evenly_spaced(np.flatnonzero(part == "train"), training_rows_at_most),
                np.flatnonzero((part == "validation") & on_stride),
            ]
        )
        chosen.sort()
        rows = index[chosen]
        features, groups = self._features(rows["step"].to_numpy())
        return ControlRows(
            features=features,
            labels=rows["label"].to_numpy().astype(np.int64),
            classes=self.classes,
            t0_us=rows["t0"].to_physical().to_numpy(),
            t1_us=rows["t1"].to_physical().to_numpy(),
            training=part[chosen] == "train",
            groups=groups,
            instrument=target,
        )

    def _features(self, steps: NDArray[np.int64]) -> tuple[NDArray[np.float32], tuple[NDArray[np.int64], ...]]:
        shown, groups, width = [np.empty((len(steps), 0))], [], 0
        for name in sorted(set(self.arrays) - {LONG_TERM}):
            values = np.asarray(self.arrays[name][steps], dtype=np.float64)
            fitted = self.scaling.get(name)
            if fitted is not None:
                values = np.clip((values - fitted.center) / fitted.scale, -fitted.clip, fitted.clip)
            shown.append(values.reshape(len(steps), -1))
            groups.append(np.arange(width, width + shown[-1].shape[1]))
            width += shown[-1].shape[1]
        return np.concatenate(shown, axis=1).astype(np.float32), tuple(groups)


def read_control_material(store: ArtifactStore, experiment: str) -> ControlMaterial:
    """Read a materialised dataset and what it was built from.

    Raises:
        MissingPartitionError, CorruptArtifactError: they cannot be read.
    """
    recipe = store.read_json(DATASET_ASSET, experiment, "recipe")
    grid = recipe["grid"]
    frame = GridFrame(recipe["cadence_seconds"], grid["max_gap_seconds"], tuple(grid["instruments"]))
    return ControlMaterial(
        ingredients=read_ingredients(store, stated_parameters(recipe), frame),
        index=store.read_table(DATASET_ASSET, experiment, "index"),
        arrays=store.open_arrays(DATASET_ASSET, experiment, "streams"),
        scaling={
            name: FittedScaling(np.asarray(each["center"]), np.asarray(each["scale"]), each["clip"], ())
            for name, each in recipe["scaling"].items()
        },
        classes=int(recipe["classes"]),
    )


def shuffle_labels_by_day(rows: ControlRows, rng: np.random.Generator) -> ControlRows:
    """The rows with the labels of another day each, among training and among validation rows.

    A day's labels stay together, so that neighbours depend on each other as before, but are rotated by a random number
    of places, so that the time of day tells nothing of them either.
    """
    labels = rows.labels.copy()
    for chosen in (np.flatnonzero(rows.training), np.flatnonzero(~rows.training)):
        days = rows.t0_us[chosen] // MICROSECONDS_PER_DAY
        blocks = np.split(rows.labels[chosen], np.flatnonzero(np.diff(days)) + 1)
        order = rng.permutation(len(blocks))
        moved = [np.roll(blocks[number], rng.integers(max(len(blocks[number]), 1))) for number in order]
        labels[chosen] = np.concatenate(moved)
    return replace(rows, labels=labels)


def plant_signal(rows: ControlRows, correlation: float, rng: np.random.Generator) -> ControlRows:
    """The rows with one more column, which correlates with the class as stated: no honest stream can know that."""
    classes = rows.labels.astype(np.float64)
    spread = classes.std()
    known = (classes - classes.mean()) / (spread if spread > 0 else 1.0)
    column = correlation * known + np.sqrt(1 - correlation**2) * rng.normal(size=len(known))
    features = np.concatenate([rows.features, column[:, None].astype(np.float32)], axis=1)
    return replace(rows, features=features, groups=(*rows.groups, np.asarray([features.shape[1] - 1])))


def walk_randomly(material: ControlMaterial, rng: np.random.Generator) -> ControlMaterial:
    """The dataset made by its own functions of random walks: same steps, gaps and days, independent normal returns.

    Each instrument's returns have the spread of its returns between observed training steps. Values of external series
    are noise.
    """
    ingredients = material.ingredients
    walked = replace(
        randomise_publications_after(ingredients, BEFORE_EVERYTHING, rng),
        series=_walk(ingredients, ingredients.series, rng),
    )
    index = make_index(walked)
    scaling, arrays = fit_streams(walked)
    if walked.parameters.streams.clock is not None:
        arrays["clock"] = make_clock(walked, fit_clock_of(walked))
    return ControlMaterial(walked, index.table, arrays, scaling, len(index.class_names))


WalkFunction = Callable[[ControlMaterial, np.random.Generator], ControlMaterial]


def _walk(ingredients: Ingredients, series: GridSeries, rng: np.random.Generator) -> GridSeries:
    mid = np.empty_like(series.mid)
    for column in range(mid.shape[1]):
        observed = series.state[:, column] == OBSERVED
        known = observed & ingredients.training & (series.mid[:, column] > 0)
        spread = float(np.std(np.diff(np.log(series.mid[known, column])))) if known.sum() > 1 else 0.0
        path = FIRST_MID * np.exp(np.cumsum(rng.normal(0.0, spread, len(mid))))
        shown = np.maximum.accumulate(np.where(observed, np.arange(len(mid)), 0))
        mid[:, column] = np.where(np.isnan(series.mid[:, column]), np.nan, path[shown])
    bars = None
    if series.bars is not None:
        bars = series.bars.copy()
        bars[..., :-1] *= (mid / series.mid)[..., None]
    return replace(series, mid=mid, bars=bars)
