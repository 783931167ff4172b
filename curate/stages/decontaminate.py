"""Documents that contain items of a benchmark."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

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
    from curate.text.overlap import Index, Unit

_REGISTRY: Final = "registry.yaml"
_ALONE: Final = 8
"""Words: a shorter prompt ("What is 3+4?") proves nothing without its answer."""


@register("decontaminate")
class Decontaminate(Filter):
    """Drop documents that contain an item of a benchmark, whole or in large part.

    An item's prompt is cut into word n-grams (lower case; signs between words do not count, nor does a line feed or tab
    written as an escape, as in JSON and in string literals: reformatting hides nothing); the share of *its* n-grams that a
    document contains decides, whatever else the document holds. An answer of 2 n words or more is looked for in the same
    way; a shorter one (``return number % 1.0``) is ordinary code. A prompt of fewer than n words must be there word by
    word, and one of fewer than 8 only counts where its answer is there as well. No item is skipped: one without any word
    stops the run.

    On 20,000 Python files of the standard library and of common packages the largest share of any HumanEval prompt is 0.05
    (n = 10; 0.10 with n = 8, 0.03 with n = 13), that of an answer 0.10: a containment of 0.3 is as safe there as 0.5,
    which leaves room for exercises that are merely alike.
    """

    revision: ClassVar[int] = 3
    reasons: ClassVar[Mapping[str, str]] = {
        "benchmark_exact": "holds, word by word, an item that is too short for n-grams; signals name it",
        "benchmark_ngram": "holds at least `containment` of an item's n-grams; signals name it",
    }
    asset_settings: ClassVar[Mapping[str, assets.Kind]] = {"registry": "data"}
    decide_settings: ClassVar[frozenset[str]] = frozenset({"containment"})
    signals: ClassVar[Mapping[str, pa.DataType]] = {
        "item": pa.string(),
        "part": pa.string(),
        "containment": pa.float32(),
        "matched": pa.int32(),
        "exact": pa.bool_(),
    }

    against: list[str] = Field(min_length=1, description="names of benchmarks in the registry, as in [humaneval]")
    n: Literal[8, 10, 13] = Field(10, description="words of an n-gram")
    containment: float = Field(0.5, gt=0, le=1, description="share of an item's n-grams from which a document goes")
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

        ``item`` string (``humaneval/HumanEval/0``), ``part`` string (``prompt``, ``answer``, ``both``), ``containment``
        float32 (share of the part's n-grams), ``matched`` int32 (how many), ``exact`` bool (a part shorter than n words,
        found whole). Null, null, 0, 0, false where there is nothing of any.
        """
        from curate.text.overlap import overlaps

        folder = ctx.assets["registry"] if "registry" in ctx.assets else assets.find("data", self.registry)
        known = _known(str(folder), _stamp(folder / _REGISTRY), tuple(self.against), self.n)
        found = overlaps(docs.words("alphanumeric"), known.index)
        at = pa.array(found.unit, mask=found.unit < 0)
        return {
            "item": known.items.take(at),
            "part": known.parts.take(at),
            "containment": pa.array(found.share.astype("float32")),
            "matched": pa.array(found.found.astype("int32")),
            "exact": pc.fill_null(known.exact.take(at), False),
        }

    def rules(self, signals: Signals) -> list[tuple[str, pa.Array]]:
        """Short items exactly, others from ``containment`` on."""
        share, exact = signals["containment"], signals["exact"]
        enough = pc.greater_equal(share, pa.scalar(self.containment, pa.float32()))
        whole = pc.and_(exact, pc.greater_equal(share, pa.scalar(1.0, pa.float32())))
        return [("benchmark_exact", whole), ("benchmark_ngram", pc.and_not(enough, exact))]


@dataclass(frozen=True)
class _Known:
    """Index of units, and for each unit the item's name, which part of it, and whether only all of it counts."""

    index: Index
    items: pa.Array
    parts: pa.Array
    exact: pa.Array


def _stamp(registry: Path) -> tuple[int, ...]:
    stat = registry.stat() if registry.is_file() else None
    return (stat.st_size, stat.st_mtime_ns, stat.st_ino) if stat else ()


@lru_cache(maxsize=4)
def _known(folder: str, stamp: tuple[int, ...], against: tuple[str, ...], n: int) -> _Known:  # noqa: ARG001 - part of the key
    """Index of the named benchmarks; once per process, and again when the registry (it has the items' digests) changed."""
    from curate.text.overlap import build

    items, parts, units = [], [], []
    for name in against:
        for item, part, unit in _units(Path(folder), name, n):
            items.append(item)
            parts.append(part)
            units.append(unit)
    exact = pa.array([unit.whole for unit in units])
    return _Known(build(units, n), pa.array(items, pa.string()), pa.array(parts, pa.string()), exact)


def _units(folder: Path, name: str, n: int) -> list[tuple[str, str, Unit]]:
    """(item, part, unit) for each part of each item of a benchmark."""
    from curate.text.arrow import buffers
    from curate.text.overlap import Unit
    from curate.text.words import words

    rows, fields = _items(folder, name)
    texts = {part: [row.get(fields.get(part, ""), "") or "" for row in rows] for part in ("prompt", "answer")}
    views = {part: words(*buffers(pa.array(text, pa.large_string())), "alphanumeric") for part, text in texts.items()}
    result = []
    for i, row in enumerate(rows):
        item = f"{name}/{row.get(fields.get('id', ''), i)}"
        prompt, answer = (view.hashes[view.rows[i] : view.rows[i + 1]] for view in (views["prompt"], views["answer"]))
        if not len(prompt):
            raise InputError(f"item {item} has a prompt without words", place=name, cure="repair or remove the item")
        if len(prompt) >= _ALONE:
            result.append((item, "prompt", Unit((prompt,), whole=len(prompt) < n)))
        elif len(answer):
            result.append((item, "both", Unit((prompt, answer), whole=True)))
        else:
            result.append((item, "prompt", Unit((prompt,), whole=True)))
        if len(answer) >= 2 * n:
            result.append((item, "answer", Unit((answer,), whole=False)))
    return result


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
