"""Columns for formats that have neither nulls nor nested values."""

from __future__ import annotations

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from curate.export.format import Format


def without_nulls(to: Format, name: str, column: pa.Array) -> pa.Array:
    """The column with empty texts and lists, NaN and false in place of nulls; whole numbers have no such value.

    Raises RecipeError for a null among whole numbers.
    """
    if not column.null_count:
        return column
    kind = column.type
    if pa.types.is_integer(kind):
        cure = f"leave it out with --columns, or export to parquet, which has nulls; without it: {_others(to, name)}"
        raise to.refuse(f"column '{name}' has whole numbers and nulls, and the format has no null", cure)
    if pa.types.is_floating(kind):
        return pc.fill_null(column, float("nan"))
    if pa.types.is_boolean(kind):
        return pc.fill_null(column, False)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return pc.fill_null(column, "")
    return column  # of a list an empty one, of anything else JSON's null


def _others(to: Format, name: str) -> str:
    return ",".join(other for other in to.schema.names if other != name)


def as_json(column: pa.Array) -> pa.LargeStringArray:
    """Each value as JSON: nested ones, which no document of a corpus has many of."""
    return pa.array([orjson.dumps(value, default=str).decode() for value in column.to_pylist()], pa.large_string())
