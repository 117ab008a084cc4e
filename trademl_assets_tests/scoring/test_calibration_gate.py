"""Planted miscalibration is repaired; the gate lets a perfect model pass at any size and refuses a distorted one."""

import numpy as np
import pytest
from scipy.special import softmax

from trademl_assets.scoring.calibration import calibrate
from trademl_assets.scoring.calibration_gate import GateParameters, holm, judge_calibration
from trademl_assets.scoring.excess import excess_calibration_error
from trademl_assets_tests.scoring.limits import calibration_parameters

GATE = GateParameters(minimum_effective=200, level=0.02, tolerated_excess=0.01, replicates=200)
STEP = 1_000_000


def draw(seed: int, rows: int, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    logits = 1.2 * generator.standard_normal((rows, classes))
    below = softmax(logits, axis=1).cumsum(axis=1) < generator.random((rows, 1))
    return logits, below.sum(axis=1).clip(max=classes - 1)


def judge(logits: np.ndarray, labels: np.ndarray, seed: int = 0, regimes=("calm", "wild")):
    starts = np.arange(len(labels)) * STEP
    names = np.resize(np.repeat(regimes, -(-len(labels) // len(regimes))), len(labels))
    return judge_calibration(softmax(logits, axis=1), labels, (starts, starts + STEP), names, GATE, seed=seed)


@pytest.mark.parametrize("distortion", [1.5, 1.0, 0.6])
def test_the_band_of_fifty_thousand_labels_holds_zero_after_calibration(distortion: float):
    logits, labels = draw(1, 100_000)
    seen, asked = slice(0, 50_000), slice(50_000, 100_000)
    fitted = calibrate(distortion * logits[seen], labels[seen], 50_000, calibration_parameters(
        minimum_effective={"temperature": 100.0}))  # fmt: skip
    starts = np.arange(50_000) * STEP
    before, after = (
        excess_calibration_error(each, labels[asked], (starts, starts + STEP), replicates=200, confidence=0.95, seed=2)
        for each in (softmax(distortion * logits[asked], axis=1), fitted.apply(distortion * logits[asked]))
    )
    assert after.low <= 0 <= after.high
    assert (before.low > 0) == (distortion != 1.0)


@pytest.mark.parametrize("rows", [60, 250, 1500])
def test_a_perfect_model_passes_ninety_five_times_in_a_hundred_at_any_size(rows: int):
    passed = sum(
        all(cell.verdict != "failed" for cell in judge(*draw(seed, rows), seed=1000 + seed)) for seed in range(100)
    )
    assert passed >= 95


@pytest.mark.parametrize(("rows", "least"), [(1000, 15), (3000, 20)])
def test_a_temperature_of_one_and_a_half_fails(rows: int, least: int):
    failed = 0
    for seed in range(20):
        logits, labels = draw(seed, rows)
        failed += any(cell.verdict == "failed" for cell in judge(1.5 * logits, labels))
    assert failed >= least


def test_cells_without_support_are_told_and_not_judged():
    cells = judge(*draw(3, 500))
    assert len(cells) == 3 * 5
    silent = {(cell.regime, cell.target) for cell in cells if cell.verdict == "not judged (support)"}
    assert ("all", "top label") not in silent
    assert ("calm", "0") in silent
    assert all(cell.adjusted == 1 for cell in cells if cell.verdict == "not judged (support)")
    whole = judge(*draw(3, 150))
    assert {cell.verdict for cell in whole} == {"not judged (support)"}


def test_a_single_regime_is_all_of_them_and_counts_once():
    logits, labels = draw(5, 3000)
    alone = judge(1.3 * logits, labels, regimes=("calm",))
    assert [cell.regime for cell in alone] == ["all"] * 5
    raised = np.array([cell.adjusted for cell in alone])
    assert raised.tolist() == pytest.approx(holm(np.array([cell.p_value for cell in alone])).tolist())
    together = {cell.target: cell for cell in judge(1.3 * logits, labels) if cell.regime == "all"}
    assert [cell.excess for cell in alone] == pytest.approx([together[cell.target].excess for cell in alone])


def test_a_regime_that_is_distorted_is_named():
    logits, labels = draw(4, 6000)
    bent = logits * np.where(np.arange(6000) < 3000, 1.0, 2.5)[:, None]
    failed = {cell.regime for cell in judge(bent, labels) if cell.verdict == "failed"}
    assert "wild" in failed
    assert "calm" not in failed


def test_observed_and_expected_agree_with_the_top_label_excess():
    logits, labels = draw(5, 3000)
    starts = np.arange(3000) * STEP
    single = excess_calibration_error(
        softmax(logits, axis=1), labels, (starts, starts + STEP), replicates=400, confidence=0.95, seed=1
    )
    (cell,) = (cell for cell in judge(logits, labels) if (cell.regime, cell.target) == ("all", "top label"))
    assert cell.observed == pytest.approx(single.observed)
    assert cell.excess == pytest.approx(single.excess, abs=0.002)


def test_holm_raises_by_the_number_that_remain_and_never_falls():
    assert holm(np.array([0.01, 0.04, 0.03])).tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert holm(np.array([0.9, 0.8])).tolist() == [1.0, 1.0]
