"""A model that was really trained, judged on days of its own by the job, as Dagster's command runs it."""

import json
from collections.abc import Callable

import numpy as np
import pytest

from trademl_assets_tests.end_to_end.deployed import KEY, Site

pytestmark = pytest.mark.end_to_end


def evaluate(site: Site, first: str, last: str, **config: object) -> str:
    chosen = {"model": KEY, "first_day": first, "last_day": last, **config}
    file = site.root / "period.yaml"
    file.write_text(json.dumps({"ops": {"evaluate_period": {"config": chosen}}}))
    module = ("-m", "trademl_assets.definitions", "-j", "evaluate_period_job")
    return str(site.run("dagster", "job", "execute", *module, "--config", str(file)).stdout)


def test_a_period_within_the_test_block_gives_the_predictions_that_are_stored(copied: Callable[[], Site]):
    site = copied()
    datasets = site.store.partitions("dataset")
    evaluate(site, "2024-01-05", "2024-01-05")
    key = f"{KEY}|2024-01-05_2024-01-05"
    found = site.store.read_table("period_evaluation", key, "predictions").filter(part="test")
    stored = site.store.read_table("calibrated_model", KEY, "predictions").filter(part="test")
    both = found.join(stored, on="t0", suffix="_stored")
    assert both.height == found.height > 200
    for name in (name for name in found.columns if name.startswith(("before_", "after_"))):
        assert np.abs((both[name] - both[f"{name}_stored"]).to_numpy()).max() < 1e-5
    assert both["label"].equals(both["label_stored"].rename("label"))
    assert site.store.partitions("dataset") == datasets, "streams of the period do not stay"
    assert site.store.require("period_evaluation", key).notes["hindsight"] is False
    assert "2024-01-05 to 2024-01-05" in site.store.read_bytes("period_evaluation", key, "report").decode()
    names = {run.info.run_name for run in site.tracked()["binance-model-training"]}
    assert "FOLAUSDT_30min_dual_channel_period_v1_2024-01-05_to_2024-01-05" in names
    told = json.loads(site.run("trademl", "provenance", f"period_evaluation/{key}", "--json").stdout)
    assert told["intact"]
    evaluate(site, "2024-01-04", "2024-01-05", hindsight=True)
    assert site.store.require("period_evaluation", f"{KEY}|2024-01-04_2024-01-05").notes["hindsight"] is True
