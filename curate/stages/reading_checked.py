"""Arrow data of strangers, checked before a kernel looks at it: an offset that points outside of its buffer is found here.

Arrow's readers trust what a file says about its buffers, and so do kernels: text would be taken from wherever in memory an
offset points. Arrow's own full check finds that, but it stops at text that is not UTF-8, which is a reason to set aside a
row, not to refuse a file; what it has not come to is checked part by part.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def check_batch(batch: pa.RecordBatch) -> None:
    """Raise ArrowInvalid for a record batch whose columns do not fit their buffers. Text may be no UTF-8."""
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            _check(column)
        except pa.ArrowInvalid as error:
            raise pa.ArrowInvalid(f"column '{name}': {error}") from None


def _check(array: pa.Array) -> None:
    try:
        array.validate(full=True)
    except pa.ArrowInvalid as error:
        # Of strings Arrow looks at offsets first, at the text last.
        if "UTF8" not in str(error):
            raise
        if not _is_string(array.type):
            _check_own_offsets(array)
            for part in _parts(array, error):
                _check(part)


def _is_string(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _check_own_offsets(array: pa.Array) -> None:
    if not _is_list(array.type):
        return
    offsets = array.offsets.to_numpy(zero_copy_only=False)
    if len(offsets) and (offsets[0] < 0 or (np.diff(offsets) < 0).any() or offsets[-1] > len(_values(array))):
        raise pa.ArrowInvalid("offsets of a list point outside of its values")


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_map(kind)


def _values(array: pa.Array) -> pa.Array:
    return array.keys if pa.types.is_map(array.type) else array.values


def _parts(array: pa.Array, why: pa.ArrowInvalid) -> Iterator[pa.Array]:
    """The arrays that an array is made of; raises for a type whose text can't be reached."""
    kind = array.type
    if pa.types.is_struct(kind):
        for i in range(kind.num_fields):
            yield array.field(i)
    elif pa.types.is_map(kind):
        yield array.keys
        yield array.items
    elif _is_list(kind) or pa.types.is_fixed_size_list(kind):
        yield array.values
    elif pa.types.is_dictionary(kind):
        entries = array.indices.drop_null()
        if len(entries) and not 0 <= pc.min(entries).as_py() <= pc.max(entries).as_py() < len(array.dictionary):
            raise pa.ArrowInvalid("a row's entry is not in its dictionary")
        yield array.dictionary
    elif isinstance(array, pa.ExtensionArray):
        yield array.storage
    else:
        raise why
