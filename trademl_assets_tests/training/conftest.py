"""A small market whose books foretell returns, written through the store as grid days and a dataset."""

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from trademl_assets.datasets.build import SCHEMA_VERSION, build_dataset, write_dataset
from trademl_assets.datasets.parameters import DatasetParameters
from trademl_assets.datasets.series import GridFrame
from trademl_assets.datasets.windows import Dataset, open_dataset
from trademl_assets.models.inputs import ModelInputs, inputs_of
from trademl_assets.models.registry import ModelParameters
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.storage.manifest import Provenance
from trademl_assets.training.data import SegmentFeed
from trademl_assets.training.member import build_network
from trademl_assets.training.parameters import TrainingParameters, TrainingSpec

FIRST, DAYS = date(2024, 1, 4), 8
FRAME = GridFrame(cadence_seconds=60, max_gap_seconds=300, instruments=("LEAD", "FOLLOW"))
LEVELS = 6
PROVENANCE = Provenance(code_version="1", config_fingerprint="f", upstream={})


def write_market(store: ArtifactStore) -> None:
    rng = np.random.default_rng(5)
    steps, assets = FRAME.steps_per_day, len(FRAME.instruments)
    drift, log_mid = np.zeros(assets), np.zeros(assets)
    for number in range(-3, DAYS):
        day = FIRST + timedelta(days=number)
        names = ("mean_bps", "volume")
        facts = pl.DataFrame({"day": [day] * assets, "instrument": list(FRAME.instruments)})
        facts = facts.with_columns(*(pl.Series(name, rng.exponential(1.0, assets)) for name in names))
        with store.write("daily_aggregates", day.isoformat(), schema_version=1, provenance=PROVENANCE) as writer:
            writer.table("data", facts)
        if number < 0:
            continue
        mid, ratio = np.empty((steps, assets)), np.empty((steps, assets))
        for step in range(steps):
            drift = 0.98 * drift + 0.2 * rng.normal(size=assets)
            ratio[step] = drift
            mid[step] = 100 * np.exp(log_mid)
            log_mid = log_mid + 1e-3 * (0.3 * drift + rng.normal(size=assets))
        size = rng.normal(1.5, 0.1, (steps, LEVELS, assets))
        noisy = ratio[:, None, :] * 0.2 + rng.normal(0, 0.2, (steps, LEVELS, assets))
        distance = np.broadcast_to(np.arange(1.0, LEVELS + 1)[None, :, None], size.shape)
        book = np.stack([distance, size + noisy / 2, distance, size - noisy / 2], axis=3).clip(0.01)
        mask = np.zeros((steps, assets, 4), np.float16)
        mask[..., 0] = 1
        price = np.zeros((steps, assets, 4), np.float32)
        price[..., 2:] = rng.exponential(1.0, (steps, assets, 2))
        with store.write("aligned_grid", day.isoformat(), schema_version=1, provenance=PROVENANCE) as writer:
            arrays = {
                "book": book.reshape(steps, LEVELS, -1).astype(np.float16),
                "price": price.reshape(steps, -1),
                "mask": mask.reshape(steps, -1),
                "mid": mid,
                "state": np.zeros((steps, assets), np.uint8),
                "usable": np.ones(steps, np.uint8),
            }
            writer.arrays("arrays", arrays)


def dataset_values() -> dict[str, Any]:
    lookback = {"lookback": "PT12H"}
    return {
        "series_from": "grid",
        "target": "FOLLOW",
        "pooled_with": [],
        "instruments": list(FRAME.instruments),
        "first_day": FIRST.isoformat(),
        "last_day": (FIRST + timedelta(days=DAYS - 1)).isoformat(),
        "first_instant": None,
        "minimum_history": "PT12H",
        "partial_fill_threshold": 0.1,
        "labels": {
            "horizons_seconds": [900],
            "decision_stride_seconds": 600,
            "decision_phase_seconds": 0,
            "training_phase_seconds": 300,
            "max_mid_age_seconds": 5.0,
            "minimum_class_support": 1,
            "kind": "price_classes",
            "parameters": {"boundaries": {"kind": "quantile", "classes": 4}},
        },
        "split": {
            "kind": "blocks",
            "degradation": [],
            "minimum_effective_samples": {},
            "on_short_part": "warn",
            "blocks": [
                {"part": "train", "length": "P4D"},
                {"part": "validation", "length": "P2D"},
                {"part": "calibration", "length": "P1D"},
                {"part": "test", "length": "P1D"},
            ],
            "embargo_seconds": 3600,
        },
        "sigma": {"short_window_seconds": 3600, "long_window_seconds": 21600, "floor_bps": 0.01},
        "streams": {
            "book": lookback,
            "price": lookback,
            "mask": lookback,
            "clock": {**lookback, "columns": ["hour", "rolling_volatility"], "encoding": "cyclical"},
            "long_term": {"lookback_days": 3, "missing_days": "refuse", "statistics": ["mean_bps", "volume"]},
            "additional": {},
        },
        "weights": {"parts": [{"kind": "exponential_age", "half_life_days": 2.0}]},
        "scaling": {
            "method": "robust",
            "method_by_stream": {},
            "lower_quantile": 0.1,
            "upper_quantile": 0.9,
            "constant_below": 1e-6,
            "floors": {"log_sigma_short": 0.05, "log_sigma_long": 0.05},
            "clip": 10.0,
            "rows_at_most": 1000,
        },
        "segments": {"length": "P1D", "anchor_lookback": "PT12H"},
        "audit": {
            "random_cuts": 50,
            "edge_cuts_at_most": 10,
            "raw_cuts": 2,
            "raw_reach": "PT1H",
            "raw_whole_day_cuts": 2,
            "controls": {
                "draws": 2,
                "training_rows_at_most": 1000,
                "penalties": [0.03, 0.3],
                "planted_correlation": 0.5,
                "block": "PT2H",
                "minimum_blocks": 5,
                "confidence": 0.99,
            },
            "seed": 7,
        },
    }


def model_values(**changes: Any) -> dict[str, Any]:
    return {
        "instruments": None,
        "book": {"kind": "bands", "slots": None, "slots_per_band": 3, "features": ["imbalance"]},
        "price": True,
        "mask": True,
        "clock": True,
        "encoder": {
            "kind": "patch",
            "steps": 10,
            "shared_by_instruments": True,
            "step_width": 3,
            "step_activation": "gelu",
            "pooling": "mean",
            "token_width": 6,
            "token_activation": "gelu",
            "token_norm": False,
            "dropout": 0.1,
        },
        "history": {"kind": "anchored", "width": 8, "layers": 1, "initial_forget_bias": 1.0, "dropout": 0.1},
        "long_term": {
            "channels": [2],
            "kernel_days": 2,
            "stride_days": 1,
            "activation": "gelu",
            "width": 2,
            "dropout": 0.5,
        },
        "context": {"width": 2, "dropout": 0.1},
        "merge": {"widths": [], "activation": "gelu", "dropout": 0.1},
        "head": {
            "kind": "distribution",
            "components": 2,
            "largest_log_scale": 3.0,
            "initial_log_scale_spread": 0.3,
        },
        "answers": {"horizons": "primary", "targets": "primary", "target_embedding_width": None},
        "mirrored": False,
        "initialisers": [],
        "regularisation": [],
        **changes,
    }


def training_values(**changes: Any) -> dict[str, Any]:
    return {
        "seeds": [1, 2],
        "devices": "cpu",
        "threads": 1,
        "workers": 0,
        "deterministic": True,
        "precision": "fp32",
        "step_features_precision": "fp32",
        "step_features_gigabytes": 1.0,
        "step_features_on": "auto",
        "device_memory_share": 0.5,
        "compile": False,
        "max_epochs": 4,
        "steps_per_epoch_at_most": None,
        "segments_per_step": 2,
        "parts_per_step": 1,
        "step_memory_share": 0.5,
        "recompute_activations": False,
        "weight_average_decay": None,
        "kept_epoch": "best",
        "class_grid": None,
        "class_grids": {},
        "loss": {"kind": "cross_entropy", "class_weights": None, "label_smoothing": 0.0},
        "optimiser": {
            "kind": "adamw",
            "learning_rate": 0.02,
            "weight_decay": 0.1,
            "context_weight_decay": 1.0,
            "betas": [0.9, 0.999],
            "epsilon": 1e-8,
            "fused": False,
        },
        "schedule": {"kind": "cosine", "warm_up_share": 0.1, "final_learning_rate_share": 0.1},
        "gradient_clipping": {"value": None, "norm": 1.0},
        "early_stopping": {"patience_epochs": 10, "minimum_improvement": 0.0, "threshold": None},
        "not_a_number": {"retries": 0, "learning_rate_factor": 0.5},
        "checkpoint_every_steps": 3,
        "progress_seconds": 0.001,
        "tensorboard_folder": None,
        "timeout": "PT1H",
        **changes,
    }


def model_of(**changes: Any) -> ModelParameters:
    text = json.dumps({"family": "dual_channel", "parameters": model_values(**changes)})
    return ModelParameters.model_validate_json(text)


def training_of(**changes: Any) -> TrainingParameters:
    return TrainingParameters.model_validate_json(json.dumps(training_values(**changes)))


def specification(store: ArtifactStore, folder: Path, **changes: Any) -> TrainingSpec:
    stated = {
        "store_root": str(store.layout.root),
        "experiment": "signal",
        "model_name": "small",
        "family": "dual_channel",
        "model": model_values(),
        "training": training_values(),
        "seeds": [1, 2],
        "output_folder": str(folder),
        "mode": "fit",
        "fold": None,
        "weights": None,
        "code_version": "1",
        **changes,
    }
    return TrainingSpec.model_validate_json(json.dumps(stated))


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> ArtifactStore:
    made = ArtifactStore.at(tmp_path_factory.mktemp("store"))
    write_market(made)
    parts = build_dataset(made, DatasetParameters.model_validate_json(json.dumps(dataset_values())), FRAME)
    with made.write("dataset", "signal", schema_version=SCHEMA_VERSION, provenance=PROVENANCE) as writer:
        write_dataset(writer, parts)
    return made


@pytest.fixture(scope="session")
def dataset(store: ArtifactStore) -> Dataset:
    return open_dataset(store, "signal")


@pytest.fixture(scope="session")
def inputs(dataset: Dataset) -> ModelInputs:
    return inputs_of(dataset)


@pytest.fixture(scope="session")
def feed(dataset: Dataset, inputs: ModelInputs) -> SegmentFeed:
    return SegmentFeed(dataset, build_network(model_of(), inputs))
