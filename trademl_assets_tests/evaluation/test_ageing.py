"""Ageing of frozen models whose decay is planted, and of models on blocks before and after their training."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from trademl_assets.evaluation.ageing import AgeingParameters, measure_ageing
from trademl_assets.evaluation.half_life import DailyGains, HalfLife, fit_half_life
from trademl_assets.evaluation.resampling import Resampling
from trademl_assets.foundation.errors import EvaluationError
from trademl_assets.scoring.baselines import BaselineParameters
from trademl_assets_tests.evaluation.examples import (
    EDGES_BPS,
    HORIZON_STEPS,
    STEPS_A_DAY,
    make_example,
)

DAY_US = 86_400_000_000
TRAINED_UNTIL = 1_704_067_200_000_000
AGEING = {
    "period": "P4D",
    "minimum_effective": 50,
    "minimum_blocks": 2,
    "shortest_half_life": "P1D",
    "longest_half_life": "P3650D",
    "half_life_steps": 60,
    "retrain_at_share": 0.5,
}
BASELINES = BaselineParameters(volatility_bins=10, pseudo_counts=5.0, logistic_penalty=0.001, boosting=None)
RESAMPLING = Resampling(block_horizons=2, minimum_block=timedelta(days=1), replicates=300, confidence=0.95, seed=3)


def daily(
    half_life: float, *, days: int = 400, initial: float = 0.02, noise: float = 0.004, seed: int = 0
) -> DailyGains:
    """Mean gains of days with 40 decisions each."""
    age = np.arange(days) + 0.5
    gain = initial * np.exp2(-age / half_life) + noise * np.random.default_rng(seed).standard_normal(days)
    return DailyGains(age, gain * 40, np.full(days, 40.0), TRAINED_UNTIL)


def fitted(gains: DailyGains, **changes: Any) -> HalfLife:
    values = {
        "shortest_days": 1.0,
        "longest_days": 3650.0,
        "steps": 60,
        "retrain_at_share": 0.5,
        "block_days": 2.0,
        "minimum_blocks": 2.0,
        "replicates": 200,
        "confidence": 0.95,
        "seed": 1,
    }
    return fit_half_life(gains, **(values | changes))


def test_the_interval_holds_the_planted_half_life_as_often_as_it_says():
    held = []
    for seed in range(60):
        found = fitted(daily(90.0, seed=seed))
        assert found.verdict == "decays"
        held.append((found.low_days or 0) <= 90.0 <= (found.high_days or np.inf))
    assert np.mean(held) >= 0.88


@settings(max_examples=30, deadline=None)
@given(half_life=st.floats(5, 300), initial=st.floats(1e-4, 1.0))
def test_without_noise_the_half_life_is_found_within_a_step_of_the_grid(half_life: float, initial: float):
    found = fitted(daily(half_life, initial=initial, noise=0.0), steps=200)
    assert found.days == pytest.approx(half_life, rel=0.05)
    assert found.initial_gain == pytest.approx(initial, rel=0.05)


def test_the_day_to_train_again_follows_from_the_half_life():
    found = fitted(daily(60.0, noise=1e-6))
    assert found.retrain_by == "2024-03-01"
    assert "train again by then" in found.sentence
    assert fitted(daily(60.0, noise=1e-6), retrain_at_share=0.25).retrain_by == "2024-04-30"


def test_steady_skill_shows_no_decay_and_names_the_shortest_half_life_left():
    found = fitted(daily(np.inf, noise=0.001))
    assert found.verdict == "no decay seen"
    assert found.high_days is None
    assert found.low_days is not None
    assert found.low_days > 365
    assert found.retrain_by is None
    assert found.holds_until is not None


def test_no_skill_and_few_noisy_days_cannot_be_told():
    none = fitted(daily(90.0, initial=0.0, seed=4))
    assert (none.verdict, none.days, none.low_days, none.retrain_by) == ("cannot be told", None, None, None)
    assert fitted(daily(90.0, initial=-0.02)).verdict == "cannot be told"
    assert "nothing that could decay" in fitted(daily(90.0, initial=-0.02)).sentence
    assert fitted(daily(90.0, days=4, noise=0.05)).verdict == "cannot be told"
    short = fitted(daily(90.0, days=3, noise=0.0))
    assert (short.verdict, short.days) == ("cannot be told", None)
    assert "3 day(s) are too few" in short.sentence


def test_a_model_that_is_lost_at_once_decays_by_less_than_the_shortest():
    found = fitted(daily(0.8, initial=1.0, noise=1e-5))
    assert (found.verdict, found.low_days) == ("decays", None)
    assert "less than 1 days" in found.sentence


def recipe(blocks: list[tuple[str, str, int]], weights: list[Mapping[str, Any]] | None = None) -> dict[str, Any]:
    """A dataset's recipe of blocks back to back: part, name, days."""
    described, first = [], TRAINED_UNTIL
    last_train = max(number for number, (part, _, _) in enumerate(blocks) if part == "train")
    for number, (part, name, days) in enumerate(blocks):
        last = first + days * DAY_US
        described.append(
            {
                "part": part,
                "name": name,
                "first_us": first,
                "last_us": last,
                "hindsight": part != "train" and number < last_train,
            }
        )
        first = last
    return {
        "blocks": described,
        "boundaries_bps": EDGES_BPS.tolist(),
        "classes": 5,
        "parameters": {"weights": {"parts": weights or []}},
    }


def market(blocks: list[tuple[str, str, int]], **options: Any) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Calibrated predictions and index of a model on such blocks."""
    total = sum(days for _, _, days in blocks)
    example = make_example((0, 0, 0, total), members=1, **options)
    part = np.repeat([part for part, _, _ in blocks], [days * STEPS_A_DAY for _, _, days in blocks])
    number = np.repeat(np.arange(len(blocks)), [days * STEPS_A_DAY for _, _, days in blocks])
    regime = np.where(np.arange(len(part)) // STEPS_A_DAY % 2 == 0, "bull", "bear")
    index = example.index.with_columns(part=pl.Series(part), block=pl.Series(number), regime=pl.Series(regime))
    probabilities = softmax(example.predictions.select(pl.exclude("sample", "member")).to_numpy(), axis=1)
    columns = {f"after_{number}": column for number, column in enumerate(probabilities.T)}
    return index.with_columns(**columns).filter(pl.col("part") != "train"), index


BLOCKS = [
    ("train", "", 10),
    ("degradation", "mo18", 2),
    ("train", "", 10),
    ("validation", "", 2),
    ("calibration", "", 4),
    ("test", "", 8),
    ("degradation", "late", 6),
]


def ageing_of(blocks=BLOCKS, weights=None, **options: Any):
    predictions, index = market(blocks, **options)
    parameters = AgeingParameters.model_validate_json(json.dumps(AGEING))
    return measure_ageing(
        predictions,
        index,
        recipe(blocks, weights),
        parameters=parameters,
        baselines=BASELINES,
        resampling=RESAMPLING,
    )


def test_blocks_with_later_training_are_marked_and_kept_out_of_the_curve():
    found = ageing_of()
    assert [(block.name, block.part, block.hindsight) for block in found.blocks] == [
        ("mo18", "degradation", True),
        ("test", "test", False),
        ("late", "degradation", False),
    ]
    assert found.blocks[0].first_age_days < 0
    ends = [(round(point.first_age_days), round(point.last_age_days)) for point in found.curve]
    assert ends == [(6, 8), (8, 12), (12, 16), (16, 20)]
    assert sum(point.samples for point in found.curve) == 14 * STEPS_A_DAY
    assert found.trained_until.startswith("2024-01-23")
    assert {regime.name for regime in found.regimes} == {"bull", "bear"}
    assert sum(regime.samples for regime in found.regimes) == 14 * STEPS_A_DAY


def test_gains_of_points_add_up_to_the_gain_of_the_blocks():
    found = ageing_of()
    weighted = [sum(each.gain * each.samples for each in group) for group in (found.curve, found.regimes)]
    blocks = sum(block.gain * block.samples for block in found.blocks if not block.hindsight)
    assert weighted == pytest.approx([blocks, blocks])


def test_numbers_carry_the_documented_names():
    numbers = ageing_of().numbers()
    assert {"test_log_loss_mo18", "test_weighted_f1_late", "test_gain_late", "test_ece_mo18"} <= set(numbers)
    assert not any(name.endswith("_test") for name in numbers)


def test_a_skilful_model_gains_at_every_age_and_one_without_skill_nowhere():
    skilled = ageing_of()
    assert all(point.low > 0 for point in skilled.curve)
    blind = ageing_of(signal=0.0)
    assert blind.half_life is not None
    assert blind.half_life.verdict == "cannot be told"
    assert all(abs(point.gain) < 0.02 for point in blind.curve)


def test_a_model_judged_in_hindsight_alone_has_no_curve():
    blocks = [("train", "", 6), ("degradation", "old", 3), ("calibration", "", 4), ("train", "", 6)]
    found = ageing_of(blocks)
    assert (found.curve, found.half_life, found.regimes) == ((), None, ())
    assert found.blocks[0].hindsight


def test_half_lives_of_weights_are_compared_with_what_the_skill_supports():
    weights = [{"kind": "exponential_age", "half_life_days": 2.0}, {"kind": "balanced_classes"}]
    (sentence,) = ageing_of(weights=weights).weight_half_lives
    assert sentence.startswith("weights of half-life 2 days: ")
    several = [{"kind": "multi_scale_age", "half_lives_days": [10.0, 90.0], "combined_by": "mean"}]
    assert len(ageing_of(weights=several).weight_half_lives) == 2


def test_few_independent_labels_are_not_judged():
    found = ageing_of([*BLOCKS[:-1], ("degradation", "late", 1)])
    assert found.blocks[-1].effective_samples == pytest.approx(STEPS_A_DAY / HORIZON_STEPS, rel=0.05)
    assert not found.blocks[-1].judged
    assert found.blocks[1].judged


def test_nothing_to_age_on_is_refused():
    predictions, index = market(BLOCKS)
    parameters = AgeingParameters.model_validate_json(json.dumps(AGEING))
    nothing = predictions.filter(pl.col("part") == "calibration")
    with pytest.raises(EvaluationError, match="predict them, too"):
        measure_ageing(
            nothing,
            index,
            recipe(BLOCKS),
            parameters=parameters,
            baselines=BASELINES,
            resampling=RESAMPLING,
        )


def test_equal_input_gives_equal_output_that_is_json():
    assert json.dumps(ageing_of().as_dict(), allow_nan=False) == json.dumps(ageing_of().as_dict())
