"""Strata: rows told apart by a column, or by a field of ``meta``. No stage, used by those that keep a share of each."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from curate import schema
from curate.errors import RecipeError
from curate.text.batch import Batch

NONE: Final = "(none)"
"""The stratum of rows whose column is null, or whose ``meta`` lacks the field."""
META: Final = "meta."
"""What the name of a field of ``meta`` begins with."""


def columns_of(within: str | None) -> frozenset[str]:
    """The columns that a stage must be given for its strata; those of schema.DOCUMENT are always there."""
    return frozenset() if within is None or within.startswith(META) else frozenset({within})


def strata(docs: Batch, within: str) -> pa.StringArray:
    """Each row's stratum: the value of a column, or with ``meta.FIELD`` of a field of ``meta``, as a string; NONE
    where there is no value.

    Raises RecipeError for a column that no one can count by (texts, lists, structs).
    """
    if within.startswith(META):
        return pc.fill_null(_field(docs.column("meta"), within.removeprefix(META)), NONE)
    values = docs.column(within)
    if within in ("text", "meta", *(n for n in schema.DOCUMENT.names if n.endswith("hash"))) or pa.types.is_nested(
        values.type
    ):
        raise RecipeError(
            f"rows can't be told apart by column '{within}' ({values.type})",
            cure="name a column with few values, as source, or a field of meta, as meta.language",
        )
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    return pc.fill_null(values.cast(pa.string()), NONE)


def _field(metas: pa.Array, field: str) -> pa.StringArray:
    """One field of JSON objects, as strings; null where it is missing or null."""
    return fields_of(metas, (field,))[0]


def fields_of(metas: pa.Array, fields: Sequence[str]) -> list[pa.StringArray]:
    """Fields of JSON objects, as strings (of what is no string, its JSON); null where one is missing or null."""
    found = string_fields(metas, fields)
    if found is None:
        given = [_object(meta or "{}") for meta in metas.to_pylist()]
        found = [pa.array([_said(meta, field) for meta in given], pa.string()) for field in fields]
    return found


def string_fields(metas: pa.Array, fields: Sequence[str]) -> list[pa.StringArray] | None:
    """Fields of JSON objects by Arrow's own reader, which takes all rows at once; null where one is missing or null, and
    None where it can't: something is no object, or a value no string."""
    if not len(metas):
        return [pa.array([], pa.string()) for _ in fields]
    table = objects(metas, pa.schema([(field, pa.string()) for field in fields]))
    return None if table is None else [table.column(field).combine_chunks() for field in fields]


def objects(metas: pa.Array, schema: pa.Schema) -> pa.Table | None:
    """The fields that a schema names, of JSON objects, all rows at once by Arrow's own reader; None where it can't: there is
    no row, something is no object, or a value has another type."""
    import pyarrow.json as pj

    lines = pc.replace_substring(
        pc.fill_null(metas, "{}"), "\n", " "
    )  # between tokens only: inside of a string JSON has \\n
    if not len(metas) or pc.any(pc.invert(pc.starts_with(lines, "{"))).as_py():
        return None
    body = "\n".join(lines.to_pylist()).encode()
    try:
        table = pj.read_json(
            io.BytesIO(body),
            read_options=pj.ReadOptions(use_threads=False, block_size=len(body) + 1),
            parse_options=pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
        )
    except pa.ArrowInvalid:
        return None
    return table if table.num_rows == len(metas) else None


def _object(meta: str) -> dict[str, Any]:
    try:
        value: Any = json.loads(meta)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _said(meta: dict[str, Any], field: str) -> str | None:
    value = meta.get(field)
    if value is None:
        return None
    said = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    # A lone surrogate, which JSON can write, is no text.
    return said.encode("utf-8", "replace").decode()
