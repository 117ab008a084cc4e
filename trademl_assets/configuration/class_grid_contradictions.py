"""Class grids of the training that no model could learn, or that a dataset's classes are not cut like."""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from trademl_assets.configuration.contradictions import Contradiction
from trademl_assets.datasets.class_boundaries import Boundaries, FixedBoundaries
from trademl_assets.datasets.class_view import CUT_BY, unit_of
from trademl_assets.datasets.parameters import DatasetParameters
from trademl_assets.models.parameters import SoftmaxHead
from trademl_assets.models.registry import ModelParameters
from trademl_assets.training.parameters import TrainingParameters
from trademl_assets.tuning.parameters import StudyParameters
from trademl_assets.tuning.space import CategoricalRange, OptionsRange

CLASS_GRID = "training.class_grid"


def class_grid_contradictions(
    models: Mapping[str, ModelParameters],
    training: TrainingParameters,
    datasets: Mapping[str, DatasetParameters],
    tuning: StudyParameters,
) -> Iterator[Contradiction]:
    """Yield grids that are searched and not stated, or that do not fit the classes of a dataset or a model's head."""
    searched = [name for name in _searched(tuning) if name is not None]
    known = ", ".join(training.class_grids) or "none"
    for name in searched:
        if name not in training.class_grids:
            yield (
                ("tuning", "space", CLASS_GRID),
                f"{name!r} is no grid of class_grids in training.yaml, which has {known}",
            )
    used = dict.fromkeys([*([] if training.class_grid is None else [training.class_grid]), *searched])
    heads_are_searched = tuning.enabled and any(path.startswith("model.head") for path in tuning.space)
    for name, (experiment, dataset) in product(used, datasets.items()):
        if name not in training.class_grids:
            continue
        grid, place = training.class_grids[name], ("training", "class_grids", name)
        unit, found = unit_of(grid), dataset.labels.build().edge_unit
        if unit != found:
            yield place, f"cuts {CUT_BY[unit]}, the labels of {experiment} in datasets.yaml are cut by {CUT_BY[found]}"
            continue
        missing = _missing(grid, dataset)
        for model, stated in models.items():
            if missing and not heads_are_searched and isinstance(getattr(stated.parameters, "head", None), SoftmaxHead):
                yield place, _unsummable(model, experiment, missing)


def _searched(tuning: StudyParameters) -> tuple[Any, ...]:
    searched = tuning.space.get(CLASS_GRID) if tuning.enabled else None
    if isinstance(searched, OptionsRange):
        return tuple(searched.options.values())
    return searched.choices if isinstance(searched, CategoricalRange) else ()


def _missing(grid: Boundaries, dataset: DatasetParameters) -> list[float]:
    """Edges of the dataset that the grid lacks, where both are stated."""
    own = getattr(dataset.labels.parameters, "boundaries", None)
    if not (isinstance(grid, FixedBoundaries) and isinstance(own, FixedBoundaries)):
        return []
    return [edge for edge in own.edges_bps if edge not in grid.edges_bps]


def _unsummable(model: str, experiment: str, missing: list[float]) -> str:
    return (
        f"lacks the edges {missing} of the labels of {experiment} in datasets.yaml, to whose classes the softmax head "
        f"of {model} sums: add them, or choose head kind distribution"
    )
