"""Ways to calibrate logits, by name: fitted on labels, kept as JSON values, applied to other logits."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray
from pydantic import Field

from trademl_assets.foundation.parameters import Parameters
from trademl_assets.foundation.registry import Registry
from trademl_assets.scoring.affine import fit_affine
from trademl_assets.scoring.temperature import apply_temperature, fit_temperature, shrink_temperature

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
Regimes = NDArray[np.str_]


class Strength(Parameters):
    """How far few labels are trusted.

    The temperature is searched in [lowest_temperature, highest_temperature], then drawn towards 1 as far as so few
    independent labels leave it in doubt: before any label, log T is taken to be normal around 0 with
    `log_temperature_prior_sd`. In the same way a class's scale is drawn to 1 by `scale_prior_sd`, what one class takes
    from another to 0 by `off_diagonal_prior_sd`, a class's offset to 0 by `offset_prior_sd`. Isotonic steps are mixed
    with the model's own probabilities as if `isotonic_pseudo_counts` labels spoke for them. A regime has a temperature
    of its own from `minimum_effective_regime` independent labels.
    """

    lowest_temperature: float = Field(gt=0, le=1)
    highest_temperature: float = Field(ge=1)
    log_temperature_prior_sd: float = Field(gt=0)
    scale_prior_sd: float = Field(gt=0)
    off_diagonal_prior_sd: float = Field(gt=0)
    offset_prior_sd: float = Field(gt=0)
    isotonic_pseudo_counts: float = Field(gt=0)
    minimum_effective_regime: float = Field(gt=0)


@dataclass(frozen=True)
class Sample:
    """Logits to calibrate.

    Attributes:
        logits: (N, C), finite, class weights undone.
        regimes: (N,) market regime of every decision.
    """

    logits: Floats
    regimes: Regimes


Fitted = dict[str, Any]


@dataclass(frozen=True)
class Method:
    """A way to calibrate.

    Attributes:
        fit: Sample, labels (N,), independent labels, strength -> what was found, as JSON values.
        apply: What was found, sample -> (N, C) probabilities.
        describe: What was found in a few words.
        version: Of the code of another package's method, where it is raised by hand; None counts its sources.
    """

    fit: Callable[[Sample, Labels, float, Strength], Fitted]
    apply: Callable[[Mapping[str, Any], Sample], Floats]
    describe: Callable[[Mapping[str, Any]], str]
    version: str | None = None

    @property
    def code_modules(self) -> tuple[str, ...]:
        """Modules that hold its code."""
        return self.fit.__module__, self.apply.__module__, self.describe.__module__


METHODS: Registry[Method] = Registry("calibration method", "trademl_assets.calibration_methods")


def _fit_temperature(sample: Sample, labels: Labels, n_effective: float, strength: Strength) -> Fitted:
    fitted = fit_temperature(sample.logits, labels, strength.lowest_temperature, strength.highest_temperature)
    return {
        "temperature": shrink_temperature(sample.logits, labels, fitted, n_effective, strength.log_temperature_prior_sd)
    }


METHODS.register("temperature")(
    Method(
        _fit_temperature,
        lambda found, sample: apply_temperature(sample.logits, found["temperature"]),
        lambda found: f"temperature {found['temperature']:.3f}",
    )
)


def _fit_regimes(sample: Sample, labels: Labels, n_effective: float, strength: Strength) -> Fitted:
    """A temperature a regime, drawn towards the common one; regimes with too few labels have the common one."""
    common = _fit_temperature(sample, labels, n_effective, strength)["temperature"]
    found = {}
    for regime in np.unique(sample.regimes):
        rows = sample.regimes == regime
        share = n_effective * float(rows.mean())
        if share < strength.minimum_effective_regime:
            continue
        logits = sample.logits[rows] / common
        factor = fit_temperature(
            logits, labels[rows], strength.lowest_temperature / common, strength.highest_temperature / common
        )
        factor = shrink_temperature(logits, labels[rows], factor, share, strength.log_temperature_prior_sd)
        found[str(regime)] = common * factor
    return {"temperature": common, "regimes": found}


def _apply_regimes(found: Mapping[str, Any], sample: Sample) -> Floats:
    names, place = np.unique(sample.regimes, return_inverse=True)
    temperatures = np.array([found["regimes"].get(str(name), found["temperature"]) for name in names])
    return np.asarray(np.exp(scipy.special.log_softmax(sample.logits / temperatures[place][:, None], axis=1)))


METHODS.register("regime_temperature")(
    Method(
        _fit_regimes,
        _apply_regimes,
        lambda found: (
            "temperatures " + ", ".join(f"{name} {t:.3f}" for name, t in sorted(found["regimes"].items()))
            if found["regimes"]
            else f"temperature {found['temperature']:.3f} in every regime"
        ),
    )
)


def _affine_fit(sample: Sample, labels: Labels, n_effective: float, strength: Strength, *, mixes: bool) -> Fitted:
    """Greatest posterior of softmax(W log p + b); every label counts n_effective / N, W is drawn to 1 and b to 0."""
    scores = scipy.special.log_softmax(sample.logits, axis=1)
    classes = scores.shape[1]
    doubt = np.full((classes, classes + 1), strength.off_diagonal_prior_sd)
    np.fill_diagonal(doubt, strength.scale_prior_sd)
    doubt[:, -1] = strength.offset_prior_sd
    neutral = np.eye(classes, classes + 1)
    free = np.full(neutral.shape, mixes) | (neutral > 0)
    free[:, -1] = True
    found = fit_affine(scores, labels, neutral, 1 / (n_effective * doubt**2), free)
    return {"weights": found[:, :-1].tolist(), "offsets": found[:, -1].tolist()}


def _affine_apply(found: Mapping[str, Any], sample: Sample) -> Floats:
    scores = scipy.special.log_softmax(sample.logits, axis=1) @ np.asarray(found["weights"]).T + np.asarray(
        found["offsets"]
    )
    return np.asarray(np.exp(scipy.special.log_softmax(scores, axis=1)))


def _describe_affine(found: Mapping[str, Any]) -> str:
    scales = np.diagonal(np.asarray(found["weights"]))
    return f"scales {scales.min():.3f} to {scales.max():.3f} and offsets a class"


def fit_vector(sample: Sample, labels: Labels, n_effective: float, strength: Strength) -> Fitted:
    """Vector scaling (Guo et al. 2017): a scale and an offset a class."""
    return _affine_fit(sample, labels, n_effective, strength, mixes=False)


def fit_dirichlet(sample: Sample, labels: Labels, n_effective: float, strength: Strength) -> Fitted:
    """Dirichlet calibration with off-diagonal and intercept regularisation (Kull et al. 2019).

    A linear map of the log-probabilities; the penalties of the paper are normal priors here, so that they fade as
    independent labels grow.
    """
    return _affine_fit(sample, labels, n_effective, strength, mixes=True)


METHODS.register("vector")(Method(fit_vector, _affine_apply, _describe_affine))
METHODS.register("dirichlet")(
    Method(fit_dirichlet, _affine_apply, lambda found: f"a mixing of the classes with {_describe_affine(found)}")
)


def _fit_isotonic(sample: Sample, labels: Labels, n_effective: float, strength: Strength) -> Fitted:
    """Isotonic regression of every class against the rest, kept as the corners of its steps."""
    probabilities = apply_temperature(sample.logits, 1.0)
    corners = []
    for number, column in enumerate(probabilities.T):
        values, place, count = np.unique(column, return_inverse=True, return_counts=True)
        observed = np.bincount(place, weights=(labels == number).astype(np.float64)) / count
        solution = scipy.optimize.isotonic_regression(observed, weights=count)
        first, last = solution.blocks[:-1], solution.blocks[1:] - 1
        at = np.stack([values[first], values[last]], axis=1).ravel()
        level = np.repeat(solution.x[first], 2)
        corners.append({"at": at.tolist(), "level": level.tolist()})
    own = strength.isotonic_pseudo_counts / (n_effective + strength.isotonic_pseudo_counts)
    return {"classes": corners, "own_share": float(own)}


def _apply_isotonic(found: Mapping[str, Any], sample: Sample) -> Floats:
    """Steps joined by lines, normalised over the classes (Zadrozny and Elkan 2002), mixed with the model's own.

    The share of the model's own probabilities keeps a class that was never seen from being called impossible.
    """
    own = apply_temperature(sample.logits, 1.0)
    steps = np.stack(
        [np.interp(column, c["at"], c["level"]) for column, c in zip(own.T, found["classes"], strict=True)], axis=1
    )
    total = steps.sum(axis=1, keepdims=True)
    normal = np.divide(steps, total, out=own.copy(), where=total > 0)
    return np.asarray((1 - found["own_share"]) * normal + found["own_share"] * own)


METHODS.register("isotonic")(
    Method(
        _fit_isotonic,
        _apply_isotonic,
        lambda found: f"isotonic steps, {sum(len(c['at']) // 2 for c in found['classes'])} in all",
    )
)
