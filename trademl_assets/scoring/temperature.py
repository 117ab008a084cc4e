"""Temperature: one divisor of the logits by greatest likelihood, drawn towards 1 where few labels leave it in doubt."""

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from trademl_assets.foundation.errors import EvaluationError

Floats = NDArray[np.float64]


def ensemble_logits(member_logits: ArrayLike) -> Floats:
    """Logits of an ensemble: the log of its members' mean probability.

    Args:
        member_logits: (members, N, C).

    Returns:
        (N, C), normalised log-probabilities.
    """
    logits = np.asarray(member_logits, dtype=np.float64)
    return np.asarray(scipy.special.logsumexp(scipy.special.log_softmax(logits, axis=-1), axis=0) - np.log(len(logits)))


def apply_temperature(logits: ArrayLike, temperature: float) -> Floats:
    """Return softmax(logits / temperature), (N, C); the order of the classes stays as it was."""
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    return np.asarray(np.exp(scipy.special.log_softmax(scaled, axis=-1)))


def temperature_log_loss(logits: ArrayLike, labels: ArrayLike, temperature: float) -> float:
    """Mean negative log-likelihood (nats) of softmax(logits / temperature)."""
    scores = scipy.special.log_softmax(np.asarray(logits, dtype=np.float64) / temperature, axis=-1)
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
        temperature = float(np.exp(scipy.optimize.brentq(slope, low, high, xtol=1e-13)))
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

    share = float(scipy.optimize.minimize_scalar(loss, bounds=(0.0, 1.0), method="bounded", options={"xatol": 1e-9}).x)
    return float(np.exp(share * end))
