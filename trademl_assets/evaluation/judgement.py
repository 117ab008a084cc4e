"""What a judgement holds: everything that reports, checks and leaderboards say about one model, as JSON values."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pydantic import TypeAdapter

from trademl_assets.evaluation.best_possible import BestPossible
from trademl_assets.evaluation.references import VOLATILITY_REFERENCES
from trademl_assets.evaluation.regimes import RegimeScores
from trademl_assets.evaluation.skill import Dependence, Skill
from trademl_assets.evaluation.verdict import Verdict
from trademl_assets.scoring.calibration_gate import CalibrationCell
from trademl_assets.scoring.conformal import SetQuality
from trademl_assets.scoring.excess import ExcessCalibrationError


@dataclass(frozen=True)
class PartScores:
    """Scores of one held-out part.

    Attributes:
        part: Its name.
        samples: Decisions.
        effective_samples: Independent labels: covered span over horizon.
        first: First decision (ISO 8601, UTC).
        last: Last label end.
        before: Metrics before calibration.
        after: Metrics after it.
    """

    part: str
    samples: int
    effective_samples: float
    first: str
    last: str
    before: dict[str, float]
    after: dict[str, float]


@dataclass(frozen=True)
class DayGain:
    """Mean gain in log-loss over the reference on one test day (UTC), nats a decision."""

    day: str
    samples: int
    gain: float


@dataclass(frozen=True)
class Judgement:
    """Everything that was found about one model; all fields are JSON values through `as_dict`.

    Attributes:
        verdict: "skill", "no skill" or "too little data to calibrate or judge".
        sentence: The verdict in one line with its figures.
        class_names: Names of the classes, lowest return first.
        parts: Scores of every held-out part, test last.
        skills: Log-loss against the baselines on the test part, VOLATILITY_REFERENCES first.
        days: Gain over the reference on every test day.
        intervals: Metric -> interval on the test part after calibration.
        excess: "before" and "after" -> excess calibration error on the test part.
        classes: Class scores on the test part after calibration: precision, recall, f1, support, ece.
        confusion: (C, C) counts on the test part, rows true.
        calibration: What was fitted, as `Calibration.as_dict` gives it.
        dependence: Overlap and block length that the intervals allow for.
        confidence: Of all intervals, two-sided.
        best: Comparison with the optimum, None where no optimum is known or there is no signal.
        cells: Calibration of every class in every regime on the test part.
        sets: Conformal sets on the test part: `split` and `adaptive`; empty where there is no calibration part.
        regimes: Scores of the test part in every regime.
    """

    verdict: Verdict
    sentence: str
    class_names: tuple[str, ...]
    parts: tuple[PartScores, ...]
    skills: tuple[Skill, ...]
    days: tuple[DayGain, ...]
    intervals: dict[str, tuple[float, float]]
    excess: dict[str, ExcessCalibrationError]
    classes: dict[str, list[float]]
    confusion: list[list[float]]
    calibration: dict[str, Any]
    dependence: Dependence
    confidence: float
    best: BestPossible | None
    cells: tuple[CalibrationCell, ...] = ()
    sets: dict[str, SetQuality] = field(default_factory=dict)
    regimes: tuple[RegimeScores, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Judgement":
        """Read what `as_dict` returned, also after a way through JSON."""
        return TypeAdapter(cls).validate_python(values)

    @property
    def reference(self) -> Skill:
        """Skill against the stronger forecast that knows the volatility alone."""
        return stronger_reference(self.skills)

    @property
    def test(self) -> PartScores:
        """Scores of the test part."""
        return self.parts[-1]

    @property
    def failed_cells(self) -> tuple[CalibrationCell, ...]:
        """Calibration cells outside the limits."""
        return tuple(cell for cell in self.cells if cell.verdict == "failed")

    @property
    def fit_to_serve(self) -> bool:
        """Whether skill was found and no calibration cell failed."""
        return self.verdict == "skill" and not self.failed_cells


def stronger_reference(skills: Sequence[Skill]) -> Skill:
    """Of the forecasts that know the volatility alone the one that is harder to beat."""
    return min(volatility_skills(skills), key=lambda skill: skill.difference)


def volatility_skills(skills: Sequence[Skill]) -> tuple[Skill, ...]:
    """Skills over the forecasts that know the volatility alone; the class prior joins them where there is but one."""
    known = tuple(skill for skill in skills if skill.baseline in VOLATILITY_REFERENCES)
    return known if len(known) > 1 else tuple(skills[:2])
