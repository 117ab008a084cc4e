"""An ablation study finds what was planted: what each reading allows, what each ablation lost, and noise as noise."""

import numpy as np
import polars as pl
import pytest

from trademl_assets.evaluation.ablation_plots import draw_ablations
from trademl_assets.evaluation.ablations import (
    SCHEMA,
    Compared,
    describe_ablations,
    study_ablations,
    tabulate_divergences,
)
from trademl_assets.evaluation.best_possible import judge_against_optimum
from trademl_assets.evaluation.comparison import decision_losses
from trademl_assets.foundation.errors import EvaluationError
from trademl_assets.scoring.predictions import class_columns
from trademl_assets_tests.evaluation.examples import EDGES_BPS, Example, evaluation_parameters, make_example

PARAMETERS = evaluation_parameters()
BLOCK = 288.0
FOLLOWED = {"half": "whole", "same": "whole"}


def compared_model(example: Example, *, ceiling: str | None = "optimum", planted: bool = True) -> Compared:
    predictions = example.calibrated(PARAMETERS).table
    losses = decision_losses(
        predictions,
        example.index,
        classes=len(EDGES_BPS) + 1,
        boundaries_bps=EDGES_BPS.tolist(),
        parameters=PARAMETERS.baselines,
    )
    optimum = dict(example.optimum) | ({"ceiling": example.optimum[ceiling]} if ceiling else {})
    return Compared("skill", losses, tabulate_divergences(predictions, optimum) if planted else None)


def _study(compared, **changes):
    sizes = {"minimum_attainable_nats": 1e-4, "replicates": 500, "confidence": 0.95, "seed": 3} | changes
    return study_ablations(compared, FOLLOWED, BLOCK, **sizes)


@pytest.fixture(scope="module")
def compared():
    """The whole model knows 0.9 of the drift, its ablations 0.5 and, under another name, 0.9 again."""
    whole = make_example(known=0.9)
    half = compared_model(make_example(known=0.5), ceiling="returns_only")
    return {"whole": compared_model(whole), "half": half, "same": compared_model(whole)}


def test_it_tells_what_is_lost_from_chance(compared):
    rows = {row["model"]: row for row in _study(compared).table.to_dicts()}
    assert list(rows) == ["whole", "half", "same"]
    assert rows["whole"]["of"] is None
    assert rows["whole"]["lost"] is None
    assert 0 < rows["half"]["lost_low"] < rows["half"]["lost"] < rows["half"]["lost_high"]
    assert rows["half"]["lost"] == pytest.approx(rows["whole"]["gain"] - rows["half"]["gain"])
    assert [rows["same"][name] for name in ("lost", "lost_low", "lost_high", "share_lost")] == [0, 0, 0, 0]
    said = describe_ablations(_study(compared))
    assert "half against whole: lost +0." in said
    assert "of the best possible, more than chance, reaches 0." in said
    assert "same against whole: lost +0.000 [+0.000, +0.000] of the best possible, which may be chance" in said


def test_paired_intervals_are_narrower_than_those_of_two_gains_apart(compared):
    """Decisions that are hard for one are hard for the other; only the same blocks for both show that."""
    whole, half = _study(compared).table.head(2).to_dicts()
    unpaired = np.hypot(whole["gain_high"] - whole["gain_low"], half["gain_high"] - half["gain_low"])
    assert half["lost_high"] - half["lost_low"] < 0.6 * unpaired


def test_shares_and_ceilings_are_those_of_the_judgement(compared):
    example = make_example(known=0.5)
    predictions = example.calibrated(PARAMETERS).table
    rows = predictions.filter(pl.col("part") == "test").sort("t0", "sample")
    best = judge_against_optimum(
        class_columns(rows, "after"),
        rows["label"].to_numpy(),
        rows["t0"].to_physical().to_numpy(),
        example.optimum | {"ceiling": example.optimum["returns_only"]},
        minimum_attainable_nats=1e-4,
        replicates=100,
        confidence=0.95,
        seed=1,
    )
    found = _study(compared).table.row(1, named=True)
    assert best is not None
    assert (found["share"], found["ceiling"]) == (pytest.approx(best.share), pytest.approx(best.ceiling))
    assert best.ceiling == pytest.approx(best.returns_only_share)
    assert found["share_low"] < found["share"] < found["share_high"]
    assert found["ceiling_lost"] == pytest.approx(1 - best.returns_only_share)


@pytest.mark.parametrize(
    ("without", "kept"),
    [({"planted": False}, set()), ({"ceiling": None}, {"share", "share_low", "share_high"})],
    ids=["a real market", "a reading whose best forecast is not known"],
)
def test_what_is_not_known_is_left_out_and_the_rest_is_drawn(without, kept):
    example = make_example(known=0.9, days=(24, 4, 4, 4))
    study = _study(dict.fromkeys(("whole", "half", "same"), compared_model(example, **without)))
    row = study.table.row(0, named=True)
    shares = [name for name in SCHEMA if "share" in name or "ceiling" in name]
    assert {name for name in shares if row[name] is not None} == kept
    assert row["gain"] > 0
    assert draw_ablations(study).startswith(b"\x89PNG")
    assert ("nats, which" in describe_ablations(study)) == ("share" not in kept)


def test_without_signal_there_is_nothing_to_share():
    noise = compared_model(make_example(signal=0.0, days=(24, 4, 4, 4)))
    table = _study(dict.fromkeys(("whole", "half", "same"), noise)).table
    assert table["share"].null_count() == table.height
    assert (table["gain_low"] <= 0).all()


def test_models_are_compared_where_all_of_them_decided(compared):
    shorter = compared["half"]
    cut = Compared("skill", shorter.losses.head(500), shorter.divergences)
    assert _study({**compared, "half": cut}).decisions == 500
    nothing = Compared("skill", shorter.losses.with_columns(pl.col("sample") + 10**9), shorter.divergences)
    with pytest.raises(EvaluationError, match="share no test decision"):
        _study({**compared, "half": nothing})


def test_its_picture_is_drawn_and_equal_studies_give_equal_bytes(compared):
    first, second = draw_ablations(_study(compared)), draw_ablations(_study(compared))
    assert first == second
    assert first.startswith(b"\x89PNG")
    assert not np.isnan(_study(compared).table["gain"].to_numpy()).any()
