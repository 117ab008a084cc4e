"""Calibration: of the methods that the independent labels support, the one that foretells labels it has not seen."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, field_validator

from trademl_assets.foundation.errors import ConfigError, EvaluationError
from trademl_assets.scoring.calibration_methods import METHODS, Sample, Strength
from trademl_assets.scoring.metrics import log_losses
from trademl_assets.scoring.temperature import apply_temperature

Floats = NDArray[np.float64]
Instants = NDArray[np.int64]
MARK_UNCALIBRATED = "uncalibrated"
IDENTITY = "identity"
SIMPLEST = "temperature"


class CalibrationParameters(Strength):
    """When and how logits are calibrated.

    `minimum_effective` names the methods that are tried and the independent labels (span over horizon) that each needs;
    below that of `temperature` nothing is fitted and the result is marked "uncalibrated". Where several are supported,
    they and leaving all as it is are compared on `folds` contiguous folds, each foretold from the others.
    """

    minimum_effective: dict[str, float]
    folds: int = Field(ge=2)

    @field_validator("minimum_effective")
    @classmethod
    def _known(cls, values: dict[str, float]) -> dict[str, float]:
        if SIMPLEST not in values or min(values.values()) < values[SIMPLEST] or values[SIMPLEST] <= 0:
            raise ValueError(f"{SIMPLEST!r} must be there with the smallest number, above 0")
        for name in values:
            try:
                METHODS.get(name)
            except ConfigError as error:
                raise ValueError(str(error)) from error
        return values


@dataclass(frozen=True)
class Calibration:
    """What was fitted on the calibration block.

    Attributes:
        kind: Name of the method, or `identity` where nothing was fitted or nothing was better than that.
        temperature: Divisor of the logits where one was fitted, else 1.
        mark: "uncalibrated" where too few independent labels were there, else "".
        effective_samples: Independent labels of the calibration block.
        samples: Labels of the calibration block.
        minimum_effective_samples: Limit below which nothing is fitted.
        log_loss_before: Log-loss (nats) on the calibration block before.
        log_loss_after: The same after; never above `log_loss_before` where something was fitted.
        fitted: What the method found, as JSON values.
        class_weights: (C,) weights of the training loss, undone before all else; empty for none.
        candidates: Method -> log-loss (nats) on folds that it was not fitted on; empty where one only was supported.
        note: Why the method is not the one that was to be expected, or "".
    """

    kind: str
    temperature: float
    mark: str
    effective_samples: float
    samples: int
    minimum_effective_samples: float
    log_loss_before: float
    log_loss_after: float
    fitted: dict[str, Any] = field(default_factory=dict)
    class_weights: tuple[float, ...] = ()
    candidates: dict[str, float] = field(default_factory=dict)
    note: str = ""

    @property
    def description(self) -> str:
        """What was fitted, in a few words."""
        if self.kind == IDENTITY:
            return self.mark or "left as it was"
        return METHODS.get(self.kind).describe(self.fitted)

    def apply(self, logits: ArrayLike, regimes: Sequence[str] | None = None) -> Floats:
        """Return calibrated probabilities (N, C) of logits (N, C), with the regimes (N,) of the decisions."""
        sample = _sample(logits, regimes, self.class_weights)
        if self.kind == IDENTITY:
            return apply_temperature(sample.logits, 1.0)
        return METHODS.get(self.kind).apply(self.fitted, sample)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self) | {"class_weights": list(self.class_weights)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Calibration":
        """Read what `as_dict` returned."""
        return cls(**values | {"class_weights": tuple(values["class_weights"])})


def calibrate(
    logits: ArrayLike,
    labels: ArrayLike,
    n_effective: float,
    parameters: CalibrationParameters,
    *,
    regimes: Sequence[str] | None = None,
    spans_us: tuple[Instants, Instants] | None = None,
    class_weights: Sequence[float] | None = None,
) -> Calibration:
    """Fit on the calibration block what its independent labels support.

    Args:
        logits: (N, C) of the block in time order, of an ensemble as `ensemble_logits` makes them.
        labels: (N,) classes that came true.
        n_effective: Independent labels of the block.
        parameters: Methods and limits.
        regimes: (N,) market regimes; None for one.
        spans_us: Starts and ends of the labels (N,): labels that reach into a fold are not used to foretell it.
        class_weights: (C,) weights that the training loss gave the classes: a network so trained foretells w * p, so
            log w is subtracted from the logits first.

    Returns:
        What was fitted, or the identity: marked "uncalibrated" where labels are too few.

    Raises:
        EvaluationError: Nothing to fit on, or logits that are not finite.
    """
    weights = () if class_weights is None else tuple(float(weight) for weight in class_weights)
    sample, truth = _sample(logits, regimes, weights), np.asarray(labels, dtype=np.int64)
    own = _sample(logits, regimes, ())
    least = parameters.minimum_effective[SIMPLEST]
    before = _loss(apply_temperature(own.logits, 1.0), truth)
    supported = [name for name, needed in parameters.minimum_effective.items() if n_effective >= needed]
    kind, found, candidates, note = IDENTITY, {}, {}, ""
    after = before if not weights else _loss(apply_temperature(sample.logits, 1.0), truth)
    if supported:
        if len(supported) > 1:
            candidates = _foretell(sample, truth, n_effective, parameters, [IDENTITY, *supported], spans_us=spans_us)
        kind = min(candidates, key=lambda name: candidates[name]) if candidates else supported[0]
        if kind != IDENTITY:
            found = METHODS.get(kind).fit(sample, truth, n_effective, parameters)
            after = _loss(METHODS.get(kind).apply(found, sample), truth)
        if after > before:
            note = f"{kind} raised the log-loss of the labels it was fitted on from {before:.6f} to {after:.6f}: undone"
            kind, found, weights, after = IDENTITY, {}, (), before
    return Calibration(
        kind=kind,
        temperature=float(found.get("temperature", 1.0)),
        mark="" if supported else MARK_UNCALIBRATED,
        effective_samples=float(n_effective),
        samples=len(truth),
        minimum_effective_samples=least,
        log_loss_before=before,
        log_loss_after=after,
        fitted=found,
        class_weights=weights,
        candidates=candidates,
        note=note,
    )


def _sample(logits: ArrayLike, regimes: Sequence[str] | None, class_weights: tuple[float, ...]) -> Sample:
    scores = np.asarray(logits, dtype=np.float64)
    if class_weights:
        weights = np.asarray(class_weights, dtype=np.float64)
        if weights.shape != scores.shape[1:] or not np.isfinite(weights).all() or (weights <= 0).any():
            raise EvaluationError(
                f"class weights {list(class_weights)} for {scores.shape[1]} classes -> give a positive one a class"
            )
        scores = scores - np.log(weights)
    names = np.full(len(scores), "") if regimes is None else np.asarray(regimes, dtype=np.str_)
    if not np.isfinite(scores).all() or names.shape != scores.shape[:1]:
        raise EvaluationError(
            f"calibration needs finite logits and a regime a row: {scores.shape} with {names.shape} -> train again"
        )
    return Sample(scores, names)


def _foretell(
    sample: Sample,
    labels: NDArray[np.int64],
    n_effective: float,
    parameters: CalibrationParameters,
    names: Sequence[str],
    *,
    spans_us: tuple[Instants, Instants] | None,
) -> dict[str, float]:
    """Mean log-loss of every method over contiguous folds, each foretold from all labels that do not reach into it."""
    rows = len(labels)
    bounds = np.linspace(0, rows, parameters.folds + 1).astype(np.int64)
    total = dict.fromkeys(names, 0.0)
    for first, last in pairwise(bounds):
        held = np.zeros(rows, dtype=bool)
        held[first:last] = True
        others = ~held
        if spans_us is not None:
            start, end = spans_us
            others &= (end <= start[held].min()) | (start >= end[held].max())
        asked, known = (Sample(sample.logits[chosen], sample.regimes[chosen]) for chosen in (held, others))
        for name in names:
            if name == IDENTITY:
                foretold = apply_temperature(asked.logits, 1.0)
            else:
                method = METHODS.get(name)
                found = method.fit(known, labels[others], n_effective * float(others.mean()), parameters)
                foretold = method.apply(found, asked)
            total[name] += _loss(foretold, labels[held]) * int(last - first) / rows
    return total


def _loss(probabilities: Floats, labels: NDArray[np.int64]) -> float:
    return float(log_losses(probabilities, labels).mean())
