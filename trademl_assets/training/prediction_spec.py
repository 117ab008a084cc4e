"""The specification of a prediction that the training process makes, free of torch."""

from typing import Literal

from trademl_assets.datasets.parameters import Part
from trademl_assets.foundation.parameters import Parameters
from trademl_assets.training.parameters import TrainingParameters


class PredictionSpec(Parameters):
    """What one process predicts; travels as JSON.

    Attributes:
        mode: Tells it from a training.
        store_root: Root of the artifact store.
        experiment: Dataset whose decisions are predicted.
        part: Part of its split.
        model_name: Partition of the trained model, such as `demo|dual_channel`.
        training: Threads and timeout of the process.
        output_folder: Scratch folder of the results.
    """

    mode: Literal["predict"]
    store_root: str
    experiment: str
    part: Part
    model_name: str
    training: TrainingParameters
    output_folder: str
