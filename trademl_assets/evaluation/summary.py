"""The closing words of a run: what the model is worth, how honest its probabilities are, where to read on."""

from trademl_assets.evaluation.judgement import Judgement
from trademl_assets.scoring.calibration import Calibration


def summarise(experiment: str, model: str, judgement: Judgement, report: str, open_ui: str) -> str:
    """Return the closing summary as plain text, a few lines.

    Args:
        experiment: Its name.
        model: Its name.
        judgement: On the model.
        report: Where the report page lies.
        open_ui: Command that opens the UI.
    """
    lines = [
        f"{experiment} | {model}",
        f"  {judgement.sentence}",
        *_best_lines(judgement),
        *_calibration_lines(judgement),
    ]
    return "\n".join([*lines, f"  report: {report}", f"  UI: {open_ui}"])


def _best_lines(judgement: Judgement) -> list[str]:
    best = judgement.best
    if best is None:
        return []
    share = (
        f"  share of the best possible: {best.share:.3f} [{best.low:.3f}, {best.high:.3f}], ceiling of returns alone "
        f"{best.returns_only_share:.3f}, margin {best.margin:+.3f} [{best.margin_low:+.3f}, {best.margin_high:+.3f}] "
        f"({judgement.confidence:.0%} intervals over {best.days} days)"
    )
    return [share]


def _calibration_lines(judgement: Judgement) -> list[str]:
    fitted, before, after = judgement.calibration, judgement.excess["before"], judgement.excess["after"]
    labels = f"{fitted['effective_samples']:.0f} independent calibration labels"
    if fitted["mark"]:
        what = f"{fitted['mark']} ({labels}, {fitted['minimum_effective_samples']:.0f} needed)"
    else:
        what = f"{Calibration.from_dict(fitted).description} from {labels}"
    scores = judgement.test
    effect = (
        f"  on test, before -> after: log-loss {scores.before['log_loss']:.4f} -> {scores.after['log_loss']:.4f}, "
        f"ECE {before.observed:.3f} -> {after.observed:.3f}, beyond a perfect model's {before.excess:+.3f} -> "
        f"{after.excess:+.3f} [{after.low:+.3f}, {after.high:+.3f}]"
    )
    return [f"  calibration: {what}", effect]
