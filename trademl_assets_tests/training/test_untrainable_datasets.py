"""Datasets that models are not trained on end a training before it begins, with what to do."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trademl_assets.datasets.build import SCHEMA_VERSION, build_dataset, write_dataset
from trademl_assets.datasets.parameters import DatasetParameters
from trademl_assets.datasets.trainable import refuse_untrainable
from trademl_assets.datasets.windows import open_dataset
from trademl_assets.foundation.errors import ConfigError
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.training.fit import fit_members
from trademl_assets_tests.training.conftest import FRAME, PROVENANCE, dataset_values, specification


def made(store: ArtifactStore, experiment: str, **changed: Any) -> str:
    values = dataset_values()
    values |= {key: values[key] | value if isinstance(value, dict) else value for key, value in changed.items()}
    parts = build_dataset(store, DatasetParameters.model_validate_json(json.dumps(values)), FRAME)
    with store.write("dataset", experiment, schema_version=SCHEMA_VERSION, provenance=PROVENANCE) as writer:
        write_dataset(writer, parts)
    return experiment


def series_split(calibration: int) -> dict[str, Any]:
    return {
        "kind": "time_series",
        "n_splits": 3,
        "resolution_seconds": 3600,
        "calibration_from": "out_of_fold",
        "embargo_seconds": 43_200,
        "minimum_effective_samples": {"calibration": calibration},
    }


def train(store: ArtifactStore, folder: Path, experiment: str) -> None:
    spec = specification(store, folder, experiment=experiment)
    fit_members(spec, processes=1, writes=True, report=lambda _line, _facts: None)


def test_a_pooled_dataset_is_not_trained_on_for_one_target(store: ArtifactStore, tmp_path: Path) -> None:
    made(store, "pooled", pooled_with=["LEAD"])
    assert open_dataset(store, "pooled").targets == ("FOLLOW", "LEAD")
    with pytest.raises(ConfigError, match=r"pools labels of FOLLOW, LEAD.*does not forecast LEAD -> write answers"):
        train(store, tmp_path, "pooled")


def test_a_calibration_from_folds_is_opened_but_not_trained_on(store: ArtifactStore, tmp_path: Path) -> None:
    made(store, "short", split=series_split(calibration=200))
    assert open_dataset(store, "short").recipe["calibration_from"] == "out_of_fold"
    with pytest.raises(ConfigError, match=r"calibration part falls short.*-> lengthen the calibration part"):
        train(store, tmp_path, "short")


def test_a_calibration_part_that_suffices_is_trained_on_whatever_would_stand_in_for_it(store: ArtifactStore) -> None:
    made(store, "sufficient", split=series_split(calibration=20))
    refuse_untrainable(open_dataset(store, "sufficient"))


def test_of_several_horizons_models_are_given_the_decisions_of_the_first(store: ArtifactStore) -> None:
    made(store, "horizons", labels={"horizons_seconds": [900, 1800]})
    several, single = (open_dataset(store, name) for name in ("horizons", "signal"))
    refuse_untrainable(several)
    assert several.horizon_seconds == 900
    for part in ("train", "validation", "calibration", "test"):
        found, expected = (
            opened.index[np.concatenate([each.rows for each in opened.segments(part, on_stride_only=False)])]
            for opened in (several, single)
        )
        assert found.drop("sample").equals(expected.drop("sample"))
