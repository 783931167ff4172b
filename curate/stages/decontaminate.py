"""Documents that contain items of a benchmark."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import pyarrow as pa
import pyarrow.compute as pc
import yaml
from pydantic import Field, field_validator

from curate import assets
from curate.errors import InputError, RecipeError
from curate.stages.base import Context, Filter, Signals
from curate.stages.registry import register
from curate.text.batch import Batch

if TYPE_CHECKING:
    import numpy.typing as npt

    from curate.text.overlap import Index

_REGISTRY: Final = "registry.yaml"


@register("decontaminate")
class Decontaminate(Filter):
    """Drop documents that contain an item of a benchmark, whole or in large part, or that are little else than a part of one.

    A prompt is cut into word n-grams (lower case; signs between words do not count, nor do escapes of JSON, string literals
    and HTML: reformatting hides nothing), of 8, 10 or 13 words by its length; the share of *its* n-grams that a document
    contains decides, whatever else the document holds. So do a long run of its words, and the share of the document that
    is its words. An answer of 16 words or more is looked for in the same way; a shorter one (``return number % 1.0``) is
    ordinary code. A prompt of fewer than 16 words must be there word by word, and one of fewer than 8 only counts where
    its answer is there as well. No item is skipped: one without any word stops the run.

    On 55,000 real documents (web pages, code, books, forums, instructions) the largest share of any prompt of HumanEval,
    MBPP, GSM8K, BBH and TruthfulQA is 0.25, the longest run 24 words: docs/decisions/0022.
    """

    revision: ClassVar[int] = 4
    reasons: ClassVar[Mapping[str, str]] = {
        "benchmark_exact": "holds, word by word, an item that is too short for n-grams; signals name it",
        "benchmark_ngram": "holds at least `containment` of an item's n-grams, or a run of `run` of its words, or is an "
        "item's words by `of_document`; signals name it",
    }
    asset_settings: ClassVar[Mapping[str, assets.Kind]] = {"registry": "data"}
    decide_settings: ClassVar[frozenset[str]] = frozenset({"containment", "run", "of_document"})
    signals: ClassVar[Mapping[str, pa.DataType]] = {
        "item": pa.string(),
        "part": pa.string(),
        "containment": pa.float32(),
        "of_document": pa.float32(),
        "run": pa.int32(),
        "exact": pa.bool_(),
    }

    against: list[str] = Field(min_length=1, description="names of benchmarks in the registry, as in [humaneval]")
    containment: float = Field(0.3, gt=0, le=1, description="share of an item's n-grams from which a document goes")
    run: int = Field(32, ge=16, description="words of an item in a row from which a document goes")
    of_document: float = Field(
        0.8, ge=0.5, le=1, description="share of a document's words from which it goes, where 13 in a row are an item's"
    )
    registry: str = Field(
        "benchmarks", description="folder with registry.yaml and the items; the one in data/ by default"
    )

    @field_validator("against")
    @classmethod
    def _named_once(cls, names: list[str]) -> list[str]:
        if len(set(names)) < len(names):
            raise ValueError("a benchmark is named twice")
        return names

    def measure(self, docs: Batch, ctx: Context) -> Signals:
        """The item that a row contains most of.

        ``item`` string (``humaneval/HumanEval/0``), ``part`` string (``prompt``, ``answer``, ...), ``containment`` float32
        (share of the part's n-grams), ``of_document`` float32 (share of the row's words), ``run`` int32 (words in a row),
        ``exact`` bool (a part of which only all counts). Null, null, 0, 0, 0, false where there is little of any.
        """
        import numpy as np

        from curate.text.overlap import overlaps
        from curate.text.overlap_units import PARTS

        folder = ctx.assets["registry"] if "registry" in ctx.assets else assets.find("data", self.registry)
        known = _known(str(folder), _stamp(folder / _REGISTRY), tuple(self.against))
        found = overlaps(docs.words("alphanumeric"), known.index)
        rows, first = np.unique(found.row, return_index=True)
        at = np.full(len(docs), -1, np.int64)
        at[rows] = first
        none = at < 0

        def of(values: npt.NDArray[Any]) -> pa.Array:
            padded = np.append(values, np.zeros(1, values.dtype))
            return pa.array(padded[at])

        unit = np.append(found.unit, 0)[at]
        return {
            "item": known.items.take(pa.array(np.append(known.index.item, 0)[unit], mask=none)),
            "part": pa.array(PARTS).take(pa.array(np.append(known.index.part, 0)[unit], mask=none)),
            "containment": of(found.share),
            "of_document": of(found.of_row),
            "run": of(found.run),
            "exact": pa.array(np.append(known.index.whole, False)[unit] & ~none),
        }

    def rules(self, signals: Signals) -> list[tuple[str, pa.Array]]:
        """Short items exactly, others by the three strengths."""
        exact = signals["exact"]
        enough = pc.greater_equal(signals["containment"], pa.scalar(self.containment, pa.float32()))
        long = pc.greater_equal(signals["run"], pa.scalar(self.run, pa.int32()))
        mostly = pc.greater_equal(signals["of_document"], pa.scalar(self.of_document, pa.float32()))
        mostly = pc.and_(mostly, pc.greater_equal(signals["run"], pa.scalar(13, pa.int32())))
        found = pc.or_(pc.or_(enough, long), mostly)
        return [("benchmark_exact", exact), ("benchmark_ngram", pc.and_not(found, exact))]


@dataclass(frozen=True)
class _Known:
    """Index of units, and the names of the items that they are of."""

    index: Index
    items: pa.Array


def _stamp(registry: Path) -> tuple[int, ...]:
    stat = registry.stat() if registry.is_file() else None
    return (stat.st_size, stat.st_mtime_ns, stat.st_ino) if stat else ()


@lru_cache(maxsize=4)
def _known(folder: str, stamp: tuple[int, ...], against: tuple[str, ...]) -> _Known:  # noqa: ARG001 - part of the key
    """Index of the named benchmarks; once per process, and again when the registry (it has the items' digests) changed."""
    from curate.text.arrow import buffers
    from curate.text.overlap_units import ANSWER, PROMPT, build
    from curate.text.words import words

    names: list[str] = []
    texts: list[str] = []
    items: list[int] = []
    parts: list[int] = []
    for name in against:
        rows, fields = _items(Path(folder), name)
        for i, row in enumerate(rows):
            for part, number in (("prompt", PROMPT), ("answer", ANSWER)):
                texts.append(row.get(fields.get(part, ""), "") or "")
                items.append(len(names))
                parts.append(number)
            names.append(f"{name}/{row.get(fields.get('id', ''), i)}")
    seen = words(*buffers(pa.array(texts, pa.large_string())), "alphanumeric")
    for item, size in zip(names, (seen.rows[1::2] - seen.rows[:-1:2]).tolist(), strict=True):
        if not size:
            raise InputError(f"item {item} has a prompt without words", place=item, cure="repair or remove the item")
    return _Known(build(seen, items, parts), pa.array(names, pa.string()))


def _items(folder: Path, name: str) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Rows of a benchmark's JSONL file and the names of their fields, checked against the registry's digest."""
    registry = folder / _REGISTRY
    try:
        listed = dict(yaml.safe_load(registry.read_text(encoding="utf-8"))["benchmarks"])
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        why = f"{type(error).__name__}: {error}".splitlines()[0]
        raise InputError(f"no registry of benchmarks: {why}", place=str(registry), cure="see data/benchmarks") from None
    if name not in listed:
        near = difflib.get_close_matches(name, listed, n=1)
        cure = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(sorted(listed))}"
        raise RecipeError(f"no benchmark '{name}'", cure=cure)
    try:
        return _rows(folder, name, listed[name])
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = f"{type(error).__name__}: {error}".splitlines()[0]
        raise InputError(f"benchmark '{name}' can't be read: {why}", place=str(registry), cure="repair it") from None


def _rows(folder: Path, name: str, entry: Mapping[str, Any]) -> tuple[list[dict[str, Any]], dict[str, str]]:
    data = (folder / entry["file"]).read_bytes()
    if hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise InputError(
            f"benchmark '{name}' is not what the registry says (sha256)", place=entry["file"], cure="fetch it again"
        )
    rows = [json.loads(line) for line in data.split(b"\n") if line.strip()]
    fields = dict(entry["fields"])
    for number, row in enumerate(rows):
        for part in ("prompt", "answer"):
            if not isinstance(row.get(fields.get(part, ""), "") or "", str):
                raise TypeError(f"the {part} of item {number} is no string")
    return rows, fields
