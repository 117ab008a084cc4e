"""The small market of the trainings' tests, as a dataset with validation blocks and as one with folds."""

import json

import pytest

from trademl_assets.datasets.build import SCHEMA_VERSION, build_dataset, write_dataset
from trademl_assets.datasets.parameters import DatasetParameters
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets_tests.datasets.test_fold_view import EXPANDING
from trademl_assets_tests.training.conftest import FRAME, PROVENANCE, dataset_values, write_market


@pytest.fixture(scope="session")
def market(tmp_path_factory: pytest.TempPathFactory) -> ArtifactStore:
    """A store with the datasets `signal` and `folded`."""
    store = ArtifactStore.at(tmp_path_factory.mktemp("store"))
    write_market(store)
    values = dataset_values()
    for name, split in (("signal", {}), ("folded", EXPANDING)):
        stated = values | {"split": values["split"] | split}
        parameters = DatasetParameters.model_validate_json(json.dumps(stated))
        with store.write("dataset", name, schema_version=SCHEMA_VERSION, provenance=PROVENANCE) as writer:
            write_dataset(writer, build_dataset(store, parameters, FRAME))
    return store
