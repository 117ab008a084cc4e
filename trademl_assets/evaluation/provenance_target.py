"""What the target of a question about provenance means: a partition, the name of a model, a file or a copy of one."""

from collections.abc import Sequence
from pathlib import Path

from trademl_assets.foundation.errors import ConfigError, CorruptArtifactError, MissingPartitionError
from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.storage.durable import hash_file
from trademl_assets.storage.manifest import MANIFEST_FILE

MODEL_STAGES = ("model_evaluation", "calibrated_model", "trained_model")
"""What the name of a model stands for: the latest of these that there is."""
_DIGITS = 12
_IN_PIECES = 2


def find_target(store: ArtifactStore, assets: Sequence[str], text: str) -> tuple[str, str]:
    """Tell which partition a text means.

    Args:
        store: Where the partitions lie.
        assets: Names of all assets, those made from others last.
        text: `asset/partition`; `experiment|model` or `experiment/model`, the latest stage of it; or a file, in the
            store or a copy of one, found by its bytes.

    Raises:
        ConfigError: It is none of these.
        MissingPartitionError: There is no such partition, or none that holds the bytes of the file.
        CorruptArtifactError: The file lies in the store, but the partition does not name it.
    """
    asset, _, partition = text.partition("/")
    if asset in assets and partition:
        store.require(asset, partition)
        return asset, partition
    if Path(text).is_file():
        return _partition_of_file(store, assets, Path(text).absolute())
    model = text.replace("/", "|")
    if len(model.split("|")) != _IN_PIECES or not all(model.split("|")):
        raise ConfigError(
            f"{text!r} is no partition, model or file -> write asset/partition, experiment/model, or the path of a file"
        )
    for stage in MODEL_STAGES:
        if store.manifest(stage, model) is not None:
            return stage, model
    raise MissingPartitionError(f"{text!r}: no such asset, and no such model was trained -> trademl run, then again")


def _partition_of_file(store: ArtifactStore, assets: Sequence[str], path: Path) -> tuple[str, str]:
    place = store.layout.partition_of(path)
    if place is not None:
        manifest = store.require(*place)
        if path.name not in {MANIFEST_FILE, *(entry.file for entry in manifest.files.values())}:
            raise CorruptArtifactError(
                f"{path} is no file of {manifest.asset}/{manifest.partition}: its manifest names "
                f"{', '.join(sorted(entry.file for entry in manifest.files.values()))} -> it was made again since"
            )
        return place
    digest, _ = hash_file(path)
    for asset in reversed(assets):
        for partition in store.partitions(asset):
            if digest in {entry.sha256 for entry in store.require(asset, partition).files.values()}:
                return asset, partition
    raise MissingPartitionError(
        f"{path}: no partition of {store.layout.root} holds these bytes (sha256 {digest[:_DIGITS]}) -> they were "
        "changed, or come from another deployment"
    )
