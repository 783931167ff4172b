"""A classifier's scores for a user's own files, streamed: what `curate score` shows and writes."""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from curate import assets
from curate.errors import InputError, RecipeError
from curate.quality import classifier
from curate.quality.folder import SETTINGS_FILE
from curate.report.inspect import Distribution, distribution
from curate.report.plain import one_line
from curate.report.run_folder import open_run
from curate.stages.catalog import Unhashed
from curate.stages.source import SPLIT_BYTES, SetAside, Source, Split
from curate.store.files import storage_errors
from curate.text.batch import Batch

FORMATS: Final = (
    ("read.jsonl", (".jsonl", ".ndjson", ".json")),
    ("read.parquet", (".parquet",)),
    ("read.arrow", (".arrow", ".feather")),
)
_SHOWN_CHARS: Final = 400
SCORES: Final = pa.schema(
    [("id", pa.string()), ("source", pa.string()), ("origin", pa.string()), ("score", pa.float32())]
)
"""What is written for each document."""


@dataclass(frozen=True)
class Example:
    """One document at an end of the scale: its score, its origin, the printable beginning of its text."""

    score: float
    origin: str
    text: str


@dataclass(frozen=True)
class Scored:
    """The outcome: how many rows, how many were set aside by reason, the distribution, the best and the worst."""

    rows: int
    set_aside: dict[str, int]
    distribution: Distribution | None
    best: list[Example]
    worst: list[Example]


def find_classifier(name: str) -> Path:
    """Where a classifier is: a folder, a fastText model file, ``RUN:STEP``, or a shipped one by name."""
    if Path(name).is_file() or (Path(name) / SETTINGS_FILE).is_file():
        return Path(name)
    run, colon, step = name.rpartition(":")
    if colon:
        return _trained(run, step)
    if not Path(name).exists():
        folder = assets.find("classifiers", name)
        if (folder / SETTINGS_FILE).is_file():
            return folder
        below = sorted(p.parent.name for p in folder.glob(f"*/{SETTINGS_FILE}"))
        cure = "its README.md says how to get one"
        if below:
            cure = f"it has: {', '.join(f'{name}/{b}' for b in below)}"
        raise RecipeError("has no trained model of its own", place=name, cure=cure)
    raise RecipeError(
        "is no classifier: no settings.json in it",
        place=name,
        cure="give a folder that 'curate train' made, a fastText model (.bin, .ftz), or RUN:STEP",
    )


def _trained(name: str, step: str) -> Path:
    run = open_run(name)
    trained = [s.id for s in run.steps.values() if s.use == "train.classifier"]
    if step not in trained:
        cure = f"it has: {', '.join(trained)}" if trained else "it has none"
        raise RecipeError(f"the run has no trained classifier '{step}'", place=name, cure=cure)
    return run.store.local(str(run.steps[step].record.folder))


def source_for(paths: Sequence[str], text: str) -> Source:
    """The stage that reads these files, by their names."""
    from curate.stages.registry import stage_class

    uses = {_use(Path(p)) for p in paths}
    if len(uses) > 1:
        raise InputError(
            f"files of several kinds ({', '.join(sorted(uses))})", cure="score them one kind after the other"
        )
    stage = stage_class(uses.pop()).model_validate({"paths": list(paths), "text": text})
    assert isinstance(stage, Source)
    return stage


def _use(path: Path) -> str:
    name = path.name.lower().removesuffix(".gz").removesuffix(".zst")
    if (path / "dataset_info.json").is_file():
        return "read.arrow"  # what a run, or Hugging Face's `datasets`, wrote: its other JSON files are no documents either
    if path.is_dir():
        names = [p.name.lower().removesuffix(".gz").removesuffix(".zst") for p in path.rglob("*") if p.is_file()]
        return next((use for use, ends in FORMATS if any(n.endswith(ends) for n in names)), "read.jsonl")
    for use, ends in FORMATS:
        if name.endswith(ends):
            return use
    raise InputError(
        "the name does not say what is in it",
        place=str(path),
        cure="JSON lines (.jsonl, .gz, .zst), .parquet or .arrow",
    )


def splits_of(stage: Source) -> list[Split]:
    """All splits; nothing is hashed, since nothing is kept."""
    return stage.splits(Path.cwd(), Unhashed(), SPLIT_BYTES)


def score_files(
    place: Path,
    label: str | None,
    stage: Source,
    splits: Sequence[Split],
    out: Path | None,
    few: int,
    done: Callable[[Split], None],
) -> Scored:
    """Score every document, write the scores to ``out`` if wanted, and keep a histogram and both ends.

    ``label``: whose probability the score is, for a fastText model. ``done`` is called when a split is finished.
    """
    model = classifier.load(place, label)
    scores: list[np.ndarray] = []
    asides: dict[str, int] = {}
    ends = _Ends(few)
    with _writer(out) as write:
        for split in splits:
            for item in stage.read(split, "file"):
                if isinstance(item, SetAside):
                    asides[item.reason] = asides.get(item.reason, 0) + 1
                    continue
                found = model.score(Batch(item))
                scores.append(found)
                ends.add(item, found)
                write(item, found)
            done(split)
    values = np.concatenate(scores) if scores else np.zeros(0, np.float32)
    made = distribution("", "score", values.astype(np.float64))
    return Scored(len(values), dict(sorted(asides.items())), made, ends.best(), ends.worst())


class _Ends:
    """The rows with the highest and the lowest scores; equal scores are ordered by origin."""

    def __init__(self, few: int) -> None:
        self._few = few
        self._high: list[tuple[float, str, str]] = []
        self._low: list[tuple[float, str, str]] = []

    def add(self, rows: pa.RecordBatch, scores: np.ndarray) -> None:
        order = np.argsort(scores, kind="stable")
        for at, into, sign in ((order[: self._few], self._low, 1), (order[::-1][: self._few], self._high, -1)):
            for i in at.tolist():
                text = rows.column("text")[i].as_py()[:_SHOWN_CHARS]
                into.append((sign * float(scores[i]), rows.column("origin")[i].as_py(), text))
            into[:] = heapq.nsmallest(self._few, into)

    def best(self) -> list[Example]:
        """Highest first."""
        return [Example(-s, origin, one_line(text, _SHOWN_CHARS)) for s, origin, text in self._high]

    def worst(self) -> list[Example]:
        """Lowest first."""
        return [Example(s, origin, one_line(text, _SHOWN_CHARS)) for s, origin, text in self._low]


@contextmanager
def _writer(out: Path | None) -> Iterator[Callable[[pa.RecordBatch, np.ndarray], None]]:
    """Something that takes batches and their scores; the file appears whole, under its name, at the end."""
    if out is None:
        yield lambda _rows, _scores: None
        return
    if out.suffix not in (".jsonl", ".arrow"):
        raise RecipeError("scores are written as .jsonl or .arrow", place=str(out), cure="choose one of the two")
    part = out.with_name(f".{out.name}.part")
    with storage_errors(str(out)):
        out.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("wb") as file:
                if out.suffix == ".arrow":
                    with pa.ipc.new_stream(file, SCORES) as stream:
                        yield lambda rows, scores: stream.write_batch(_columns(rows, scores))
                else:
                    yield lambda rows, scores: file.writelines(_json_lines(_columns(rows, scores)))
            part.replace(out)
        finally:
            part.unlink(missing_ok=True)


def _columns(rows: pa.RecordBatch, scores: np.ndarray) -> pa.RecordBatch:
    from curate.text.hashing import hex_ids

    columns: list[Any] = [hex_ids(rows.column("id")), rows.column("source"), rows.column("origin"), pa.array(scores)]
    return pa.RecordBatch.from_arrays([c.cast(f.type) for c, f in zip(columns, SCORES, strict=True)], schema=SCORES)


def _json_lines(rows: pa.RecordBatch) -> Iterator[bytes]:
    for row in rows.to_pylist():
        row["score"] = float(f"{row['score']:.6g}")
        yield (json.dumps(row, ensure_ascii=False) + "\n").encode()
