"""label.file: labels that somebody else gave, from a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator

from curate import assets
from curate.stages.base import Context, Filter, Signals
from curate.stages.label_rows import HIGHEST, Key, keys_of, read_labels
from curate.stages.registry import register
from curate.text.batch import Batch


@register("label.file")
class LabelFile(Filter):
    """Label documents by a file: JSON lines (.jsonl, also .gz or .zst), CSV or Parquet with a key and a label a row.

    The key is the document's ``origin``, or its ``id`` or ``content_hash`` as 32 hex digits. A label is 0 (bad) or 1
    (good), a grade from 0 to 5, or a name that ``classes`` gives a number. A document may be named twice with one
    label; with two, the run stops. A document without a label stays, with null, unless ``only_labelled``. The file's
    content is part of the step's identity.
    """

    reasons: ClassVar[Mapping[str, str]] = {"unlabelled": "the file has no label for the document"}
    asset_settings: ClassVar[Mapping[str, assets.Kind]] = {"labels": "data"}
    decide_settings: ClassVar[frozenset[str]] = frozenset({"only_labelled"})
    signals: ClassVar[Mapping[str, pa.DataType]] = {"label": pa.int8()}
    nothing_left: ClassVar[tuple[str, str] | None] = (
        "the file has no label for any row",
        "set `key` to the column by which it names documents (origin, id, content_hash), and compare it with 'curate inspect'",
    )

    labels: str = Field(description="path of the file, relative to the recipe, such as './labels.csv'")
    key: Key = Field("origin", description="the document's column by which it is named: origin, id or content_hash")
    key_column: str | None = Field(None, description="the file's column with the key; null = it is called as `key`")
    column: str = Field("label", description="the file's column with the label")
    classes: dict[str, int] = Field({}, description="numbers of named labels, such as {good: 1, bad: 0}")
    only_labelled: bool = Field(False, description="drop documents that have no label")

    @field_validator("classes")
    @classmethod
    def _on_the_scale(cls, classes: dict[str, int]) -> dict[str, int]:
        for name, number in classes.items():
            if not 0 <= number <= HIGHEST:
                raise ValueError(f"class '{name}' has number {number}; labels are 0 to {HIGHEST}")
        return classes

    def adds(self) -> Mapping[str, pa.DataType]:
        """The label."""
        return self.signals

    def measure(self, docs: Batch, ctx: Context) -> Signals:
        """``label``: the file's, 0 to 5, or null."""
        labels = read_labels(ctx.assets["labels"], self.key, self.column, self.key_column or self.key, self.classes)
        return {"label": labels.of(keys_of(docs.column(self.key), self.key))}

    def rules(self, signals: Signals) -> list[tuple[str, pa.Array]]:
        """Drops what has no label, where only labelled documents are wanted."""
        missing = pc.is_null(signals["label"])
        return [("unlabelled", missing)] if self.only_labelled else []
