"""The leaderboard's page: what changed, what ablations lose, and that it can be read in wide and narrow windows."""

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from trademl_assets.evaluation.ablations import AblationStudy, study_ablations
from trademl_assets.evaluation.changes import Changes, compare_versions
from trademl_assets.evaluation.comparison import Comparison
from trademl_assets.evaluation.leaderboard import rank_models
from trademl_assets.evaluation.leaderboard_page import render_leaderboard
from trademl_assets.evaluation.search_honesty import no_search
from trademl_assets_tests.end_to_end.browser import Browser
from trademl_assets_tests.evaluation.examples import make_example
from trademl_assets_tests.evaluation.test_ablations import compared_model
from trademl_assets_tests.evaluation.test_changes import RESAMPLING, version
from trademl_assets_tests.evaluation.test_leaderboard import judged

LEGIBLE_PIXELS = 700


def page(changes: Mapping[str, Changes], ablations: AblationStudy | None = None) -> str:
    comparison = Comparison({"one": 1.0}, frozenset({"one"}), "", None, "", 200)
    ranking = rank_models({"one": judged(0.8)[0]}, comparison, {"one": no_search()})
    return render_leaderboard("demo", ranking, "one is the only model", changes, ablations=ablations, confidence=0.95)


@cache
def ablated(*, planted: bool) -> AblationStudy:
    """A model that knows 0.9 of the drift, and one that knows half of it and may read returns alone."""
    days = (24, 4, 4, 4)
    compared = {
        name: compared_model(make_example(known=known, days=days), ceiling=ceiling, planted=planted)
        for name, known, ceiling in (("one", 0.9, "optimum"), ("returns_only_named_at_length", 0.5, "returns_only"))
    }
    return study_ablations(
        compared,
        {"returns_only_named_at_length": "one"},
        288.0,
        minimum_attainable_nats=1e-4,
        replicates=200,
        confidence=0.95,
        seed=3,
    )


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no Chromium on this machine to look with")
def test_it_fits_wide_and_narrow_windows_and_a_browser_does_not_complain(tmp_path: Path):
    later = replace(version(0.1), number=2, configuration={"model.width": 4})
    file = tmp_path / "leaderboard.html"
    file.write_text(page({"one": compare_versions(version(), later, RESAMPLING)}, ablated(planted=True)))
    with Browser(tmp_path / "profile") as browser:
        for width in (1280, 390):
            assert browser.overflow(file.as_uri(), width) <= 0
            assert browser.shown_width("img.legible") > LEGIBLE_PIXELS
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]
    done = subprocess.run([*command, file.as_uri()], capture_output=True, text=True, timeout=60, check=True)
    assert "What changed since the evaluation before" in done.stdout
    assert "CONSOLE" not in done.stderr


def test_it_tells_what_changed_and_runs_no_foreign_text():
    evil = "<script>alert('x')</script>"
    later = replace(version(0.1), number=2, configuration={"training.max_epochs": evil, "model.width": 4})
    told = page({"one": compare_versions(version(), later, RESAMPLING)})
    assert "<script" not in told
    assert told.count("&lt;script&gt;") == 1
    assert told.index("one is the only model") < told.index("What changed since the evaluation before")
    for text in ("demo/one@1 → demo/one@2", "training.max_epochs", "95% paired interval", ", clear; 1 configured"):
        assert text in told
    alone = page({})
    assert "Every model was evaluated once so far." in alone
    assert alone == page({})


def test_ablations_stand_under_the_model_they_follow_each_against_its_own_ceiling():
    study = ablated(planted=True)
    told = page({}, study)
    whole, less = study.table.to_dicts()
    assert less["ceiling"] < whole["ceiling"] == 1
    assert told.index("models side by side") < told.index("Ablations:") < told.index("What changed since")
    assert told.count("<img") == 2
    for row, place in ((whole, "text"), (less, "text under")):
        cells = told.split(f'<td class="{place}">{row["model"]}</td>')[-1].split("</tr>")[0]
        assert f"<td>{row['share'] / row['ceiling']:.1%}</td>" in cells
        assert f"<td>{row['ceiling']:.3f}</td>" in cells
    assert f"{less['share_lost']:.3f} [{less['share_lost_low']:.3f}, {less['share_lost_high']:.3f}]" in told
    assert "<li>returns_only_named_at_length against one: lost +0." in told


def test_on_a_real_market_ablations_have_no_ceilings_and_without_any_there_is_no_section():
    told = page({}, ablated(planted=False))
    assert "Ablations:" in told
    assert "ceiling" not in told
    assert "lost, nats" in told
    assert "Ablations:" not in page({})
