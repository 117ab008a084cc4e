"""A dataset seen with classes that are cut anew, so that a model can be trained on other classes than it is judged on.

The view's classes are those that the edges of both grids make together: each lies in one class of either, so that what
is forecast of the view is summed to the classes of the grid, to train, and to those of the dataset, to judge.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trademl_assets.datasets.class_boundaries import SCALED, Boundaries, classify, fit_boundaries
from trademl_assets.datasets.fold_view import seen_with
from trademl_assets.datasets.label_kinds import EdgeUnit, interval_names
from trademl_assets.datasets.sample_index import Edges, state_edges, stated_edges
from trademl_assets.datasets.windows import Dataset
from trademl_assets.foundation.errors import ConfigError, DataQualityError

Floats = NDArray[np.float64]
CUT_BY: dict[EdgeUnit, str] = {
    "return_bps": "the return in bps",
    "sigma": "the return over its sigma",
    "none": "no edges",
}
"""What edges cut, in words."""


@dataclass(frozen=True)
class ClassGrid:
    """Classes that a model is trained on in place of its dataset's.

    Attributes:
        name: As it is configured.
        edges: Its edges by target and horizon in seconds, in the unit of the dataset's.
        dataset_edges: Those of the dataset.
        trained: (F,) class of this grid that each of the F forecast classes lies in, ascending.
        judged: (F,) class of the dataset that each lies in, ascending.
    """

    name: str
    edges: Mapping[str, Mapping[str, tuple[float, ...]]]
    dataset_edges: Mapping[str, Mapping[str, tuple[float, ...]]]
    trained: tuple[int, ...]
    judged: tuple[int, ...]

    @property
    def holds_dataset_edges(self) -> bool:
        """Whether every edge of the dataset is one of this grid, so that its classes make up those of the dataset."""
        return len(set(self.trained)) == len(self.trained)

    @property
    def classes(self) -> int:
        """Number of classes of the dataset."""
        return self.judged[-1] + 1

    def as_json(self) -> dict[str, Any]:
        """Return plain values; `from_json` reads them back exactly."""
        return {
            "name": self.name,
            "edges": _plain(self.edges),
            "dataset_edges": _plain(self.dataset_edges),
            "trained": list(self.trained),
            "judged": list(self.judged),
        }

    @classmethod
    def from_json(cls, stated: Mapping[str, Any]) -> "ClassGrid":
        """Read what `as_json` returned."""
        return cls(
            stated["name"],
            _fixed(stated["edges"]),
            _fixed(stated["dataset_edges"]),
            tuple(stated["trained"]),
            tuple(stated["judged"]),
        )


def unit_of(boundaries: Boundaries) -> EdgeUnit:
    """What such boundaries cut."""
    return "sigma" if isinstance(boundaries, SCALED) else "return_bps"


def cut_anew(dataset: Dataset, name: str, boundaries: Boundaries) -> tuple[Dataset, ClassGrid]:
    """The dataset with the classes that its edges and those of another grid make together; its weights stay.

    Quantiles are those of the training rows on the stride, of each target over each horizon; in a fold those of its
    training rows. A return on an edge belongs to the class above, as everywhere.

    Args:
        dataset: A dataset whose classes are intervals of the return, or of the return over its sigma.
        name: Of the grid.
        boundaries: How it is cut.

    Returns:
        The view and how its classes lie in those of the grid and of the dataset.

    Raises:
        ConfigError: The dataset's classes are cut by something else than the grid's, or edges of several targets or
            horizons lie in different order, or the training rows cannot set the grid's quantiles.
    """
    unit = unit_of(boundaries)
    _refuse_other_unit(dataset, name, unit)
    index, label = dataset.index, np.zeros(dataset.index.height, dtype=np.int8)
    own = _own_edges(dataset)
    given: dict[str, dict[int, Floats]] = {target: {} for target in own}
    together: dict[str, dict[int, Floats]] = {target: {} for target in own}
    lying: dict[tuple[tuple[int, ...], tuple[int, ...]], str] = {}
    for target, cut in own.items():
        for horizon, edges in cut.items():
            rows = np.flatnonzero(((index["instrument"] == target) & (index["horizon_seconds"] == horizon)).to_numpy())
            values = _values(index[rows], unit)
            _refuse_other_labels(dataset, name, index["label"].to_numpy()[rows], classify(values, edges))
            learnt = ((index["part"] == "train") & index["on_stride"]).to_numpy()[rows]
            cuts = _fitted(values[learnt], boundaries, name, target)
            union = np.union1d(edges, cuts)
            label[rows] = classify(values, union)
            given[target][horizon], together[target][horizon] = cuts, union
            lying.setdefault((_classes_of(union, cuts), _classes_of(union, edges)), f"{target} over {horizon} s")
    if len(lying) > 1:
        raise ConfigError(
            f"class grid {name!r}: its edges and those of dataset {dataset.experiment!r} do not lie in the same order "
            f"for {' and '.join(lying.values())} -> choose a dataset of one target and horizon, or fixed edges"
        )
    ((trained, judged),) = lying
    recipe = {
        **dataset.recipe,
        **state_edges(together, unit),
        "classes": len(judged),
        "class_names": list(interval_names(next(iter(together[dataset.target].values())))),
    }
    view = seen_with(dataset, index.with_columns(label=pl.Series(label)), recipe)
    return view, ClassGrid(name, _stated(given), _stated(own), trained, judged)


def _refuse_other_unit(dataset: Dataset, name: str, unit: EdgeUnit) -> None:
    found = dataset.recipe["edge_unit"]
    if found != unit:
        raise ConfigError(
            f"class grid {name!r} cuts {CUT_BY[unit]}, the classes of dataset {dataset.experiment!r} are cut by "
            f"{CUT_BY[found]} -> give the grid edges of the same kind, or write class_grid: null"
        )


def _refuse_other_labels(dataset: Dataset, name: str, labels: NDArray[np.int8], found: NDArray[np.int8]) -> None:
    if not np.array_equal(labels, found):
        raise ConfigError(
            f"class grid {name!r}: {int((labels != found).sum())} of {len(labels)} labels of dataset "
            f"{dataset.experiment!r} (kind {dataset.recipe['labels']['kind']!r}) are not the interval in which their "
            "return lies -> choose labels.kind price_classes, or write class_grid: null"
        )


def _fitted(training: Floats, boundaries: Boundaries, name: str, target: str) -> Floats:
    try:
        return fit_boundaries(training, boundaries, target)
    except (ConfigError, DataQualityError) as error:
        raise ConfigError(f"class grid {name!r} of {target}: {error}") from error


def _values(rows: pl.DataFrame, unit: EdgeUnit) -> Floats:
    """(n,) what the edges cut."""
    returns = rows["return_bps"].to_numpy()
    return returns if unit == "return_bps" else returns / rows["sigma_bps"].to_numpy()


def _classes_of(union: Floats, edges: Floats) -> tuple[int, ...]:
    """Class between `edges` of each class between the edges of `union`, which holds them."""
    return (0, *(int(number) for number in classify(union, edges)))


def _own_edges(dataset: Dataset) -> dict[str, dict[int, Floats]]:
    """Edges of the dataset, the primary target and horizon first."""
    edges, horizons = stated_edges(dataset.recipe), dataset.recipe["labels"]["horizons_seconds"]
    return {target: {horizon: edges[target][horizon] for horizon in horizons} for target in dataset.targets}


def _stated(edges: Edges) -> dict[str, dict[str, tuple[float, ...]]]:
    return {
        target: {str(horizon): tuple(each.tolist()) for horizon, each in cut.items()} for target, cut in edges.items()
    }


def _plain(edges: Mapping[str, Mapping[str, tuple[float, ...]]]) -> dict[str, dict[str, list[float]]]:
    return {target: {horizon: list(each) for horizon, each in cut.items()} for target, cut in edges.items()}


def _fixed(edges: Mapping[str, Mapping[str, list[float]]]) -> dict[str, dict[str, tuple[float, ...]]]:
    return {target: {horizon: tuple(each) for horizon, each in cut.items()} for target, cut in edges.items()}
