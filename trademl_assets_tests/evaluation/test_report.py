"""The report page stands alone, is equal for equal input, and cannot be made to run foreign text."""

import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix

from trademl_assets.datasets.label_kinds import interval_names
from trademl_assets.evaluation.ageing import Ageing, measure_ageing
from trademl_assets.evaluation.judge import judge_model
from trademl_assets.evaluation.money import Book, judge_money
from trademl_assets.evaluation.money_results import Money
from trademl_assets.evaluation.plots import LearningCurve
from trademl_assets.evaluation.report import LineageRow, ReportMaterial, render_report
from trademl_assets.evaluation.report_sections import class_accuracies
from trademl_assets.evaluation.search_honesty import no_search
from trademl_assets.tuning.history import draw_history
from trademl_assets_tests.end_to_end.browser import Browser
from trademl_assets_tests.evaluation.examples import EDGES_BPS, Example, evaluation_parameters, make_example
from trademl_assets_tests.evaluation.test_ageing import recipe

EVIL = "<script>alert('x')</script>"
VOID = {"meta", "img", "link", "br", "hr"}
TRIALS = pl.DataFrame(
    {
        "index": [0, 1, 2],
        "state": ["complete", "complete", "failed"],
        "failure": [None, None, "loss is not finite"],
        "loss": [1.31, 1.30, None],
        "best_so_far": [1.31, 1.30, 1.30],
        "configured": [True, False, False],
        "on_front": [False, True, False],
        "training.learning_rate": [3e-3, 7.2e-4, 1e-2],
    }
)


PARTS = ("train", "validation", "calibration", "test")


def _worth(example: Example, predictions: pl.DataFrame, days: tuple[int, ...]) -> tuple[Ageing, Money]:
    """Ageing and money of an example, with a book of one spread and one depth."""
    parameters = evaluation_parameters()
    number = pl.col("part").replace_strict(PARTS, range(len(PARTS)), return_dtype=pl.Int64)
    regime = pl.when(pl.col("t0").dt.day() % 2 == 0).then(pl.lit("bull")).otherwise(pl.lit("bear"))
    ageing = measure_ageing(
        predictions.with_columns(regime=regime),
        example.index.with_columns(block=number),
        recipe([(part, "", length) for part, length in zip(PARTS, days, strict=True)]),
        parameters=parameters.ageing,
        baselines=parameters.baselines,
        resampling=parameters.resampling,
    )
    tests = predictions.filter(pl.col("part") == "test").height
    book = Book(np.full(tests, 2.0), np.full((tests, 2, 1), 50_000.0))
    return ageing, judge_money(predictions, example.index, book, parameters.money, parameters.resampling)


def _page(*, days=(24, 4, 4, 8), empty: bool = False, text: str = "plain", worth=None) -> str:
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
        for part in PARTS
    }
    material = ReportMaterial(
        experiment=text,
        model=text,
        target=text,
        horizon="30 min",
        class_distribution=counts,
        learning_curves=() if empty else (LearningCurve(text, (1.5, 1.4), (1.5, 1.45), 1),),
        trials=TRIALS.clear() if empty else TRIALS.with_columns(choice=pl.lit(text)),
        study_pictures={} if empty else {"history": draw_history(TRIALS), "pruning": draw_history(TRIALS)},
        study_note=text,
        search=no_search(),
        lineage=(LineageRow(text, text, "ab" * 32, "1"),),
        configuration=text,
    )
    ageing, money = worth or _worth(example, found.table, days)
    return render_report(judgement, found.table, material, ageing=ageing, money=money)


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
    assert structure.seen.count("img") == 11
    assert all(source.startswith("data:image/png;base64,") for source in structure.sources)
    assert not re.search(r"https?://|url\(|@import", page)


def test_equal_input_gives_equal_pages(page):
    assert _page() == page


def test_the_page_leads_with_the_verdict_and_holds_what_it_promises(page):
    assert page.index('class="verdict good"') < page.index("<h2>")
    for part in ("Share of the best possible", "scaled-return prior", "385", "ab" * 32, "0.00072", "(configured)"):
        assert part in page


def test_everything_below_the_verdict_is_folded_behind_a_line_that_says_what_was_found(page):
    titles = re.findall(r"<summary><h2>(.*?)</h2><span class=\"finding\">(.+?)</span></summary>", page)
    named = dict(titles)
    assert page.count("<details") == len(titles) == 12
    assert "against 7 of 7 baselines" in named["Skill against the baselines"]
    assert "1 passed, 0 failed, 5 not judged (support)" in named["Are the probabilities honest?"]
    assert "90% promised" in named["Sets that hold the truth"]
    assert "half-life" in named["How it ages"]
    assert "break even at" in named["Money"]
    assert "<p>Fit to serve. With 8 days of test data a gain below" in page
    assert "No search: there was no choice among trials." in page


def test_the_sections_hold_their_tables(page):
    cells = page[page.index('<table class="cells">') :]
    cells = cells[: cells.index("</table>")]
    assert (cells.count(">passed<"), cells.count(">not judged<")) == (1, 5)
    for text in ("the spread", "50000", "held when acting", "by regime", "bull", "AUC", "area under the ROC curve"):
        assert text in page


def test_accuracy_of_a_class_is_that_of_telling_it_from_all_others(page):
    generator = np.random.default_rng(0)
    truth, told = generator.integers(4, size=(2, 500))
    own = class_accuracies(confusion_matrix(truth, told).tolist())
    assert own == pytest.approx([accuracy_score(truth == number, told == number) for number in range(4)])
    assert "Accuracy of a class: held against all others." in page


def test_every_regime_has_its_scores(page):
    assert "By regime, test part after calibration" in page
    table = page[page.index("By regime, test part") :]
    table = table[: table.index("</table>")]
    assert "<td>unknown</td>" in table
    assert "directional accuracy" in table


def test_a_day_to_train_again_leads_where_the_gain_decays():
    days = (5, 1, 1, 2)
    example = make_example(days=days)
    ageing, money = _worth(example, example.calibrated(evaluation_parameters()).table, days)
    half_life = replace(ageing.half_life, verdict="decays", days=30.0, retrain_by="2024-03-01")
    page = _page(days=days, worth=(replace(ageing, half_life=half_life), money))
    assert page.index("<b>2024-03-01</b>") < page.index("<h2>") < page.index("Train again by 2024-03-01.")


def test_a_model_judged_in_hindsight_that_would_not_have_traded_has_a_page():
    days = (5, 1, 1, 2)
    example = make_example(days=days)
    ageing, money = _worth(example, example.calibrated(evaluation_parameters()).table, days)
    none = tuple(
        replace(each, trades=0, gross_bps=None, break_even_spreads=None, hit_rate=None, after=(), capacity=())
        for each in money.thresholds
    )
    hindsight = replace(ageing, half_life=None, curve=(), regimes=())
    page = _page(days=days, worth=(hindsight, replace(money, thresholds=none)))
    assert "judged in hindsight alone" in page
    assert "Capacity" not in page


def test_foreign_text_is_shown_and_never_run():
    page = _page(text=EVIL)
    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;") >= 9


def test_a_page_without_study_curves_or_optimum_is_whole():
    page = _page(days=(5, 1, 1, 2), empty=True)
    assert "Too little data to calibrate or judge" in page
    assert "Uncalibrated:" in page
    assert "<p>Not fit to serve. With 2 days" in page
    assert "too few independent labels to carry a conclusion" in page
    assert "Share of the best possible" not in page
    assert page.count("<img") == 8


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no Chromium on this machine to look with")
def test_a_browser_opens_the_page_offline_without_complaint(page, tmp_path):
    file = tmp_path / "report.html"
    file.write_text(page)
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]
    done = subprocess.run([*command, file.as_uri()], capture_output=True, text=True, timeout=60, check=True)
    assert "Skill against the baselines" in done.stdout
    assert "CONSOLE" not in done.stderr


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no Chromium on this machine to look with")
def test_the_page_fits_wide_and_narrow_windows(page, tmp_path):
    file = tmp_path / "report.html"
    file.write_text(page)
    with Browser(tmp_path / "profile") as browser:
        assert all(browser.overflow(file.as_uri(), width) <= 0 for width in (1280, 390))
