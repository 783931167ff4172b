"""Documents beside the items that they hold."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from curate.benchmarks.hits import LAYERS
from curate.benchmarks.screen import find, lines_of
from curate.errors import CurateError
from curate.report.read_back import read_back
from curate.report.run_folder import Row, RunFolder, recipe_path
from curate.text.batch import Batch

if TYPE_CHECKING:
    from curate.benchmarks.index import Loaded
    from curate.benchmarks.items import Item
    from curate.stages.decontaminate import Decontaminate

_MOST_CHARS: Final = 4000
"""Of a passage or an item."""


@dataclass(frozen=True)
class Example:
    """A document and an item.

    Attributes:
        document, source, origin: which one.
        item, layer, part, strength: what it holds, by which layer.
        passage: the document's lines that hold it; its beginning where ``note`` says so.
        known: the item's text; empty where it is not on this machine.
        note: what must be said about either.
    """

    document: str
    source: str
    origin: str
    item: str
    layer: str
    part: str
    strength: float
    passage: str
    known: str
    note: str


def examples_of(
    run: RunFolder, stage: Decontaminate, loaded: Loaded, chosen: Sequence[tuple[bytes, str, str, str, float]]
) -> list[Example]:
    """Read documents and items; a text that can't be had is left out, and the note says why.

    ``stage``: with its benchmarks as the recipe names them.
    """
    rows = run.rows({document for document, *_ in chosen})
    why = read_back(run, rows.values(), originals=stage.verdict == "cut")
    items = _texts(run, stage, loaded, {item for _, item, *_ in chosen})
    found = []
    for document, item, layer, part, strength in chosen:
        row, notes = rows[document], []
        text = _read(row)
        passage = ""
        if text is None:
            notes.append(f"the document's text is not kept: {why.get(document, 'it is nowhere in the store')}")
        else:
            passage = _passage(text, item, layer, loaded, stage)
            if not passage:
                passage = text
                notes.append("where in the document it stands is not known: its beginning")
        known = items.get(item)
        if known is None:
            notes.append("the item's text is not on this machine, and an index has none")
        shown = "" if known is None else _of_part(known, layer, part)
        found.append(
            Example(
                document.hex(),
                row.source,
                row.origin,
                item,
                layer,
                part,
                round(strength, 4),
                passage[:_MOST_CHARS],
                shown[:_MOST_CHARS],
                "; ".join(notes),
            )
        )
    return found


def _read(row: Row) -> str | None:
    """The longest text that is known: what steps cut is among it."""
    texts = [text for text in (row.text, *row.texts.values()) if text is not None]
    return max(texts, key=len, default=None)


def _passage(text: str, item: str, layer: str, loaded: Loaded, stage: Decontaminate) -> str:
    """The lines of a text from the first to the last in which a layer finds an item."""
    docs = Batch.of(pa.array([text], pa.large_string()))
    hits = find(docs, loaded, stage.rephrased)
    names = loaded.items.take(pa.array(hits.item)).to_pylist()
    mine = np.array([name == item for name in names], bool) & (hits.layer == LAYERS.index(layer))
    _, starts, stops = lines_of(docs, hits.take(mine), loaded)
    raw = text.encode()
    return raw[int(starts.min()) : int(stops.max())].decode(errors="replace").rstrip("\n") if len(starts) else ""


def _of_part(item: Item, layer: str, part: str) -> str:
    if layer == "code":
        return item.solution
    texts = {"answer": item.answer, "test": item.test, "choices": "\n".join(item.choices), "few_shot": item.few_shot}
    return texts.get(part) or item.prompt


def _texts(run: RunFolder, stage: Decontaminate, loaded: Loaded, wanted: set[str]) -> dict[str, Item]:
    """Items by name, of the benchmarks whose files are on this machine."""
    from curate.benchmarks.prompts import items_of

    recipe = recipe_path(run.store)
    known = stage.known(recipe.parent if recipe is not None else None)
    keys = {name.partition("/")[0] for name in wanted}
    found: dict[str, Item] = {}
    for said in loaded.benchmarks:
        if said["key"] in keys:
            with suppress(CurateError):
                found |= items_of(said, known)
    return found
