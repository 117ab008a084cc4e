"""Greatest posterior of softmax(W x + b): Newton steps on a convex loss, derivatives summed in one compiled pass."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
compiled: Any = njit(cache=True, nogil=True)
MOST_STEPS = 100
MOST_HALVINGS = 30
TOLERANCE = 1e-12
"""Newton decrement (nats) below which a step cannot gain anything that labels could tell."""


def fit_affine(
    features: Floats, labels: NDArray[np.int64], start: Floats, pull: Floats, free: NDArray[np.bool_]
) -> Floats:
    """Minimise the mean log-loss plus half the pull times the squared distance to where it starts.

    Args:
        features: (N, k).
        labels: (N,) classes.
        start: (C, k + 1) weights and, last, offsets that all are drawn to.
        pull: (C, k + 1) strength; 0 leaves a number to the labels alone.
        free: (C, k + 1) which numbers may move.

    Returns:
        (C, k + 1).
    """
    chosen = np.flatnonzero(free.ravel())
    values, data = start.copy(), np.column_stack([features, np.ones(len(features))])

    def loss(at: Floats) -> float:
        return float(_value(data, labels, at)) + float((pull * (at - start) ** 2).sum()) / 2

    present = loss(values)
    for _ in range(MOST_STEPS):
        slope, curvature = _derivatives(data, labels, values)
        slope = (slope + pull * (values - start)).ravel()[chosen]
        matrix = curvature[np.ix_(chosen, chosen)] + np.diag(pull.ravel()[chosen])
        step = np.linalg.lstsq(matrix, slope, rcond=None)[0]
        if slope @ step < TOLERANCE:
            break
        move = np.zeros(values.size)
        move[chosen] = step
        share = 1.0
        for _halving in range(MOST_HALVINGS):
            tried = values - share * move.reshape(values.shape)
            found = loss(tried)
            if found < present:
                break
            share /= 2
        else:
            break
        values, present = tried, found
    return values


@compiled  # type: ignore[untyped-decorator]  # numba has no types
def _softmax(row: Floats, values: Floats, into: Floats) -> float:
    """Fill probabilities of a row; return the log of the sum of the exponentials."""
    classes, width = values.shape
    most = -np.inf
    for c in range(classes):
        score = 0.0
        for j in range(width):
            score += values[c, j] * row[j]
        into[c] = score
        most = max(most, score)
    total = 0.0
    for c in range(classes):
        into[c] = np.exp(into[c] - most)
        total += into[c]
    for c in range(classes):
        into[c] /= total
    return float(most + np.log(total))


@compiled  # type: ignore[untyped-decorator]  # numba has no types
def _value(data: Floats, labels: NDArray[np.int64], values: Floats) -> float:
    rows, width = data.shape
    probability = np.empty(values.shape[0])
    total = 0.0
    for n in range(rows):
        total += _softmax(data[n], values, probability)
        for j in range(width):
            total -= values[labels[n], j] * data[n, j]
    return float(total / rows)


@compiled  # type: ignore[untyped-decorator]  # numba has no types
def _derivatives(data: Floats, labels: NDArray[np.int64], values: Floats) -> tuple[Floats, Floats]:
    """Gradient (C, w) and Hessian (C w, C w) of the mean log-loss."""
    rows, width = data.shape
    classes = values.shape[0]
    slope, curvature = np.zeros((classes, width)), np.zeros((classes * width, classes * width))
    probability = np.empty(classes)
    for n in range(rows):
        _softmax(data[n], values, probability)
        for c in range(classes):
            residual = probability[c] - (1.0 if labels[n] == c else 0.0)
            for j in range(width):
                slope[c, j] += residual * data[n, j]
            for d in range(c + 1):
                weight = probability[c] * ((1.0 if c == d else 0.0) - probability[d])
                for i in range(width):
                    for j in range(width):
                        curvature[c * width + i, d * width + j] += weight * data[n, i] * data[n, j]
    for i in range(classes * width):
        for j in range(i // width * width + width, classes * width):
            curvature[i, j] = curvature[j, i]
    return slope / rows, curvature / rows
