"""What a dataset may hold and no model is trained on."""

from trademl_assets.datasets.windows import Dataset
from trademl_assets.foundation.errors import ConfigError


def refuse_untrainable(dataset: Dataset) -> None:
    """Refuse a dataset that a model would be trained on in another sense than the dataset's.

    Raises:
        ConfigError: Out-of-fold predictions stand in for its calibration part.
    """
    if dataset.recipe["calibration_from"] == "out_of_fold":
        raise ConfigError(
            f"dataset {dataset.experiment!r}: its calibration part falls short, and the models of the folds, whose "
            "predictions would stand in for it, are not trained -> lengthen the calibration part, lower "
            "split.minimum_effective_samples.calibration, or write calibration_from: block"
        )
