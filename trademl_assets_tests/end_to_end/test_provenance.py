"""The chain of a model that was really trained, as its user asks for it."""

import json

import pytest

from trademl_assets_tests.end_to_end.deployed import KEY, Site

pytestmark = pytest.mark.end_to_end


def test_the_chain_of_a_judged_model_and_of_its_prediction_file_is_whole(finished: Site):
    document = json.loads(finished.run("trademl", "provenance", "demo/dual_channel", "--json").stdout)
    assert (document["intact"], document["target"]) == (True, f"model_evaluation/{KEY}")
    hashes = finished.hashes()
    assert all(hashes[f"{link['asset']}/{link['partition']}"] == link["content_hash"] for link in document["links"])
    assert {link["asset"] for link in document["links"] if not link["upstream"]} == {
        "raw_depth",
        "book_snapshots",
        "daily_aggregates",
    }
    predictions = finished.store.file_path("calibrated_model", KEY, "predictions")
    told = finished.run("trademl", "provenance", str(predictions)).stdout
    assert f"calibrated_model/{KEY}: " in told
    assert "intact: every hash fits" in told
