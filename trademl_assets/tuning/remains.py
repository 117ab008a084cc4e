"""What the trials of a study leave in their scratch folders, and when it goes.

A folder is needed while its trial is trained, until its outcome is in the database, and by a final training that takes
over the winner's member. A folder in which a training was launched is that training's: it goes with its commit, so
that one that was broken off can go on.
"""

from pathlib import Path

from trademl_assets.storage.commit import ArtifactStore
from trademl_assets.storage.holding import HeldFolder, claimed, hold_folder, remove_unheld
from trademl_assets.training.results import SPEC_FILE

SCRATCH = "training"
"""Name of the scratch space of trainings, in which trials and final trainings of a model lie side by side."""


def hold_trials(store: ArtifactStore, key: str) -> HeldFolder:
    """Keep the folders of all trials of a model, those of settled trials too, as long as its study runs.

    Args:
        store: Where they lie.
        key: Experiment and model.

    Raises:
        StorageError: The scratch space cannot be written.
    """
    return hold_folder(store.layout.scratch_folder(SCRATCH, key))


def remove_losers(store: ArtifactStore, key: str, final: Path) -> None:
    """Remove what the trials of a finished study left, but for what its final training takes over.

    What is held stays, and whatever a kill leaves is removed by the next call.

    Args:
        store: Where it lies.
        key: Experiment and model.
        final: Folder of the final training.

    Raises:
        StorageError: A folder cannot be removed.
    """
    _remove_trials(store, key, kept=final)


def remove_trained(store: ArtifactStore, key: str, final: Path) -> None:
    """Remove the folder of a final training that is committed, and of all trials, unless a study of the model runs.

    Args:
        store: Where they lie.
        key: Experiment and model.
        final: Folder of the final training.

    Raises:
        StorageError: A folder cannot be removed.
    """
    (final / SPEC_FILE).unlink(missing_ok=True)
    remove_unheld(final)
    with claimed(store.layout.scratch_folder(SCRATCH, key)) as is_over:
        if is_over:
            _remove_trials(store, key, kept=None)


def _remove_trials(store: ArtifactStore, key: str, *, kept: Path | None) -> None:
    for folder in sorted(store.layout.scratch_folder(SCRATCH, key).iterdir()):
        if folder.is_dir() and folder != kept:
            remove_unheld(folder, unless=SPEC_FILE)
