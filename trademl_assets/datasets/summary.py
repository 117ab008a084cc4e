"""What is watched of a dataset over its versions: sizes, coverage, what was left out; and one sample to look at."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from trademl_assets.datasets.samples import Sample
from trademl_assets.datasets.windows import Dataset
from trademl_assets.foundation.calendar import to_microseconds

Recipe = Mapping[str, Any]


def summary_numbers(recipe: Recipe) -> dict[str, float]:
    """Of every part its samples on the stride, independent labels and coverage; rows left out, by reason.

    Coverage is the share of the part's steps at which its targets were observed.
    """
    numbers = {f"{part}_n_eff": count for part, count in recipe["effective_samples"].items()}
    for part in recipe["effective_samples"]:
        blocks = [block for block in recipe["blocks"] if block["part"] == part]
        lengths = [block["last_us"] - block["first_us"] for block in blocks]
        numbers[f"{part}_samples"] = float(sum(block["on_stride"] for block in blocks))
        numbers[f"{part}_coverage"] = float(np.average([block["coverage"] for block in blocks], weights=lengths))
    reasons = {reason: count for reason, count in recipe["counts"].items() if reason != "candidates"}
    return numbers | {f"left_out_{reason}": float(count) for reason, count in reasons.items()}


def typical_sample(dataset: Dataset) -> Sample:
    """The sample in the middle of training, of the primary target over the primary horizon, as it is stored."""
    rows = dataset.samples("train", on_stride_only=True)
    middle = rows.row(rows.height // 2, named=True)
    return dataset.sample(middle["t0"], horizon_seconds=dataset.horizon_seconds)


def pack_sample(sample: Sample) -> bytes:
    """A sample as npz without pickles: an array a stream, `t0_us` and `t1_us` (microseconds UTC), label, return_bps."""
    label = [] if sample.label is None else [sample.label]
    arrays: dict[str, Any] = {
        **sample.windows,
        "t0_us": np.int64(to_microseconds(sample.t0)),
        "t1_us": np.int64(to_microseconds(sample.t1)),
        "label": np.asarray(label, np.int8),
        "return_bps": np.float64(sample.facts["return_bps"]),
    }
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()
