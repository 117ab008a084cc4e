"""Files for other programs, outside the store: whole or not there, but with no manifest: nothing reads them back."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from trademl_assets.storage import durable


def write_npz(folder: Path, name: str, arrays: Mapping[str, NDArray[Any]]) -> Path:
    """Write arrays as a compressed npz archive, as `numpy.load` reads it; no pickle inside.

    Such an archive cannot be mapped into memory, which is why nothing on the way uses it.

    Args:
        folder: Folder, made where it is missing.
        name: File name without the suffix.
        arrays: Arrays by name.

    Returns:
        The file.

    Raises:
        StorageError: It cannot be written.
    """

    def write(file: durable.HashingFile) -> None:
        np.savez_compressed(cast("Any", file), allow_pickle=False, **cast("Any", dict(arrays)))

    try:
        durable.make_folder(folder)
    except OSError as error:
        raise durable.write_error(folder, error) from error
    file, _, _ = durable.stream_durably(folder, write, lambda _digest: f"{name}.npz")
    return folder / file
