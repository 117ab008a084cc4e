"""Small inputs and parameters of the dual-channel network, and batches made of random streams."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trademl_assets.models.dual_channel import DualChannel, build_dual_channel
from trademl_assets.models.inputs import ModelInputs, StreamInput
from trademl_assets.models.network import SegmentBatch
from trademl_assets.models.parameters import DualChannelParameters

SLOTS, ASSETS, PATCH, LOOKBACK, CLOCK, DAYS, STATISTICS = 7, 2, 5, 40, 3, 12, 4
BOUNDARIES = (-20.0, -5.0, 0.0, 5.0, 20.0)


def stated(**changes: Any) -> dict[str, Any]:
    """Parameters as YAML would give them; `a__b=1` changes the key b of a."""
    values: dict[str, Any] = {
        "instruments": None,
        "book": {
            "kind": "bands",
            "slots": None,
            "slots_per_band": 3,
            "features": ["imbalance", "depth", "presence", "distance_imbalance", "distance"],
        },
        "price": True,
        "mask": True,
        "clock": True,
        "encoder": {
            "kind": "patch",
            "steps": PATCH,
            "shared_by_instruments": True,
            "step_width": 6,
            "step_activation": "gelu",
            "pooling": "mean",
            "token_width": 8,
            "token_activation": "tanh",
            "token_norm": True,
            "dropout": 0.1,
        },
        "history": {"kind": "anchored", "width": 9, "layers": 1, "initial_forget_bias": 2.0, "dropout": 0.1},
        "long_term": {
            "channels": [4, 5],
            "kernel_days": 3,
            "stride_days": 2,
            "activation": "gelu",
            "width": 3,
            "dropout": 0.1,
        },
        "context": {"width": 2, "dropout": 0.1},
        "merge": {"widths": [10], "activation": "gelu", "dropout": 0.1},
        "head": {
            "kind": "distribution",
            "components": 3,
            "largest_log_scale": 3.0,
            "initial_log_scale_spread": 0.3,
        },
        "answers": {"horizons": "primary", "targets": "primary", "target_embedding_width": None},
        "mirrored": False,
        "initialisers": [],
        "regularisation": [],
    }
    for path, value in changes.items():
        holder = values
        *parents, last = path.split("__")
        for key in parents:
            holder = holder[key]
        holder[last] = value
    return values


def parameters_of(values: dict[str, Any]) -> DualChannelParameters:
    return DualChannelParameters.model_validate_json(json.dumps(values))


def stream(shape: tuple[int, ...], columns: tuple[str, ...], lookback: int, seed: int) -> StreamInput:
    rng = np.random.default_rng(seed)
    center = rng.normal(0, 0.3, shape).astype(np.float32)
    return StreamInput(shape, columns, lookback, center, rng.uniform(0.5, 2, shape).astype(np.float32), 6.0)


def inputs() -> ModelInputs:
    streams = {
        "book": stream((SLOTS, ASSETS * 4), tuple(f"b{n}" for n in range(ASSETS * 4)), LOOKBACK, 1),
        "price": stream((ASSETS * 5,), tuple(f"p{n}" for n in range(ASSETS * 5)), LOOKBACK, 2),
        "mask": stream((ASSETS * 4,), tuple(f"m{n}" for n in range(ASSETS * 4)), LOOKBACK, 3),
        "clock": stream((CLOCK,), tuple(f"c{n}" for n in range(CLOCK)), LOOKBACK, 4),
        "long_term": stream((STATISTICS, ASSETS), tuple(f"s{n}" for n in range(STATISTICS)), DAYS, 5),
    }
    instruments = ("LEAD", "FOLLOW")
    return ModelInputs(
        streams, instruments, "FOLLOW", ("FOLLOW",), (900,), 10, BOUNDARIES, ((BOUNDARIES,),), len(BOUNDARIES) + 1
    )


def pooled_inputs() -> ModelInputs:
    """Labels of both instruments over two horizons, each with edges of its own."""
    edges = tuple(
        tuple(tuple(edge * scale * root for edge in BOUNDARIES) for root in (1.0, 2.0)) for scale in (1.0, 1.5)
    )
    return replace(inputs(), targets=("FOLLOW", "LEAD"), horizons_seconds=(900, 3600), edges_bps=edges)


def network(seed: int = 0, known: ModelInputs | None = None, **changes: Any) -> DualChannel:
    torch.manual_seed(seed)
    return build_dual_channel(parameters_of(stated(**changes)), known or inputs()).eval()


def raw_streams(steps: int, seed: int) -> dict[str, Tensor]:
    rng = np.random.default_rng(seed)
    book = rng.exponential(1.0, (steps, SLOTS, ASSETS * 4)) * (rng.uniform(size=(steps, SLOTS, ASSETS * 4)) > 0.2)
    return {
        "book": torch.from_numpy(book.astype(np.float16)),
        "price": torch.from_numpy(rng.normal(size=(steps, ASSETS * 5)).astype(np.float32)),
        "mask": torch.from_numpy(rng.integers(0, 2, (steps, ASSETS * 4)).astype(np.float16)),
    }


def batch_of(
    steps: Tensor, views: list[tuple[int, int]], decisions: list[tuple[int, int]], seed: int = 0
) -> SegmentBatch:
    """Decisions as (view, whole patches); everything else is drawn by the decision's place, whatever the batch."""
    at = np.asarray(decisions)
    count = len(at)
    draws = np.stack([np.random.default_rng([seed, *views[v], p]).normal(size=CLOCK + 2) for v, p in decisions])
    rng = np.random.default_rng(seed)
    return SegmentBatch(
        steps=steps,
        view_segment=tuple(segment for segment, _ in views),
        view_phase=tuple(phase for _, phase in views),
        decision_view=torch.from_numpy(at[:, 0].copy()),
        decision_patches=torch.from_numpy(at[:, 1].copy()),
        decision_target=torch.zeros(count, dtype=torch.int64),
        decision_horizon=torch.zeros(count, dtype=torch.int64),
        sigma_bps=torch.from_numpy(np.exp(draws[:, 0] / 4 + 2).astype(np.float32)),
        clock=torch.from_numpy(draws[:, 2:].astype(np.float32)),
        days=torch.from_numpy(rng.normal(size=(2, DAYS, STATISTICS, ASSETS)).astype(np.float32)),
        decision_day=torch.from_numpy(at[:, 1] % 2),
        labels=torch.from_numpy(at[:, 1] % (len(BOUNDARIES) + 1)),
        returns_bps=torch.from_numpy((10 * draws[:, 1]).astype(np.float32)),
        weights=torch.ones(count),
        total_weight=float(count),
        rows=torch.arange(count),
    )
