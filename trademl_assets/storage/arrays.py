"""Arrays as uncompressed Arrow IPC files, one column a field, mapped back without a copy."""

import json
from collections.abc import Mapping
from io import RawIOBase
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trademl_assets.foundation.errors import StorageError

_FORMS = b"trademl_shapes"
_INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_ALLOWED = ("float16", "float32", "float64", *_INTEGERS, "bool")


def write_arrays(arrays: Mapping[str, NDArray[Any]], target: RawIOBase) -> None:
    """Write named arrays of any shapes into one file: a row with a list of values a field.

    An array that lies in memory as it is stored (C order, native byte order) is not copied.

    Raises:
        StorageError: An array's type cannot be mapped.
    """
    forms = {}
    columns: list[pa.Array] = []
    for name, array in arrays.items():
        if array.dtype.name not in _ALLOWED:
            raise StorageError(f"array {name!r} has type {array.dtype} -> use one of {', '.join(_ALLOWED)}")
        if isinstance(array, np.ma.MaskedArray):
            raise StorageError(f"array {name!r} is masked, and the mask would be lost -> store it as an array too")
        forms[name] = {"shape": list(array.shape), "dtype": array.dtype.name}
        flat = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("=")).reshape(-1)
        stored = flat.view(np.uint8) if flat.dtype.name == "bool" else flat
        offsets = np.array([0, len(stored)], np.int64)
        columns.append(pa.LargeListArray.from_arrays(_column(offsets), _column(stored)))
    schema = pa.schema(
        [pa.field(name, column.type) for name, column in zip(arrays, columns, strict=True)],
        metadata={_FORMS: json.dumps(forms).encode()},
    )
    with pa.ipc.new_file(target, schema) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))


def map_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Map the arrays of a file; they are read-only and live on disk until touched."""
    with pa.memory_map(str(path), "rb") as source:
        batch = pa.ipc.open_file(source).get_batch(0)
    forms = json.loads(batch.schema.metadata[_FORMS])
    result: dict[str, NDArray[Any]] = {}
    for name, form in forms.items():
        values = batch.column(name).values
        kind = np.dtype(form["dtype"])
        data = values.buffers()[1] if len(values) else b""
        flat = np.frombuffer(data, kind, len(values), values.offset * kind.itemsize)
        result[name] = flat.reshape(form["shape"])
    return result


def _column(flat: NDArray[Any]) -> pa.Array:
    # Not pa.array: it imports the whole of pandas to see whether it was given one of its objects.
    return pa.Array.from_buffers(pa.from_numpy_dtype(flat.dtype), len(flat), [None, pa.py_buffer(flat)])
