"""From a model's parameters and searched values to the specification of one training, and where it does its work.

Trials and the final training that say the same thing share a scratch folder, so the final training takes over the
member that the best trial has trained already; both would train it to the same bits.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from trademl_assets.datasets.inputs import DATASET_ASSET
from trademl_assets.foundation.parameters import Parameters, combine_fingerprints
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.training.launch import count_processes
from trademl_assets.training.leases import Cards
from trademl_assets.training.parameters import TrainingParameters, TrainingSpec
from trademl_assets.tuning.remains import SCRATCH
from trademl_assets.tuning.space import apply_overrides

_FOLDER_DIGITS = 16


class TrainingTemplate(Parameters):
    """What the trainings of one study have in common; travels as JSON.

    Attributes:
        store_root: Root of the artifact store.
        experiment: Dataset to train on.
        model_name: Name of the configured model.
        family: Its family.
        searchable: Nested parameters that a search space points into: `model`, `training`, `weights` of the dataset.
        code_version: Of the training.
    """

    store_root: str
    experiment: str
    model_name: str
    family: str
    searchable: dict[str, Any]
    code_version: str

    @property
    def key(self) -> str:
        """Experiment and model, as partitions are named."""
        return f"{self.experiment}|{self.model_name}"

    def alone(self, cards: Cards | None) -> "TrainingTemplate":
        """Return it with one device where its trainings would take several of these cards, as trials never do.

        What processes train together differs in bits from what one trains, so that it has other folders.
        """
        training = self.searchable["training"]
        if count_processes(training["devices"], cards) == 1:
            return self
        return self.model_copy(update={"searchable": {**self.searchable, "training": {**training, "devices": "1"}}})

    def specify(
        self,
        overrides: Mapping[str, Any],
        *,
        mode: Literal["fit", "search"],
        fold: int | None = None,
        patience_epochs: int | None = None,
    ) -> TrainingSpec:
        """Make the specification of one training.

        Args:
            overrides: Searched values by dotted path.
            mode: `fit` trains every seed and predicts all held-out parts; `search` the first seed, on one device,
                validation only.
            fold: Fold of the dataset in place of its train and validation blocks.
            patience_epochs: Of early stopping, in place of the stated one.

        Raises:
            ConfigError: A path names nothing.
            ValidationError: A searched value is not a valid parameter.
            MissingPartitionError: There is no dataset.
        """
        stated = dict(overrides)
        if patience_epochs is not None:
            stated.setdefault("training.early_stopping.patience_epochs", patience_epochs)
        parameters = apply_overrides(self.searchable, stated)
        if mode == "search" and count_processes(parameters["training"]["devices"], None) > 1:
            parameters["training"]["devices"] = "1"
        training = TrainingParameters.model_validate_json(_json(parameters["training"]))
        weights = parameters["weights"] if parameters["weights"] != self.searchable["weights"] else None
        store = ArtifactStore.at(Path(self.store_root))
        dataset = store.require(DATASET_ASSET, self.experiment).content_hash
        named = [_json(parameters), self.family, dataset, self.code_version]
        name = combine_fingerprints(*named, *([] if fold is None else [f"fold {fold}"]))
        return TrainingSpec(
            store_root=self.store_root,
            experiment=self.experiment,
            model_name=self.model_name,
            family=self.family,
            model=parameters["model"],
            training=training,
            seeds=training.seeds if mode == "fit" else training.seeds[:1],
            output_folder=str(store.layout.scratch_folder(SCRATCH, f"{self.key}|{name[:_FOLDER_DIGITS]}")),
            mode=mode,
            fold=fold,
            weights=weights,
            code_version=self.code_version,
        )


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
