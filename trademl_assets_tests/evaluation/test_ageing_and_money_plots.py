"""Pictures of ageing and money: drawn for whole and for bare results, equal for equal input."""

from dataclasses import replace
from pathlib import Path

import pytest

from trademl_assets.evaluation.ageing_plots import draw_ageing
from trademl_assets.evaluation.money_plots import draw_money
from trademl_assets_tests.evaluation.test_ageing import ageing_of
from trademl_assets_tests.evaluation.test_money import judged, market

PNG = b"\x89PNG\r\n\x1a\n"


def test_ageing_is_drawn_the_same_way_twice(tmp_path: Path):
    ageing = ageing_of()
    picture = draw_ageing(ageing)
    assert picture.startswith(PNG)
    assert picture == draw_ageing(ageing)
    assert picture != draw_ageing(replace(ageing, regimes=()))


def test_ageing_in_hindsight_alone_is_drawn():
    assert draw_ageing(replace(ageing_of(), curve=(), regimes=(), half_life=None)).startswith(PNG)


@pytest.mark.parametrize("shares", [[0.1, 1.0], [0.5]])
def test_money_is_drawn_the_same_way_twice(shares: list[float]):
    money = judged(market(signal=0.8), trade_shares=shares)
    assert draw_money(money).startswith(PNG)
    assert draw_money(money) == draw_money(money)


def test_money_without_a_trade_is_drawn():
    money = judged(market(signal=0.8))
    none = tuple(replace(each, gross_bps=None) for each in money.thresholds)
    assert draw_money(replace(money, thresholds=none)).startswith(PNG)
