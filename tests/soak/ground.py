"""What a soak stands on: a recipe with every kind of step, an undisturbed run of it, and what must hold after a fault."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
from command import Curate, Done, alive, results
from corpus import code, lines, near_copy, one_frame, prose, rows
from object_store import S3Server
from recipes import small_classifier, step, write

from curate.llm.teacher import Call, Say, Teacher, default_script
from curate.store.files import Store
from curate.store.latest import latest

IN_FLIGHT = 3
"""Requests that the recipe's model serves at once: what a kill may lose."""
SPLIT = ("--split-mb", "0.03")
MOST_SECONDS = 300
"""A run that takes longer hangs: on a loaded machine the undisturbed one takes 15 seconds."""


class Skip(Exception):  # noqa: N818 - no failure: this machine can't do it
    """A fault that can't be had here, and why."""


@dataclass
class Row:
    """One fault, over all its times: a row of the table.

    Attributes:
        fault: what was done, in words.
        times: how often.
        lost, duplicates: rows of the final dataset that were missing, or there twice, in all.
        extra: requests to the model beyond those of an undisturbed run; ``allowed``: those that were in flight.
        identical: whether all final bytes were the same, each time.
        orphans: files that ``curate gc`` removed afterwards.
        wrong: what else did not hold, a line each.
    """

    fault: str
    times: int = 0
    lost: int = 0
    duplicates: int = 0
    extra: int = 0
    allowed: int = 0
    identical: bool = True
    orphans: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether everything held."""
        return self.identical and not (self.lost or self.duplicates or self.wrong) and self.extra <= self.allowed


def slowly(call: Call) -> Say:
    """The default script's answer, after a moment: so that a kill finds requests on their way."""
    time.sleep(0.02)
    return default_script(call)


class Ground:
    """Inputs, recipe, teacher and the undisturbed result, in a folder of its own.

    Attributes:
        whole: digests of the undisturbed result.
        kept: names of its files after ``curate gc``, without attempts' own digits.
        requests: how many requests it takes.
        env: what all commands find in their environment.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.curate, self.teacher = Curate(), Teacher(slowly)
        self._number, self.env = 0, dict[str, str]()

    def __enter__(self) -> Self:
        self.teacher.__enter__()
        self._write()
        store = self.folder / "whole"
        self.run(store, workers=2).ok()
        self.whole, self.ids = results(store), _ids(store)
        self.requests = sum(self.teacher.received.values())
        self.curate("gc", store, "--yes").ok()
        self.kept = _names(store)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.curate.close()
        self.teacher.__exit__(kind, error, trace)

    def _write(self) -> None:
        import random

        english, python = prose(36), code(14, 8000)
        copies = [near_copy(t, random.Random(3)) for t in english[3:9]]
        (self.folder / "prose.jsonl").write_bytes(lines(rows(english + english[:5] + copies, "a")))
        (self.folder / "code.jsonl.gz").write_bytes(gzip.compress(lines(rows(python[:7], "c")), mtime=0))
        (self.folder / "more.jsonl.zst").write_bytes(one_frame(lines(rows(python[7:] + python[:2], "d"))))
        steps = [
            step("prose", "read.jsonl", paths=["prose.jsonl"]),
            step("rules", "filter.massivetext", min_words=30, max_symbol_ratio=0.02),
            step("code", "read.jsonl", paths=["code.jsonl.gz", "more.jsonl.zst"]),
            step("unique", "dedup.exact", ["rules", "code"], index=True),
            step("labels", "label.contrast", positive=["prose"], negative=["code"]),
            small_classifier(),
            step("scored", "score.classifier", "labels", classifier="value"),
            step("good", "select.where", column="scored.score", top=0.8),
            step("textbooks", "generate.textbooks", passages=12, round=4, max_tokens=200, min_chars=20),
            step("near", "dedup.near", ["good", "textbooks"]),
            step("text", "write.text", documents_per_shard=20),
            step("words", "train.tokenizer", "near", vocab_size=512, max_bytes=100_000),
            step("encoded", "encode.tokens", "near", tokenizer="words"),
            step(
                "tokens", "write.tokens", tokens="encoded", sequence=64, window=64, sequences_per_shard=200, tail="pad"
            ),
            step("documents", "write.encoded", "encoded", tokens="encoded", tokens_per_shard=20_000),
        ]
        model = {
            "model": "teacher",
            "base_url": self.teacher.base_url,
            "licence": "CC0-1.0",
            "concurrency": IN_FLIGHT,
        }
        self.recipe = write(self.folder / "soak.yaml", steps, name="soak", models={"writer": model})

    # -- running -----------------------------------------------------------------------------------------------

    def store(self) -> Path:
        """A folder for a new run; nobody was asked anything yet."""
        self._number += 1
        self.teacher.received.clear()
        return self.folder / f"run-{self._number}"

    def bucket(self, server: S3Server) -> str:
        """The same on an object store."""
        self.teacher.received.clear()
        return f"s3://{server.new_bucket()}/run"

    def run(
        self, store: Path | str, *argv: str, workers: int = 0, env: dict[str, str] | None = None, **how: Any
    ) -> Done:
        """``curate run``, or going on with it."""
        return self.curate.run(self.recipe, store, *SPLIT, *argv, workers=workers, env=self.env | (env or {}), **how)

    def finish(
        self, row: Row, store: Path | str, *argv: str, workers: int = 0, in_flight: int = 0, harmed: bool = False
    ) -> None:
        """Go on to the end, undisturbed, and hold what came out against what must.

        Args:
            in_flight: how many requests may have been lost.
            harmed: whether files were damaged or taken away: such as nobody needs any more are not made anew.
        """
        done = self.run(store, *argv, workers=workers)
        if done.code != 0:
            row.wrong.append(f"exit {done.code} at the end: {(done.err or done.out)[-300:]}")
            row.identical = False
            return
        row.identical &= results(store) == self.whole
        found = Counter(_ids(store))
        row.lost += sum((Counter(self.ids) - found).values())
        row.duplicates += sum(n - 1 for n in found.values())
        row.extra += sum(self.teacher.received.values()) - self.requests
        row.allowed += in_flight
        self._collect(row, store, harmed=harmed)
        if isinstance(store, Path):
            shutil.rmtree(store, ignore_errors=True)

    def _collect(self, row: Row, store: Path | str, *, harmed: bool) -> None:
        """``curate gc`` removes the orphans: what an undisturbed run has stays, and nothing else; a run redoes nothing."""
        said = self._gc(store, "--yes")
        row.orphans += sum(len(keys) for keys in said["files"].values())
        left = _names(store)
        surplus, missing = sorted(left - self.kept), sorted(self.kept - left)
        if surplus or (missing and not harmed):
            row.wrong.append(f"after gc: surplus {surplus[:5]}, missing {missing[:5]}")
        before, asked = _statements(store), sum(self.teacher.received.values())
        self.run(store).ok()
        if _statements(store) != before or sum(self.teacher.received.values()) != asked or results(store) != self.whole:
            row.wrong.append("a run after gc did something")
        again = self._gc(store)
        if again["files"]:
            row.wrong.append(f"a second gc found {again['files']}")

    def _gc(self, store: Path | str, *argv: str) -> dict[str, Any]:
        found = json.loads(self.curate("gc", store, "--json", *argv, env=self.env).ok().out)
        assert isinstance(found, dict)
        return found


def _ids(store: Path | str) -> list[bytes]:
    """Ids of the rows of the final dataset."""
    files, found = Store(store), list[bytes]()
    for entry in files.list(latest(files, "text")):
        if entry.key.endswith(".arrow"):
            with pa.ipc.open_stream(files.read(entry.key)) as reader:
                found += reader.read_all().column("id").to_pylist()
    return found


def _names(store: Path | str) -> set[str]:
    """Files of a store that a run made of its inputs, without the digits that are each attempt's own."""
    keys = [e.key for name in ("steps", "signals", "pieces") for e in Store(store).list(name)]
    # An index's folder is named after its files.
    indexes = [key.rpartition("/")[0] for key in keys if key.endswith("/index.json")]
    for folder in indexes:
        keys = [key.replace(folder, f"{folder.rpartition('/')[0]}/index") for key in keys]
    return {re.sub(r"-[0-9a-f]{12}(?=[./]|$)", "", key) for key in keys}


def _statements(store: Path | str) -> dict[str, float]:
    """Receipts and records, with the times of their last changes: unchanged means that nothing was done."""
    return {e.key: e.modified for e in Store(store).list("steps") if re.search(r"/(receipts|done-)", e.key)}


def wait_for(condition: Any, pid: int) -> bool:
    """Wait until a condition holds; False when the process has ended before, or nothing happened for very long."""
    end = time.monotonic() + MOST_SECONDS
    while not condition():
        if not alive(pid) or time.monotonic() > end:
            return False
        time.sleep(0.003)
    return True
