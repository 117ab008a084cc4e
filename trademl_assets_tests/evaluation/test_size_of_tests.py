"""Tests hold their level where volatility comes in clusters and the gains follow it; a subset of the certification."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.certify_tests import LIMIT, MARKETS, draw, rejections
from trademl_assets.evaluation.long_run import memory_rows
from trademl_assets.evaluation.significance import diebold_mariano

IN_DAYS, FOLLOWING = MARKETS[2], MARKETS[3]
SIZES = {"days": 60, "a_day": 24, "overlap": 2}


def test_noise_whose_volatility_comes_in_days_is_rejected_at_about_the_level():
    found = rejections(IN_DAYS, replicates=120, **SIZES)
    assert max(found[name] for name in ("DM", "SPA", "MCS")) <= LIMIT, found
    assert found["mean PBO"] == pytest.approx(0.5, abs=0.1)


def test_gains_that_follow_the_volatility_do_not_pass_for_skill():
    market = replace(FOLLOWING, follows=0.2)  # of fewer decisions a day, so that a day is told apart as well
    gains = [losses[:, 0] - losses[:, 1] for losses in draw(market, replicates=1000, **SIZES)]
    careful, plain = (
        np.mean([diebold_mariano(each, 2, block).p_value < 0.05 for each in gains]) for block in (24, None)
    )
    assert careful <= LIMIT < plain


def test_what_lasts_longer_than_a_block_is_found():
    generator = np.random.default_rng(0)
    slow = np.zeros(120)
    for day in range(1, 120):
        slow[day] = 0.8 * slow[day - 1] + generator.standard_normal()
    noise = generator.standard_normal((120 * 24, 1))
    assert memory_rows(noise, 24) < 4 * 24 < memory_rows(noise + np.repeat(slow, 24)[:, None], 24) <= 120 * 24 / 4
    assert memory_rows(noise[: 8 * 24], 24) == 24
    assert memory_rows(np.zeros((480, 2)), 24) == 24
