"""The leaderboard: its order, which models may be the best, which lie on the front, and whether a choice was luck."""

from dataclasses import replace
from datetime import date, timedelta
from functools import cache

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from trademl_assets.datasets.label_kinds import interval_names
from trademl_assets.evaluation.comparison import Comparison, ComparisonParameters, compare_models, decision_losses
from trademl_assets.evaluation.judge import judge_model
from trademl_assets.evaluation.judgement import Judgement
from trademl_assets.evaluation.leaderboard import REFUSED, SCHEMA, SHOWN, describe_ranking, rank_models
from trademl_assets.evaluation.overfitting import probability_of_overfitting
from trademl_assets.evaluation.plots import draw_ranking
from trademl_assets.evaluation.search_honesty import SearchHonesty, judge_search, no_search
from trademl_assets.foundation.errors import EvaluationError
from trademl_assets_tests.evaluation.examples import EDGES_BPS, evaluation_parameters, make_example

PARAMETERS = evaluation_parameters(bootstrap_replicates=200, excess_replicates=100)
KNOWN = {"a_weak": 0.1, "b_good": 0.8, "c_noisy": 0.75}
"""How much of the drift each model knows, on the same market."""


@cache
def judged(known: float) -> tuple[Judgement, pl.DataFrame]:
    example = make_example(known=known)
    found = example.calibrated(PARAMETERS)
    judgement = judge_model(
        found.table, example.index, EDGES_BPS, found.calibration, PARAMETERS, class_names=interval_names(EDGES_BPS)
    )
    losses = decision_losses(
        found.table, example.index, classes=5, boundaries_bps=EDGES_BPS.tolist(), parameters=PARAMETERS.baselines
    )
    return judgement, losses


def compared(names: list[str]) -> Comparison:
    losses = {name: judged(KNOWN[name])[1] for name in names}
    return compare_models(losses, judged(0.8)[0].dependence.block_samples, 0.1, replicates=200, seed=1)


def board(names: list[str], **searches: SearchHonesty) -> tuple[pl.DataFrame, Comparison]:
    comparison = compared(names)
    judgements = {name: judged(KNOWN[name])[0] for name in names}
    return rank_models(judgements, comparison, {name: searches.get(name, no_search()) for name in names}), comparison


def test_losses_are_those_of_the_judgement():
    judgement, losses = judged(0.8)
    assert losses["model"].to_numpy().mean() == pytest.approx(judgement.test.after["log_loss"])
    for skill in judgement.skills[:2]:
        assert losses[skill.baseline].to_numpy().mean() == pytest.approx(skill.baseline_log_loss)
    assert losses["t0"].is_sorted()


def test_the_gain_over_gradient_boosting_stands_beside_a_model_where_it_was_measured():
    judgement = judged(0.8)[0]
    assert board([next(iter(KNOWN))])[0]["over_boosting"].to_list() == [None]
    boosted = replace(judgement.skills[0], baseline="gradient boosting", difference=0.03, low=0.01, high=0.05)
    measured = replace(judgement, skills=(*judgement.skills, boosted))
    name = next(iter(KNOWN))
    found = rank_models({name: measured}, compared([name]), {name: no_search()})
    assert found.select("^over_boosting.*$").row(0) == (0.03, 0.01, 0.05)


def test_the_larger_skill_stands_first_and_equal_ones_by_name():
    ranking, _ = board(list(KNOWN))
    assert ranking["model"].to_list()[-1] == "a_weak"
    assert ranking["rank"].to_list() == [1, 2, 3]
    assert ranking["skill"].is_sorted(descending=True)
    assert ranking.schema == pl.Schema(SCHEMA)
    assert set(SHOWN) <= set(SCHEMA)
    nothing = Comparison({}, frozenset(), "", None, "", 200)
    assert rank_models({}, nothing, {}).schema == pl.Schema(SCHEMA)
    assert describe_ranking(rank_models({}, nothing, {}), nothing) == "No model was evaluated"


def test_a_clearly_worse_model_is_not_in_the_set_and_the_best_beats_the_volatility():
    ranking, comparison = board(list(KNOWN))
    rows = {row["model"]: row for row in ranking.iter_rows(named=True)}
    assert rows["b_good"]["in_confidence_set"]
    assert not rows["a_weak"]["in_confidence_set"]
    assert rows["a_weak"]["set_p_value"] <= 0.1 < rows["b_good"]["set_p_value"]
    assert comparison.best in {"b_good", "c_noisy"}
    assert comparison.superior_p is not None
    assert comparison.superior_p < 0.05
    assert [row["model"] for row in rows.values() if row["superior_p_value"] is not None] == [comparison.best]
    said = describe_ranking(ranking, comparison)
    assert "of 3 models may be the best" in said
    assert said.endswith(f"p < 0.0050, clearest for {comparison.best}")


def test_a_single_model_is_the_set_and_has_no_test_against_others():
    ranking, comparison = board(["b_good"])
    assert ranking.select("in_confidence_set", "set_p_value", "superior_p_value", "on_front").row(0) == (
        True,
        1.0,
        None,
        True,
    )
    assert describe_ranking(ranking, comparison) == "b_good is the only model"


def test_the_front_holds_what_nothing_beats_in_loss_error_and_latency():
    losses = {"b_good": judged(0.8)[0], "a_weak": judged(0.1)[0]}
    excess = {name: replace(found.excess["after"], excess=0.01) for name, found in losses.items()}
    even = {name: replace(found, excess={**found.excess, "after": excess[name]}) for name, found in losses.items()}
    comparison = compared(list(even))
    fronts = {}
    for latency in (None, 1.0):
        searches = {"b_good": replace(no_search(), latency_ms=5.0), "a_weak": replace(no_search(), latency_ms=latency)}
        ranking = rank_models(even, comparison, searches)
        fronts[latency] = sorted(ranking.filter("on_front")["model"])
    assert fronts == {None: ["b_good"], 1.0: ["a_weak", "b_good"]}


def test_a_miscalibrated_model_is_refused_and_stands_last():
    names = ["b_good", "c_noisy"]
    judgements = {name: judged(KNOWN[name])[0] for name in names}
    best = board(names)[0]["model"][0]
    first, *rest = judgements[best].cells
    judgements[best] = replace(judgements[best], cells=(replace(first, verdict="failed"), *rest))
    ranking = rank_models(judgements, compared(names), dict.fromkeys(names, no_search()))
    last = ranking.row(-1, named=True)
    assert (last["model"], last["verdict"], last["fit_to_serve"], last["failed_cells"]) == (best, REFUSED, False, 1)


def test_the_picture_shows_set_and_front():
    ranking, _ = board(list(KNOWN))
    picture = draw_ranking(ranking)
    assert picture.startswith(b"\x89PNG")
    assert picture == draw_ranking(ranking)
    assert picture != draw_ranking(ranking.with_columns(in_confidence_set=pl.lit(value=False)))
    assert picture != draw_ranking(ranking.with_columns(on_front=pl.lit(value=False)))


def test_models_of_other_decisions_are_refused():
    losses = judged(0.8)[1]
    with pytest.raises(EvaluationError, match="share no test decision"):
        compare_models(
            {"a": losses, "b": losses.with_columns(pl.col("sample") + 10**6)}, 10, 0.1, replicates=100, seed=0
        )


DRAWN = {"replicates": 300, "seed": 1}


def study(trials: int, days: int) -> tuple[pl.DataFrame, np.ndarray]:
    losses = np.random.default_rng(3).standard_normal((days, trials))
    rows = [
        (trial, date(2024, 1, 1) + timedelta(days=day), float(losses[day, trial]), 48)
        for trial in range(trials)
        for day in range(days)
    ]
    schema = {"trial": pl.Int64, "day": pl.Date, "log_loss": pl.Float64, "samples": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row"), losses


def test_a_search_of_enough_trials_and_days_tells_how_likely_its_choice_was_luck():
    daily, losses = study(12, 24)
    trials = pl.DataFrame({"index": range(12), "latency_ms": [float(number) for number in range(12)]})
    found = judge_search(daily.sample(fraction=1, shuffle=True, seed=0), trials, 7, PARAMETERS.comparison, **DRAWN)
    assert found.probability == pytest.approx(probability_of_overfitting(losses, 8).probability)
    assert (found.trials, found.days, found.latency_ms) == (12, 24, 7.0)
    assert "Probability of overfitting" in found.sentence
    assert found.may_be_best == tuple(range(12))  # of noise every trial may be the best
    assert found.superior_p is not None
    assert found.superior_p > 0.05
    assert SearchHonesty.from_dict(found.as_dict()) == found


@pytest.mark.parametrize(("trials", "days"), [(2, 24), (12, 3), (0, 0)])
def test_a_short_search_says_what_it_lacks(trials: int, days: int):
    found = judge_search(
        study(trials, days)[0], pl.DataFrame({"index": range(trials)}), None, PARAMETERS.comparison, **DRAWN
    )
    assert found.probability is None
    assert "10 and 8 are needed" in found.sentence


def test_trials_that_are_clearly_worse_or_better_are_told_apart_by_their_days():
    daily = study(12, 24)[0]
    better = pl.when(pl.col("trial").is_in([4, 9])).then(-2.0).otherwise(0.0)
    losses = daily.with_columns(log_loss=pl.col("log_loss") * 0.2 + better)
    found = judge_search(losses, pl.DataFrame({"index": range(12)}), 4, PARAMETERS.comparison, **DRAWN)
    assert found.may_be_best is not None
    assert set(found.may_be_best) <= {4, 9}
    assert found.superior_p is not None
    assert found.superior_p < 0.02
    assert f"; {len(found.may_be_best)} of 12 trials may be the best; against the configured values" in found.sentence
    without = losses.filter(pl.col("trial") != 0)
    assert judge_search(without, pl.DataFrame(), None, PARAMETERS.comparison, **DRAWN).superior_p is None


def test_trials_that_lack_a_day_do_not_count():
    daily = study(12, 24)[0].filter(~((pl.col("trial") == 3) & (pl.col("day") == date(2024, 1, 5))))
    assert judge_search(daily, pl.DataFrame({"index": range(12)}), 0, PARAMETERS.comparison, **DRAWN).trials == 11


def test_an_odd_number_of_groups_is_refused():
    with pytest.raises(ValidationError, match="even number"):
        ComparisonParameters(set_level=0.1, overfitting_groups=7, minimum_trials=10, kept_versions=2)
