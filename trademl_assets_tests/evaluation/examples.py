"""A small market of Brownian returns whose drift is partly known, with overlapping labels and four parts."""

import json
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.stats import norm

from trademl_assets.evaluation.judge import EvaluationParameters
from trademl_assets.scoring.predictions import CalibratedPredictions, calibrate_predictions
from trademl_assets_tests.scoring.limits import calibration_values

STEP_SECONDS, HORIZON_STEPS, STEPS_A_DAY = 300, 6, 288
EDGES_BPS = np.array([-20.0, -5.0, 5.0, 20.0])
INSTANT = pl.Datetime("us", "UTC")


def evaluation_parameters(**changes) -> EvaluationParameters:
    values = {
        "calibration": calibration_values(),
        "calibration_gate": {"minimum_effective": 200, "level": 0.02, "tolerated_excess": 0.01, "replicates": 100},
        "conformal": {
            "score": "aps",
            "miscoverage": 0.1,
            "adaptation_rate": 0.005,
            "window": 2000,
            "most_classes": 2,
        },
        "baselines": {"volatility_bins": 10, "pseudo_counts": 5, "logistic_penalty": 0.001, "boosting": None},
        "minimum_effective_test": 100,
        "minimum_blocks": 5,
        "block_horizons": 2,
        "minimum_block": "P1D",
        "interval_confidence": 0.95,
        "significance_level": 0.05,
        "power": 0.8,
        "bootstrap_replicates": 500,
        "excess_replicates": 200,
        "minimum_attainable_nats": 1e-4,
        "ageing": {
            "period": "P4D",
            "minimum_effective": 50,
            "minimum_blocks": 2,
            "shortest_half_life": "P1D",
            "longest_half_life": "P3650D",
            "half_life_steps": 60,
            "retrain_at_share": 0.5,
        },
        "money": {
            "positions": "one_at_a_time",
            "trade_shares": [0.1, 1.0],
            "costs": [{"name": "the spread", "spreads": 1.0, "fee_bps": 0.0}],
            "capacity_bps": [5.0],
            "minimum_trades": 20,
        },
        "comparison": {"set_level": 0.1, "overfitting_groups": 8, "minimum_trials": 10, "kept_versions": 20},
        "seed": 7,
    }
    return EvaluationParameters.model_validate_json(json.dumps(values | changes))


@dataclass(frozen=True)
class Example:
    """An index, members' logits of the held-out parts, and the optimum on the test part."""

    index: pl.DataFrame
    predictions: pl.DataFrame
    optimum: dict[str, np.ndarray]

    def calibrated(self, parameters: EvaluationParameters) -> CalibratedPredictions:
        return calibrate_predictions(self.predictions, self.index, parameters.calibration)


def class_probabilities(drift: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """(N, C) of a normal return with drift (N,) and sigma (N,) in bps."""
    below = norm.cdf((EDGES_BPS - drift[:, None]) / sigma[:, None])
    return np.diff(np.concatenate([np.zeros((len(drift), 1)), below, np.ones((len(drift), 1))], axis=1), axis=1)


def make_example(
    days: tuple[int, int, int, int] = (24, 4, 4, 8),
    signal: float = 0.6,
    known: float = 0.8,
    *,
    sharpness: float = 1.0,
    members: int = 2,
    seed: int = 0,
) -> Example:
    """`signal` scales the drift, the model knows the share `known` of it; its logits are multiplied by `sharpness`."""
    generator = np.random.default_rng(seed)
    total = sum(days) * STEPS_A_DAY
    drift = np.zeros(total + HORIZON_STEPS)
    shocks = generator.standard_normal(len(drift))
    for step in range(1, len(drift)):
        drift[step] = 0.98 * drift[step - 1] + np.sqrt(1 - 0.98**2) * shocks[step]
    hourly = np.repeat(generator.choice([6.0, 12.0, 24.0], size=sum(days) + 1), STEPS_A_DAY)
    sigma = hourly[: total + HORIZON_STEPS]
    per_step = sigma / np.sqrt(HORIZON_STEPS)
    move = per_step * (signal * drift / np.sqrt(HORIZON_STEPS) + generator.standard_normal(len(drift)))
    path = np.concatenate([[0.0], np.cumsum(move)])
    returns = path[HORIZON_STEPS:][:total] - path[:total]
    label = np.searchsorted(EDGES_BPS, returns, side="right")
    part = np.repeat(np.array(["train", "validation", "calibration", "test"]), np.array(days) * STEPS_A_DAY)
    t0 = 1_704_067_200_000_000 + np.arange(total) * STEP_SECONDS * 1_000_000
    index = pl.DataFrame(
        {
            "sample": np.arange(total),
            "t0": pl.Series(t0).cast(INSTANT),
            "t1": pl.Series(t0 + HORIZON_STEPS * STEP_SECONDS * 1_000_000).cast(INSTANT),
            "label": pl.Series(label).cast(pl.Int8),
            "return_bps": returns,
            "sigma_bps": sigma[:total],
            "part": part,
            "regime": ["unknown"] * total,
            "on_stride": [True] * total,
        }
    )
    held = part != "train"
    now, scale = drift[:total][held], sigma[:total][held]
    logits = sharpness * np.log(np.maximum(class_probabilities(known * signal * now * scale, scale), 1e-12))
    predictions = pl.concat(
        pl.DataFrame(
            {"sample": np.arange(total)[held], "member": np.full(held.sum(), member, dtype=np.int32)}
        ).with_columns(**{f"logit_{number}": column for number, column in enumerate(logits.T)})
        for member in range(members)
    )
    test = part == "test"
    optimum = {
        "optimum": class_probabilities(signal * drift[:total][test] * sigma[:total][test], sigma[:total][test]),
        "returns_only": class_probabilities(
            0.5 * signal * drift[:total][test] * sigma[:total][test], sigma[:total][test]
        ),
        "volatility": class_probabilities(np.zeros(test.sum()), sigma[:total][test]),
    }
    return Example(index, predictions, optimum)
