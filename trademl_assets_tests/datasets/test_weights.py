import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trademl_assets.datasets.weights import TrainingLabels, WeightParameters, training_weights
from trademl_assets.foundation.errors import ConfigError

DAY = 86_400_000_000
AGE = {"kind": "exponential_age", "half_life_days": 10.0}
BALANCED, UNIQUE = {"kind": "balanced_classes"}, {"kind": "uniqueness"}
PARTS = [AGE, {"kind": "multi_scale_age", "half_lives_days": [7.0, 30.0], "combined_by": "mean"}, BALANCED, UNIQUE]


def weights_of(labels: TrainingLabels, *parts: dict[str, Any]) -> np.ndarray:
    return training_weights(labels, WeightParameters.model_validate_json(json.dumps({"parts": parts})).parts)


def labels_at(days: Any, classes: Any = None, uniqueness: Any = None) -> TrainingLabels:
    t0 = np.asarray(days, dtype=np.int64) * DAY
    return TrainingLabels(
        t0,
        None if classes is None else np.asarray(classes, np.int8),
        np.ones(len(t0)) if uniqueness is None else np.asarray(uniqueness),
    )


some_labels = st.lists(
    st.tuples(st.integers(0, 400), st.integers(0, 4), st.floats(0.01, 1.0)), min_size=1, max_size=50
).map(lambda rows: labels_at(*zip(*sorted(rows), strict=True)))


def test_a_sample_one_half_life_older_weighs_half() -> None:
    weights = weights_of(labels_at([0, 10, 20]), AGE)
    assert weights[1] / weights[2] == pytest.approx(0.5)
    assert weights[0] / weights[1] == pytest.approx(0.5)
    assert weights.mean() == pytest.approx(1.0)


def test_without_parts_all_weigh_one() -> None:
    assert weights_of(labels_at([0, 1, 2])).tolist() == [1.0, 1.0, 1.0]
    assert weights_of(labels_at([])).tolist() == []


@given(some_labels)
def test_balanced_classes_weigh_the_same_together(labels: TrainingLabels) -> None:
    weights = weights_of(labels, BALANCED)
    assert labels.classes is not None
    totals = [weights[labels.classes == each].sum() for each in np.unique(labels.classes)]
    assert totals == pytest.approx([totals[0]] * len(totals))


@pytest.mark.parametrize("combined_by", ["mean", "product"])
def test_several_half_lives_are_combined_as_asked(combined_by: str) -> None:
    part = {"kind": "multi_scale_age", "half_lives_days": [7.0, 30.0, 90.0], "combined_by": combined_by}
    weights = weights_of(labels_at([0, 50, 100]), part)
    scales = np.exp2(-np.asarray([100.0, 50.0, 0.0])[:, None] / [7.0, 30.0, 90.0])
    expected = scales.mean(axis=1) if combined_by == "mean" else scales.prod(axis=1)
    assert weights == pytest.approx(expected / expected.mean())


def test_uniqueness_is_a_weight() -> None:
    assert weights_of(labels_at([0, 1], uniqueness=[0.5, 1.0]), UNIQUE) == pytest.approx([2 / 3, 4 / 3])


@given(some_labels, st.permutations(PARTS), st.integers(0, 4))
def test_parts_multiply_have_mean_one_and_repeat_exactly(
    labels: TrainingLabels, order: list[dict[str, Any]], count: int
) -> None:
    parts = order[:count]
    found = weights_of(labels, *parts)
    product = np.prod([weights_of(labels, part) for part in parts] or [np.ones(len(labels.t0_us))], axis=0)
    assert found == pytest.approx(product / product.mean())
    assert found.mean() == pytest.approx(1.0)
    assert np.all(found > 0)
    assert found.tobytes() == weights_of(labels, *parts).tobytes()


def test_labels_without_classes_cannot_be_balanced_and_parts_not_repeat() -> None:
    with pytest.raises(ConfigError, match="balanced_classes needs labels with classes"):
        weights_of(labels_at([0]), BALANCED)
    with pytest.raises(ValueError, match="parts repeat a kind"):
        weights_of(labels_at([0]), AGE, AGE)
