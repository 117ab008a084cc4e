"""What the sections of a report page say before they are opened, and their tables, from a judgement and its results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from trademl_assets.evaluation.ageing import Ageing
from trademl_assets.evaluation.judgement import Judgement
from trademl_assets.evaluation.long_run import detectable_sentence
from trademl_assets.evaluation.money_results import Money
from trademl_assets.scoring.calibration_gate import CalibrationCell

METRICS = {
    "log_loss": "log-loss, nats",
    "brier": "Brier score (0 to 2)",
    "brier_reliability": "of it, reliability (0 is honest)",
    "brier_resolution": "of it, resolution (taken off; more is better)",
    "brier_uncertainty": "of it, uncertainty of the classes",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "weighted_f1": "weighted F1",
    "auc_macro": "area under the ROC curve, mean of the classes",
    "directional_accuracy": "directional accuracy",
    "top_2": "true class among the top 2",
    "top_3": "true class among the top 3",
    "entropy": "mean entropy, nats",
    "ece": "ECE, top label, equal width",
    "mce": "MCE, top label",
    "ece_equal_mass": "ECE, top label, equal mass",
    "mce_equal_mass": "MCE, top label, equal mass",
    "classwise_ece": "class-wise ECE",
}
CLASS_METRICS = {"precision": "precision", "recall": "recall", "f1": "F1", "auc": "AUC", "ece": "ECE"}
SECONDS_PER_DAY = 86_400
NOTHING_AHEAD = "Every block that was judged lies before later training data: how the model ages cannot be told"


@dataclass(frozen=True)
class CellTable:
    """Calibration cells as a table: a row a regime, a column the top label and every class.

    Attributes:
        columns: Their names.
        rows: Regime and its cells in the order of the columns.
        counts: Cells of every verdict.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[CalibrationCell, ...]], ...]
    counts: Mapping[str, int]


def cell_table(judgement: Judgement) -> CellTable:
    """Arrange the calibration cells."""
    by_regime: dict[str, list[CalibrationCell]] = {}
    for cell in judgement.cells:
        by_regime.setdefault(cell.regime, []).append(cell)
    targets = [cell.target for cell in next(iter(by_regime.values()), [])]
    verdicts = ("passed", "failed", "not judged (support)")
    return CellTable(
        columns=tuple(name_of_target(target, judgement.class_names) for target in targets),
        rows=tuple((regime, tuple(cells)) for regime, cells in by_regime.items()),
        counts={verdict: sum(cell.verdict == verdict for cell in judgement.cells) for verdict in verdicts},
    )


def name_of_target(target: str, class_names: Sequence[str]) -> str:
    """Name of a cell's class; that of the top label as it is."""
    return class_names[int(target)] if target.isdigit() else target


def detectable(judgement: Judgement) -> str:
    """Say what gain could not have been seen on the test part."""
    test = judgement.test
    span = datetime.fromisoformat(test.last) - datetime.fromisoformat(test.first)
    return detectable_sentence(judgement.reference.least_detectable, span.total_seconds() / SECONDS_PER_DAY)


def ageing_lines(ageing: Ageing) -> list[str]:
    """Sentences on ageing, the half-life first."""
    half_life = ageing.half_life
    return [NOTHING_AHEAD if half_life is None else half_life.sentence, *ageing.weight_half_lives]


def findings(judgement: Judgement, ageing: Ageing, money: Money) -> dict[str, str]:
    """What each section found, in a line: by `skill`, `honesty`, `sets`, `ageing`, `money`, `classes`."""
    reference, counts, excess = judgement.reference, cell_table(judgement).counts, judgement.excess["after"]
    beaten = sum(skill.low > 0 for skill in judgement.skills)
    after = judgement.test.after
    found = {
        "skill": f"{reference.difference:+.4f} nats a decision over the {reference.baseline}; interval above 0 against "
        f"{beaten} of {len(judgement.skills)} baselines",
        "honesty": f"excess error {excess.excess:+.3f} [{excess.low:+.3f}, {excess.high:+.3f}]; cells: "
        + ", ".join(f"{count} {verdict}" for verdict, count in counts.items()),
        "ageing": ageing_lines(ageing)[0],
        "money": money.sentence,
        "classes": f"accuracy {after['accuracy']:.3f}, weighted F1 {after['weighted_f1']:.3f}",
    }
    if judgement.sets:
        best = judgement.sets["adaptive"]
        found["sets"] = (
            f"adaptive sets held the truth in {best.coverage:.1%} ({best.promised:.0%} promised) with "
            f"{best.mean_size:.1f} classes; abstained in {best.abstained:.0%}"
        )
    return found


def interval_rows(judgement: Judgement) -> list[tuple[str, float, float, float]]:
    """Title, value and interval of every overall metric of the test part after calibration."""
    after, intervals = judgement.test.after, judgement.intervals
    return [
        (title, after[name], *intervals[name]) for name, title in METRICS.items() if name in after and name in intervals
    ]


def class_rows(judgement: Judgement) -> list[tuple[str, float, list[tuple[float, float] | None]]]:
    """Class, support and the interval of each of `CLASS_METRICS`; None where one is undefined."""
    return [
        (
            name,
            judgement.classes["support"][number],
            [judgement.intervals.get(f"{metric}_{number}") for metric in CLASS_METRICS],
        )
        for number, name in enumerate(judgement.class_names)
    ]


def class_accuracies(confusion: Sequence[Sequence[float]]) -> list[float]:
    """Share of the decisions that each class, held against all others, was told rightly: hits and true misses.

    Args:
        confusion: (C, C) counts, rows true.
    """
    counts = np.asarray(confusion)
    hits, total = counts.diagonal(), counts.sum()
    wrong = counts.sum(axis=0) + counts.sum(axis=1) - 2 * hits
    return [float(value) for value in 1 - wrong / total]
