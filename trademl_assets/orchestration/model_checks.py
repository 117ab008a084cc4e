"""Looks at models: whether there was enough to calibrate, whether skill was found, and the gates before serving."""

from trademl_assets.evaluation.judgement import Judgement
from trademl_assets.evaluation.report_sections import name_of_target
from trademl_assets.orchestration.catalog import CALIBRATED_MODEL, MODEL_EVALUATION
from trademl_assets.orchestration.metadata import rule_table
from trademl_assets.orchestration.sights import Sight
from trademl_assets.scoring.calibration import Calibration
from trademl_assets.storage.commit import ArtifactStore

FIT_TO_SERVE = "fit_to_serve"
"""Note of a judged partition: whether skill was found and no calibration cell failed."""
VERDICT = "verdict"


def calibration_look(store: ArtifactStore, key: str) -> str:
    """Look whether there were enough independent labels to calibrate."""
    fitted = Calibration.from_dict(store.read_json(CALIBRATED_MODEL.name, key, "calibration"))
    if not fitted.mark:
        return ""
    found, needed = fitted.effective_samples, fitted.minimum_effective_samples
    return f"{fitted.mark}: {found:.0f} independent calibration labels, {needed:.0f} needed"


def verdict_look(store: ArtifactStore, key: str) -> str:
    """Look whether the model was found to have skill."""
    judgement = _judgement(store, key)
    return "" if judgement.verdict == "skill" else judgement.sentence


def calibration_gate_look(store: ArtifactStore, key: str) -> Sight:
    """Look whether a calibration cell failed; a model without skill, which is not served anyway, is only warned of."""
    judgement = _judgement(store, key)
    failed = judgement.failed_cells
    names = [
        f"{name_of_target(cell.target, judgement.class_names)} in regime {cell.regime} "
        f"(excess {cell.excess:+.3f}, p {cell.adjusted:.4f})"
        for cell in failed
    ]
    rows = [
        {
            "regime": cell.regime,
            "class": name_of_target(cell.target, judgement.class_names),
            "independent labels": round(cell.effective),
            "excess error": round(cell.excess, 4),
            "p after Holm": round(cell.adjusted, 4),
            "verdict": cell.verdict,
        }
        for cell in judgement.cells
    ]
    problem = f"probabilities are miscalibrated: {'; '.join(names)}" if failed else ""
    metadata = {"cells": rule_table(rows)} if rows else {}
    return Sight(problem, metadata, refuses=judgement.verdict == "skill")


def skill_gate_look(store: ArtifactStore, key: str) -> Sight:
    """Look whether the model beats what knows the volatility alone, or is marked as not fit to serve."""
    judgement, notes = _judgement(store, key), store.require(MODEL_EVALUATION.name, key).notes
    marked, reference = notes.get(VERDICT), judgement.reference
    metadata = {"marked": str(marked), FIT_TO_SERVE: bool(notes.get(FIT_TO_SERVE)), "gain": reference.difference}
    problem = ""
    if marked != judgement.verdict or notes.get(FIT_TO_SERVE) is not judgement.fit_to_serve:
        problem = (
            f"judged {judgement.verdict!r}, fit to serve {judgement.fit_to_serve}, but marked {marked!r}, "
            f"{notes.get(FIT_TO_SERVE)} -> evaluate the model again"
        )
    return Sight(problem, metadata)


def _judgement(store: ArtifactStore, key: str) -> Judgement:
    return Judgement.from_dict(store.read_json(MODEL_EVALUATION.name, key, "judgement"))
