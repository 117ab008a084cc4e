"""The rule of the verdict, condition by condition."""

import pytest

from trademl_assets.evaluation.significance import DieboldMariano
from trademl_assets.evaluation.skill import Skill
from trademl_assets.evaluation.verdict import decide
from trademl_assets.scoring.calibration import Calibration

CALIBRATION = Calibration("temperature", 1.1, "", 150.0, 900, 100.0, 1.31, 1.3)


def _skill(difference: float = 0.1, low: float = 0.05, p_value: float = 0.001) -> Skill:
    test = DieboldMariano(3.0, p_value, 5, "rectangular")
    return Skill("volatility prior", 1.5, difference, low, difference + 0.1, difference / 1.5, test, 0.05)


def _decide(*references: Skill) -> tuple[str, str]:
    return decide(
        CALIBRATION,
        300.0,
        8.0,
        references,
        minimum_effective_test=100,
        minimum_blocks=5,
        significance_level=0.05,
        confidence=0.95,
    )


@pytest.mark.parametrize(
    ("references", "verdict"),
    [
        ((_skill(), _skill()), "skill"),
        ((_skill(), _skill(low=-0.001)), "no skill"),
        ((_skill(low=0.0), _skill()), "no skill"),
        ((_skill(), _skill(p_value=0.05)), "no skill"),
        ((_skill(difference=-0.1, low=-0.2, p_value=0.99),), "no skill"),
    ],
)
def test_skill_needs_interval_and_test_against_every_reference(references, verdict):
    assert _decide(*references)[0] == verdict


def test_the_sentence_speaks_of_the_reference_that_is_harder_to_beat():
    assert "log-loss 0.0300 nats below" in _decide(_skill(0.1), _skill(0.03, 0.01))[1]
    assert "log-loss 0.1000 nats above" in _decide(_skill(-0.1, -0.2, 0.99))[1]
    assert "p < 0.0001," in _decide(_skill(p_value=1e-9))[1]
