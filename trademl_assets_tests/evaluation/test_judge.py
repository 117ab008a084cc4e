"""Verdicts on markets with, without and with too little signal; the optimum; the ranking; the closing words."""

import json

import numpy as np
import polars as pl
import pytest

from trademl_assets.datasets.label_kinds import interval_names
from trademl_assets.evaluation.best_possible import judge_against_optimum
from trademl_assets.evaluation.judge import decisions, judge_model
from trademl_assets.evaluation.judgement import Judgement
from trademl_assets.evaluation.summary import summarise
from trademl_assets.foundation.errors import EvaluationError
from trademl_assets.scoring.divergence import share_of_best
from trademl_assets.scoring.predictions import class_columns
from trademl_assets_tests.evaluation.examples import EDGES_BPS, Example, evaluation_parameters, make_example
from trademl_assets_tests.scoring.limits import calibration_values

PARAMETERS = evaluation_parameters()
NAMES = interval_names(np.asarray(EDGES_BPS))


def _judge(example: Example, parameters=PARAMETERS, *, with_optimum: bool = True) -> Judgement:
    found = example.calibrated(parameters)
    optimum = example.optimum if with_optimum else None
    return judge_model(
        found.table, example.index, EDGES_BPS, found.calibration, parameters, class_names=NAMES, optimum=optimum
    )


@pytest.fixture(scope="module")
def skilled() -> Judgement:
    return _judge(make_example())


def test_a_market_with_signal_shows_skill_with_figures(skilled):
    assert skilled.verdict == "skill"
    assert skilled.sentence.startswith(f"Skill: log-loss {skilled.reference.difference:.4f} nats below")
    assert "385 independent test labels" in skilled.sentence
    assert skilled.reference.low > 0
    assert [skill.baseline for skill in skilled.skills][:3] == [
        "volatility prior",
        "scaled-return prior",
        "symmetric-return prior",
    ]
    assert sum(day.samples * day.gain for day in skilled.days) / skilled.test.samples == pytest.approx(
        skilled.reference.difference
    )


def test_noise_is_seldom_called_skill():
    quick = evaluation_parameters(bootstrap_replicates=200, excess_replicates=100)
    verdicts = [_judge(make_example(signal=0.0, members=1, seed=seed), quick).verdict for seed in range(30)]
    assert verdicts.count("skill") <= 4
    assert set(verdicts) <= {"skill", "no skill"}


def test_a_model_worse_than_volatility_alone_has_no_skill():
    found = _judge(
        make_example(signal=0.0, sharpness=4.0),
        evaluation_parameters(calibration=calibration_values(lowest_temperature=1.0, highest_temperature=1.0)),
    )
    assert found.verdict == "no skill"
    assert "above the" in found.sentence


@pytest.mark.parametrize(
    ("days", "reason"),
    [
        ((10, 1, 1, 8), "49 independent calibration labels (100 needed)"),
        ((10, 1, 4, 2), "97 independent test labels (100 needed)"),
        ((10, 1, 4, 3), "3.0 independent test blocks (5 needed)"),
    ],
)
def test_too_little_data_is_said_and_why(days, reason):
    found = _judge(make_example(days=days))
    assert found.verdict == "too little data to calibrate or judge"
    assert reason in found.sentence


def test_calibration_repairs_planted_overconfidence():
    found = _judge(make_example(sharpness=2.0, days=(24, 1, 16, 8)))
    assert found.excess["before"].low > 0
    assert found.excess["after"].low <= 0 <= found.excess["after"].high
    assert found.test.after["log_loss"] < found.test.before["log_loss"]


def test_classes_that_are_not_cut_by_the_return_are_judged_against_the_class_prior():
    example = make_example()
    found = example.calibrated(PARAMETERS)
    names = ["stop", "near stop", "timeout", "near target", "target"]

    judgement = judge_model(found.table, example.index, None, found.calibration, PARAMETERS, class_names=names)

    assert judgement.class_names == tuple(names)
    assert [skill.baseline for skill in judgement.skills] == [
        "volatility prior",
        "class prior",
        "persistence",
        "random",
        "logistic regression",
    ]
    assert "directional_accuracy" not in judgement.test.after
    assert judgement.verdict == "skill"


def test_the_test_part_moves_no_baseline():
    example = make_example()
    relabelled = pl.when(pl.col("part") == "test").then(0).otherwise(pl.col("label")).cast(pl.Int8)
    found = example.calibrated(PARAMETERS)
    judged = [
        judge_model(found.table, index, EDGES_BPS, found.calibration, PARAMETERS, class_names=NAMES)
        for index in (example.index, example.index.with_columns(label=relabelled))
    ]
    for one, other in zip(judged[0].skills[:3], judged[1].skills[:3], strict=True):
        assert one == other


def test_the_share_of_the_best_possible_matches_its_definition(skilled):
    example = make_example()
    rows = decisions(example.calibrated(PARAMETERS).table)
    probabilities = class_columns(rows, "after")
    best = skilled.best
    assert best.share == pytest.approx(
        share_of_best(example.optimum["optimum"], probabilities, example.optimum["volatility"])
    )
    assert best.low < best.share < best.high
    assert best.margin == pytest.approx(best.share - best.returns_only_share)
    assert (best.days, best.margin_low < best.margin < best.margin_high) == (8, True)


def test_a_market_without_signal_has_no_share():
    assert _judge(make_example(signal=0.0)).best is None


def test_an_optimum_of_another_shape_is_refused():
    uniform = np.full((4, 5), 0.2)
    with pytest.raises(EvaluationError, match=r"'returns_only'.*found nothing"):
        judge_against_optimum(
            uniform, np.zeros(4, int), np.arange(4), {"optimum": uniform},
            minimum_attainable_nats=1e-4, replicates=100, confidence=0.95, seed=0,
        )  # fmt: skip


def test_no_test_part_is_refused():
    with pytest.raises(EvaluationError, match="test part"):
        decisions(make_example().calibrated(PARAMETERS).table.filter(pl.col("part") != "test"))


def test_a_judgement_survives_json_and_is_equal_for_equal_input(skilled):
    text = json.dumps(skilled.as_dict(), allow_nan=False)
    assert Judgement.from_dict(json.loads(text)) == skilled
    assert json.dumps(_judge(make_example()).as_dict()) == text


def test_the_summary_says_share_calibration_and_where_to_read_on(skilled):
    text = summarise("demo", "dual_channel", skilled, "var/report.html", "make ui")
    for part in (skilled.sentence, f"{skilled.best.share:.3f}", "193 independent", "var/report.html", "make ui"):
        assert part in text
    few = _judge(make_example(days=(10, 1, 1, 8)), with_optimum=False)
    assert "uncalibrated (49 independent" in summarise("demo", "m", few, "r", "u")
    assert "best possible" not in summarise("demo", "m", few, "r", "u")
