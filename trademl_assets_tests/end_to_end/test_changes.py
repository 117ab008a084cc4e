"""A changed parameter makes exactly what depends on it again; everything else keeps its files as they are."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from trademl_assets_tests.end_to_end.deployed import KEY, Site
from trademl_assets_tests.orchestration.conftest import order_book_steps

pytestmark = pytest.mark.end_to_end

CLEANED = frozenset(
    f"{asset}/2024-01-06|{name}"
    for asset in ("raw_depth", "book_snapshots")
    for name in ("LEADUSDT", "FOLAUSDT", "FOLBUSDT")
)
"""What cleaning concerns: the day that is read as tall rows, which are brought back for it."""


def made(site: Site, before: Mapping[str, tuple[str, int]]) -> set[str]:
    return {place for place, written in site.written().items() if written != before.get(place)}


@pytest.mark.parametrize(
    ("section", "change", "remade", "other_content"),
    [
        pytest.param(
            "evaluation",
            {"significance_level": 0.04, "interval_confidence": 0.9},
            {f"model_evaluation/{KEY}", "leaderboard/demo"},
            {f"model_evaluation/{KEY}", "leaderboard/demo"},
            id="judgement",
        ),
        pytest.param("order_book", order_book_steps(max_crossed_share=0.02), CLEANED, frozenset(), id="quality"),
        pytest.param(
            "training",
            {"max_epochs": 1},
            {f"{asset}/{KEY}" for asset in ("hyperparameter_study", "trained_model", "calibrated_model")}
            | {f"model_evaluation/{KEY}", "leaderboard/demo"},
            {f"{asset}/{KEY}" for asset in ("hyperparameter_study", "trained_model", "calibrated_model")}
            | {f"model_evaluation/{KEY}", "leaderboard/demo"},
            id="training",
        ),
    ],
)
def test_a_changed_parameter_makes_exactly_what_depends_on_it_again(
    copied: Callable[[], Site], section: str, change: Mapping[str, Any], remade: set[str], other_content: set[str]
):
    site = copied()
    written, hashes = site.written(), site.hashes()
    site.change(section, change)
    told = site.run("trademl", "run", "demo").stdout
    assert made(site, written) == remade, told
    assert {place for place, value in site.hashes().items() if value != hashes[place]} == other_content
    assert f"{len(remade)} partition(s) made, {len(hashes) - len(remade)} up to date" in told
    if f"model_evaluation/{KEY}" in remade:
        changed = json.loads(site.run("trademl", "compare", "demo/dual_channel", "--json").stdout)
        assert [each["key"] for each in changed["configuration"]] == sorted(f"{section}.{name}" for name in change)
        assert (changed["before"], changed["after"]) == ("demo/dual_channel@1", "demo/dual_channel@2")
        page = site.store.read_bytes("leaderboard", "demo", "page").decode()
        assert "demo/dual_channel@1 → demo/dual_channel@2" in page
