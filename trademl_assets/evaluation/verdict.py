"""The rule that turns figures into a verdict and one sentence."""

from collections.abc import Sequence
from typing import Literal

from trademl_assets.evaluation.skill import Skill
from trademl_assets.scoring.calibration import Calibration

Verdict = Literal["skill", "no skill", "too little data to calibrate or judge"]


def decide(
    calibration: Calibration,
    effective_test: float,
    blocks: float,
    references: Sequence[Skill],
    *,
    minimum_effective_test: float,
    minimum_blocks: float,
    significance_level: float,
    confidence: float,
) -> tuple[Verdict, str]:
    """Return the verdict and its sentence.

    Args:
        calibration: What was fitted; its mark says that there was too little to fit on.
        effective_test: Independent test labels.
        blocks: Bootstrap blocks that the test part holds.
        references: Skill against every forecast that knows the volatility alone; all must be beaten.
        minimum_effective_test: Limit of `effective_test`.
        minimum_blocks: Limit of `blocks`.
        significance_level: Limit of the Diebold-Mariano p.
        confidence: Of the skill's interval.
    """
    lacking = []
    if calibration.mark:
        needed = calibration.minimum_effective_samples
        lacking.append(f"{calibration.effective_samples:.0f} independent calibration labels ({needed:.0f} needed)")
    if effective_test < minimum_effective_test:
        lacking.append(f"{effective_test:.0f} independent test labels ({minimum_effective_test:.0f} needed)")
    if blocks < minimum_blocks:
        lacking.append(f"{blocks:.1f} independent test blocks ({minimum_blocks:.0f} needed)")
    if lacking:
        return "too little data to calibrate or judge", "Too little data to calibrate or judge: " + ", ".join(lacking)
    skill = min(references, key=lambda reference: reference.difference)
    found = (
        f"log-loss {abs(skill.difference):.4f} nats {'below' if skill.difference > 0 else 'above'} the "
        f"{skill.baseline} ({skill.baseline_log_loss:.4f}), {confidence:.0%} interval of the gain "
        f"[{skill.low:.4f}, {skill.high:.4f}], Diebold-Mariano p {_p_text(skill.test.p_value)}, "
        f"{effective_test:.0f} independent test labels"
    )
    if all(reference.low > 0 and reference.test.p_value < significance_level for reference in references):
        return "skill", f"Skill: {found}"
    return "no skill", f"No skill: {found}"


def _p_text(p_value: float) -> str:
    return "< 0.0001" if p_value < 1e-4 else f"{p_value:.4f}"  # noqa: PLR2004 -- what four decimals can show
