"""Arrays as uncompressed Arrow IPC files, one column a field, mapped back without a copy."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trademl_assets.foundation.errors import StorageError

_SHAPES = b"trademl_shapes"
_ALLOWED = ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool")


def write_arrays(arrays: Mapping[str, NDArray[Any]], path: Path) -> None:
    """Write named arrays of any shapes into one file.

    Raises:
        StorageError: An array's type cannot be mapped.
    """
    shapes = {}
    batches: list[pa.RecordBatch] = []
    columns: list[pa.Array] = []
    for name, array in arrays.items():
        if array.dtype.name not in _ALLOWED:
            raise StorageError(f"array {name!r} has type {array.dtype} -> use one of {', '.join(_ALLOWED)}")
        shapes[name] = {"shape": list(array.shape), "dtype": array.dtype.name}
        stored = np.ascontiguousarray(array)
        flat = stored.view(np.uint8).reshape(-1) if array.dtype.name == "bool" else stored.reshape(-1)
        columns.append(
            pa.array([flat], type=pa.large_list(pa.from_numpy_dtype(flat.dtype))) if flat.size == 0 else _one_row(flat)
        )
    schema = pa.schema(
        [pa.field(name, column.type) for name, column in zip(arrays, columns, strict=True)],
        metadata={_SHAPES: json.dumps(shapes).encode()},
    )
    batches.append(pa.RecordBatch.from_arrays(columns, schema=schema))
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)


def map_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Map the arrays of a file; they are read-only and live on disk until touched."""
    with pa.memory_map(str(path), "rb") as source:
        batch = pa.ipc.open_file(source).get_batch(0)
    shapes = json.loads(batch.schema.metadata[_SHAPES])
    result: dict[str, NDArray[Any]] = {}
    for name, form in shapes.items():
        values = batch.column(name).values
        flat = values.to_numpy(zero_copy_only=True) if len(values) else np.empty(0, form["dtype"])
        array = flat.view(np.dtype(form["dtype"])).reshape(form["shape"])
        array.flags.writeable = False
        result[name] = array
    return result


def _one_row(flat: NDArray[Any]) -> pa.Array:
    return pa.LargeListArray.from_arrays(pa.array([0, flat.size], type=pa.int64()), pa.array(flat))
