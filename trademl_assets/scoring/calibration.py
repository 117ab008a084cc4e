"""Temperature scaling: one number that makes probabilities honest, where enough independent labels support it."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field
from scipy.optimize import brentq, minimize_scalar
from scipy.special import log_softmax, logsumexp

from trademl_assets.foundation.errors import EvaluationError
from trademl_assets.foundation.parameters import Parameters

Floats = NDArray[np.float64]
MARK_UNCALIBRATED = "uncalibrated"


class CalibrationParameters(Parameters):
    """When and how logits are calibrated.

    Below `min_effective_temperature` independent labels (span over horizon) nothing is fitted and the result is marked
    "uncalibrated". The temperature is searched in [lowest_temperature, highest_temperature], then drawn towards 1 as
    far as so few independent labels leave it in doubt: before any label, log T is taken to be normal around 0 with
    `log_temperature_prior_sd`.
    """

    min_effective_temperature: float = Field(gt=0)
    lowest_temperature: float = Field(gt=0, le=1)
    highest_temperature: float = Field(ge=1)
    log_temperature_prior_sd: float = Field(gt=0)


@dataclass(frozen=True)
class Calibration:
    """What was fitted on the calibration block.

    Attributes:
        kind: `temperature`, or `identity` where nothing was fitted.
        temperature: Divisor of the logits, 1 for `identity`.
        mark: "uncalibrated" where too few independent labels were there, else "".
        effective_samples: Independent labels of the calibration block.
        samples: Labels of the calibration block.
        minimum_effective_samples: Limit below which nothing is fitted.
        log_loss_before: Log-loss (nats) on the calibration block before.
        log_loss_after: The same after; never above `log_loss_before`.
    """

    kind: Literal["temperature", "identity"]
    temperature: float
    mark: str
    effective_samples: float
    samples: int
    minimum_effective_samples: float
    log_loss_before: float
    log_loss_after: float

    def apply(self, logits: ArrayLike) -> Floats:
        """Return calibrated probabilities (N, C) of logits (N, C)."""
        return apply_temperature(logits, self.temperature)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Calibration":
        """Read what `as_dict` returned."""
        return cls(**values)


def ensemble_logits(member_logits: ArrayLike) -> Floats:
    """Logits of an ensemble: the log of its members' mean probability.

    Args:
        member_logits: (members, N, C).

    Returns:
        (N, C), normalised log-probabilities.
    """
    logits = np.asarray(member_logits, dtype=np.float64)
    return np.asarray(logsumexp(log_softmax(logits, axis=-1), axis=0) - np.log(len(logits)))


def apply_temperature(logits: ArrayLike, temperature: float) -> Floats:
    """Return softmax(logits / temperature), (N, C); the order of the classes stays as it was."""
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    return np.asarray(np.exp(log_softmax(scaled, axis=-1)))


def temperature_log_loss(logits: ArrayLike, labels: ArrayLike, temperature: float) -> float:
    """Mean negative log-likelihood (nats) of softmax(logits / temperature)."""
    scores = log_softmax(np.asarray(logits, dtype=np.float64) / temperature, axis=-1)
    truth = np.asarray(labels, dtype=np.int64)
    return float(-scores[np.arange(len(truth)), truth].mean())


def fit_temperature(logits: ArrayLike, labels: ArrayLike, lowest: float, highest: float) -> float:
    """Temperature with the least negative log-likelihood (Guo et al. 2017), searched over log T in float64.

    The likelihood is concave in 1 / T, so its derivative has at most one root; the end of the range is taken where it
    has none inside. On the labels it was fitted on it is never worse than T = 1.

    Args:
        logits: (N, C), finite.
        labels: (N,) classes that came true.
        lowest: Lower end of the range, at most 1.
        highest: Upper end of the range, at least 1.

    Raises:
        EvaluationError: Nothing to fit on, or logits that are not finite.
    """
    scores, truth = np.asarray(logits, dtype=np.float64), np.asarray(labels, dtype=np.int64)
    if not len(truth) or scores.shape[0] != len(truth) or not np.isfinite(scores).all():
        raise EvaluationError(
            f"a temperature needs finite logits, one row a label: {scores.shape} for {len(truth)} labels"
        )
    true_score = scores[np.arange(len(truth)), truth].mean()

    def slope(log_temperature: float) -> float:
        """Derivative of the negative log-likelihood by 1 / T."""
        predicted = apply_temperature(scores, float(np.exp(log_temperature)))
        return float((predicted * scores).sum(axis=1).mean() - true_score)

    low, high = np.log(lowest), np.log(highest)
    if slope(low) <= 0:
        temperature = lowest
    elif slope(high) >= 0:
        temperature = highest
    else:
        temperature = float(np.exp(brentq(slope, low, high, xtol=1e-13)))
    fitted, plain = (temperature_log_loss(scores, truth, value) for value in (temperature, 1.0))
    return temperature if fitted < plain else 1.0


def shrink_temperature(
    logits: ArrayLike, labels: ArrayLike, fitted: float, n_effective: float, prior_sd: float
) -> float:
    """Temperature of the greatest posterior between 1 and the fitted one.

    Overlapping labels say little more than independent ones, so the mean negative log-likelihood counts
    `n_effective` times, not once a label; log T has the prior N(0, prior_sd^2). The likelihood falls all the way from 1
    to the fitted temperature, so on the labels it was fitted on the result is never worse than T = 1 either.

    Args:
        logits: (N, C), finite.
        labels: (N,) classes that came true.
        fitted: Temperature of the greatest likelihood.
        n_effective: Independent labels.
        prior_sd: Standard deviation of log T before any label.
    """
    end = float(np.log(fitted))
    if end == 0.0:
        return 1.0

    def loss(share: float) -> float:
        log_temperature = share * end
        likelihood = n_effective * temperature_log_loss(logits, labels, float(np.exp(log_temperature)))
        return likelihood + 0.5 * (log_temperature / prior_sd) ** 2

    share = float(minimize_scalar(loss, bounds=(0.0, 1.0), method="bounded", options={"xatol": 1e-9}).x)
    return float(np.exp(share * end))


def calibrate(
    logits: ArrayLike, labels: ArrayLike, n_effective: float, parameters: CalibrationParameters
) -> Calibration:
    """Fit on the calibration block what its independent labels support.

    Args:
        logits: (N, C) of the block, of an ensemble as `ensemble_logits` makes them.
        labels: (N,) classes that came true.
        n_effective: Independent labels of the block.
        parameters: Limits.

    Returns:
        The fitted temperature, or the identity marked "uncalibrated".
    """
    enough = n_effective >= parameters.min_effective_temperature
    temperature = 1.0
    if enough:
        fitted = fit_temperature(logits, labels, parameters.lowest_temperature, parameters.highest_temperature)
        temperature = shrink_temperature(logits, labels, fitted, n_effective, parameters.log_temperature_prior_sd)
    return Calibration(
        kind="temperature" if enough else "identity",
        temperature=temperature,
        mark="" if enough else MARK_UNCALIBRATED,
        effective_samples=float(n_effective),
        samples=len(np.asarray(labels)),
        minimum_effective_samples=parameters.min_effective_temperature,
        log_loss_before=temperature_log_loss(logits, labels, 1.0),
        log_loss_after=temperature_log_loss(logits, labels, temperature),
    )
