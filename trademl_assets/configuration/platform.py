"""Sections that belong to the deployment rather than to one stage: where artifacts lie and how runs are tracked."""

import hashlib
from typing import Annotated

from pydantic import Field

from trademl_assets.foundation.environment_text import EnvironmentText
from trademl_assets.foundation.parameters import Parameters


class RawCacheParameters(Parameters):
    """Raw rows are a cache: they are removed once their snapshots are committed and verified.

    Attributes:
        keep_share: Share of the days of instruments whose raw rows stay, as samples for diagnosis; 1 keeps all.
        seed: Decides which.
    """

    keep_share: Annotated[float, Field(ge=0, le=1)]
    seed: int

    def keeps(self, key: str) -> bool:
        """Tell whether the raw rows of a partition stay; the same answer every time."""
        digest = hashlib.sha256(f"{self.seed}|{key}".encode()).digest()
        return int.from_bytes(digest[:8], "big") < self.keep_share * 2**64


class PlatformParameters(Parameters):
    """The deployment.

    Attributes:
        name: Name of the deployment, shown in run tags.
        storage_root: Folder of the artifacts and of their scratch space; may name environment variables.
        gpu_leases: Folder of the locks of this machine's GPUs; the same for all deployments on it.
        owner: Dagster owner of every asset, an e-mail address or `team:name`.
        partitions_per_run: Most partitions that one run of a range materialises.
        failures_per_run: A run ends, and a drive launches no further one, once so many partitions could not be made;
            fewer are passed over and told at the end.
        raw_cache: How long raw rows stay.
    """

    name: Annotated[str, Field(min_length=1)]
    storage_root: EnvironmentText
    gpu_leases: EnvironmentText
    owner: Annotated[str, Field(pattern=r"^(team:[A-Za-z0-9_.-]+|[^@\s]+@[^@\s]+)$")]
    partitions_per_run: Annotated[int, Field(ge=1)]
    failures_per_run: Annotated[int, Field(ge=1)]
    raw_cache: RawCacheParameters


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
