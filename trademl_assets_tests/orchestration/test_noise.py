"""Noise in, "no skill" out: a market without a signal through every stage to the verdict."""

import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from trademl_assets.evaluation.judgement import Judgement
from trademl_assets.orchestration.model_checks import FIT_TO_SERVE, VERDICT
from trademl_assets_tests.orchestration.conftest import World, make_world, tiny_configuration

KEY, LAST = "demo|dual_channel", "2024-01-09"
PLANTED = {"last_day": LAST, "drift": {"signal": 0.0}, "volatility_levels": [1.0]}
NOISE: dict[str, Any] = {
    "market": {
        "last_day": LAST,
        "depth_source": None,
        "tall_rows_from": "2024-01-10",
        "sources": {"planted": {"parameters": PLANTED}},
    },
    "datasets": {
        "demo": {
            "last_day": LAST,
            "labels": {"parameters": {"boundaries": {"kind": "fixed", "edges_bps": [-10, 10]}}},
            "split": {
                "blocks": [
                    {"part": "train", "length": "P5D"},
                    {"part": "validation", "length": "P1D"},
                    {"part": "calibration", "length": "P1D"},
                    {"part": "test", "length": "P2D"},
                ]
            },
        }
    },
    "training": {"seeds": [1], "threads": 1},
    "tuning": {"enabled": False},
    "evaluation": {
        "calibration": {"minimum_effective": {"temperature": 40}},
        "minimum_blocks": 1,
        "baselines": {"boosting": None},
    },
}


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory, empty_tracking: Path) -> World:
    root = tmp_path_factory.mktemp("noise")
    (root / "var" / "demo").mkdir(parents=True)
    shutil.copy(empty_tracking, root / "var" / "demo" / "mlflow.db")
    world = make_world(tiny_configuration(root, NOISE), dg.DagsterInstance.ephemeral())
    world.drive().run("demo")
    return world


def test_noise_is_called_noise_and_is_not_fit_to_serve(noise: World):
    judgement = Judgement.from_dict(noise.store.read_json("model_evaluation", KEY, "judgement"))
    notes = noise.store.require("model_evaluation", KEY).notes
    assert (judgement.verdict, notes[VERDICT]) == ("no skill", "no skill")
    assert (judgement.fit_to_serve, notes[FIT_TO_SERVE]) == (False, False)
    assert judgement.reference.low <= 0, "the gain over the volatility is not above chance"
    assert judgement.best is None, "there is nothing to reach"


def test_the_run_goes_on_to_a_leaderboard_that_serves_nobody(noise: World):
    table = noise.store.read_table("leaderboard", "demo")
    assert table.select("model", "verdict", "fit_to_serve").rows() == [("dual_channel", "no skill", False)]
    assert {run.status for run in noise.instance.get_runs()} == {dg.DagsterRunStatus.SUCCESS}
