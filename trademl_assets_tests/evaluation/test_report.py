"""The report page stands alone, is equal for equal input, and cannot be made to run foreign text."""

import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import polars as pl
import pytest

from trademl_assets.datasets.label_kinds import interval_names
from trademl_assets.evaluation.judge import judge_model
from trademl_assets.evaluation.plots import LearningCurve
from trademl_assets.evaluation.report import LineageRow, ReportMaterial, render_report
from trademl_assets_tests.evaluation.examples import EDGES_BPS, evaluation_parameters, make_example

EVIL = "<script>alert('x')</script>"
VOID = {"meta", "img", "link", "br", "hr"}
TRIALS = pl.DataFrame(
    {
        "index": [0, 1, 2],
        "loss": [1.31, 1.30, None],
        "state": ["complete", "complete", "failed"],
        "best_so_far": [1.31, 1.30, 1.30],
        "configured": [True, False, False],
        "training.learning_rate": [3e-3, 7.2e-4, 1e-2],
    }
)


def _page(*, days=(24, 4, 4, 8), empty: bool = False, text: str = "plain") -> str:
    parameters, example = evaluation_parameters(), make_example(days=days)
    found = example.calibrated(parameters)
    optimum = None if empty else example.optimum
    judgement = judge_model(
        found.table,
        example.index,
        EDGES_BPS,
        found.calibration,
        parameters,
        class_names=interval_names(np.asarray(EDGES_BPS)),
        optimum=optimum,
    )
    counts = {
        str(part): np.bincount(example.index.filter(pl.col("part") == part)["label"], minlength=5).tolist()
        for part in ("train", "validation", "calibration", "test")
    }
    material = ReportMaterial(
        experiment=text,
        model=text,
        target=text,
        horizon="30 min",
        class_distribution=counts,
        learning_curves=() if empty else (LearningCurve(text, (1.5, 1.4), (1.5, 1.45), 1),),
        trials=TRIALS.clear() if empty else TRIALS.with_columns(choice=pl.lit(text)),
        study_note=text,
        lineage=(LineageRow(text, text, "ab" * 32, "1"),),
        configuration=text,
    )
    return render_report(judgement, found.table, material)


@pytest.fixture(scope="module")
def page() -> str:
    return _page()


class _Structure(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.seen, self.sources = [], [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        self.sources += [value for name, value in attrs if name in {"src", "href"}]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_well_formed_and_stands_alone(page):
    structure = _Structure()
    structure.feed(page)
    assert structure.open == []
    assert "script" not in structure.seen
    assert structure.seen.count("img") == 8
    assert all(source.startswith("data:image/png;base64,") for source in structure.sources)
    assert not re.search(r"https?://|url\(|@import", page)


def test_equal_input_gives_equal_pages(page):
    assert _page() == page


def test_the_page_leads_with_the_verdict_and_holds_what_it_promises(page):
    assert page.index('class="verdict good"') < page.index("<h2>")
    for part in ("Share of the best possible", "scaled-return prior", "385", "ab" * 32, "0.00072", "(configured)"):
        assert part in page


def test_foreign_text_is_shown_and_never_run():
    page = _page(text=EVIL)
    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;") >= 9


def test_a_page_without_study_curves_or_optimum_is_whole():
    page = _page(days=(5, 1, 1, 2), empty=True)
    assert "Too little data to calibrate or judge" in page
    assert "Uncalibrated:" in page
    assert "too few independent labels to carry a conclusion" in page
    assert "Share of the best possible" not in page
    assert page.count("<img") == 6


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no Chromium on this machine to look with")
def test_a_browser_opens_the_page_offline_without_complaint(page, tmp_path):
    file = tmp_path / "report.html"
    file.write_text(page)
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]
    done = subprocess.run([*command, file.as_uri()], capture_output=True, text=True, timeout=60, check=True)
    assert "Skill against the baselines" in done.stdout
    assert "CONSOLE" not in done.stderr
