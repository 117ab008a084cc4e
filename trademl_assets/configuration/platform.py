"""Sections that belong to the deployment rather than to one stage: where artifacts lie and how runs are tracked."""

from typing import Annotated

from pydantic import Field

from trademl_assets.foundation.environment_text import EnvironmentText
from trademl_assets.foundation.parameters import Parameters


class PlatformParameters(Parameters):
    """The deployment.

    Attributes:
        name: Name of the deployment, shown in run tags.
        storage_root: Folder of the artifacts and of their scratch space; may name environment variables.
        owner: Dagster owner of every asset, an e-mail address or `team:name`.
        partitions_per_run: Most partitions that one run of a range materialises.
    """

    name: Annotated[str, Field(min_length=1)]
    storage_root: EnvironmentText
    owner: Annotated[str, Field(pattern=r"^(team:[A-Za-z0-9_.-]+|[^@\s]+@[^@\s]+)$")]
    partitions_per_run: Annotated[int, Field(ge=1)]


class StageExperiments(Parameters):
    """MLflow experiment of each stage."""

    data_collection: str
    data_object: str
    preprocessing: str
    dataset_preparation: str
    hyperparameter_optimization: str
    model_training: str


class TrackingParameters(Parameters):
    """Where and under which names runs are traced in MLflow.

    Attributes:
        uri: Tracking URI, for example `sqlite:///${TRADEML_VAR}/demo/mlflow.db`.
        artifact_location: Folder or URL of MLflow's artifacts.
        interface_url: Address of MLflow's own interface, to which pages in Dagster's interface link.
        experiments: Name of the experiment of each stage.
    """

    uri: EnvironmentText
    artifact_location: EnvironmentText
    interface_url: Annotated[str, Field(pattern=r"^https?://[^\s]+[^/\s]$")]
    experiments: StageExperiments
