"""Speed of the words view and of the rules, on one thread and on two, with peers' own filters in the same run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pyarrow.compute as pc

from curate.stages.base import Filter
from curate.stages.redact_pii import RedactPii
from curate.text.batch import Batch
from tests.bench.measure import ROOT, SAMPLES, Row, Run, batch, case, corpus, cut, decided, on_batch, size, slope
from tests.exchange import CONTEXT

PEER_MB = 3.0
"""MB of text that the peers get: they take seconds for each."""


def _stages() -> dict[str, list[Filter]]:
    """The profiles by the name of their row, as they stand by default."""
    from curate.stages.filter_c4 import C4
    from curate.stages.filter_fineweb import FineWeb
    from curate.stages.filter_massivetext import MassiveText
    from curate.stages.filter_refinedweb import RefinedWeb

    return {
        "filter.massivetext": [MassiveText()],
        "filter.c4": [C4()],
        "filter.fineweb": [FineWeb()],
        "filter.refinedweb": [RefinedWeb()],
        "fineweb": [MassiveText(), C4(), FineWeb()],
    }


def compatible() -> list[Filter]:
    """FineWeb's rules counted as datatrove counts them: the profiles that the differential test compares."""
    from curate.stages.filter_c4 import C4
    from curate.stages.filter_fineweb import FineWeb
    from curate.stages.filter_massivetext import MassiveText

    return [
        MassiveText(counting="datatrove"),
        C4(counting="datatrove", terminal_punctuation=False),
        FineWeb(counting="datatrove"),
    ]


def judged(stages: list[Filter]) -> Callable[[list[str]], Run]:
    """Each of the filters measures and decides on every document; they share the batch and its views."""

    def work(docs: Batch) -> None:
        for stage in stages:
            stage.decide(stage.measure(docs, CONTEXT))

    return on_batch(work)


def views(docs: Batch) -> None:
    """What the reach is stated for: raw, folded, and lines together."""
    docs.words("raw")
    docs.words("folded")
    _ = docs.lines


HOSTILE = ("sk-", "eyJaaaaaaaaaa-", "xoxb-1a2s3d4f5g6h7-", "-----BEGIN PRIVATE KEY-----", "a@", "1.1.1.", "DE89 ")
"""What personal data may begin with, again and again."""
THREADS_MB = 128.0
"""MB that a thread's case goes through: half a second of words. In less, starting threads and a slice more or less show."""


def threads(name: str, texts: list[str], work: Callable[[Batch], object]) -> Row:
    """Two threads that take the next batch in turn against one, on the same batches.

    The ratio is of wall times, medians of five, one and two measured in turn so that both see the same machine.
    """
    slices = cut(batch(texts).rows)
    slices *= max(1, round(THREADS_MB / size(texts)))

    def run(count: int) -> float:
        queue = deque(slices)

        def take() -> None:
            while True:
                try:
                    rows = queue.popleft()
                except IndexError:
                    return
                work(Batch(rows))

        team = [threading.Thread(target=take) for _ in range(count)]
        begin = time.perf_counter()
        for thread in team:
            thread.start()
        for thread in team:
            thread.join()
        return time.perf_counter() - begin

    run(2)
    pairs = [(run(1), run(2)) for _ in range(5)]
    one, both = (sorted(times) for times in zip(*pairs, strict=True))
    mb = sum(pc.sum(pc.binary_length(rows.column("text"))).as_py() for rows in slices) / 1e6
    return {
        "name": name,
        "cores": 2,
        "clock": "wall",
        "mb": round(mb, 3),
        "docs": len(texts),
        "seconds": both,
        "mb_per_s": mb / both[2],
        "peak_rss_mb": None,
        "reference": "one thread",
        "reference_seconds": one,
        "reference_mb_per_s": mb / one[2],
        "ratio": one[2] / both[2],
    }


def peer_speed(engine: str, script: str, texts: list[str]) -> float | None:
    """MB/s of an engine's own filters in its own environment."""
    from tests.peers.environment import environment

    with tempfile.TemporaryFile() as file:
        for text in texts:
            file.write(orjson.dumps(text) + b"\n")
        file.seek(0)
        # -P: files beside the script have names of the standard library's modules.
        command = [environment(engine), "-P", Path(__file__).with_name("peer_filters.py"), script]
        done = subprocess.run(command, stdin=file, capture_output=True, check=True)
    taken = json.loads(done.stdout.splitlines()[-1])
    quarter = texts[: len(texts) // 4]
    return slope((size(quarter), taken["small"]), (size(texts), taken["all"]))[0]


def redacted(docs: Batch) -> None:
    """Personal data of all kinds out of texts and their meta, as a run has it."""
    stage = RedactPii()
    stage.decide(stage.measure(docs, CONTEXT))
    stage.edit(docs, CONTEXT)
    stage.edit_meta(docs, CONTEXT)


def compiling() -> Iterator[Row]:
    """Seconds until a profile's first result in a new process: with an empty cache of kernels, and with a full one."""
    names = {
        "words": "b.words('raw'), b.words('folded'), b.lines",
        "filter.massivetext": "use('filter.massivetext')",
        "filter.c4": "use('filter.c4')",
        "filter.fineweb": "use('filter.fineweb')",
        "filter.refinedweb": "use('filter.refinedweb')",
        "filter.code_rules": "use('filter.code_rules')",
        "filter.python_syntax": "use('filter.python_syntax')",
    }
    prelude = (
        "import time; from tests.bench.measure import batch; from curate.stages import load_all; load_all()\n"
        "from curate.stages.registry import stage_class; from tests.exchange import CONTEXT; import numba\n"
        "b = batch(['def f(x):\\n    return x\\n', 'A caf\\u00e9. The end of it.'])\n"
        "use = lambda name: (lambda s: s.decide(s.measure(b, CONTEXT)))(stage_class(name)())\n"
    )
    for name, call in names.items():
        with tempfile.TemporaryDirectory() as cache:
            taken = []
            for _ in range(2):
                code = f"{prelude}begin = time.perf_counter(); {call}; print(time.perf_counter() - begin)"
                environment = {**os.environ, "NUMBA_CACHE_DIR": cache, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
                done = subprocess.run(
                    [sys.executable, "-c", code], env=environment, capture_output=True, check=True, cwd=ROOT
                )
                taken.append(float(done.stdout))
        row: Row = {"name": f"first {name}", "cores": 1, "clock": "wall", "seconds": taken[1:], "startup_s": taken[1]}
        # Cold against cached, as the ratio of a row.
        row |= {"peak_rss_mb": None, "reference": f"{taken[0]:.1f} s cold", "reference_seconds": taken[:1]}
        yield row | {"ratio": taken[0] / taken[1]}


def rules() -> Iterator[Row]:
    """Words, lines, the profiles and code rules, on one thread and on two.

    ``BENCH_CORPUS`` is the prose, ``BENCH_CODE`` the code.
    """
    from curate.stages.filter_code_rules import CodeRules
    from curate.stages.filter_python_syntax import PythonSyntax
    from curate.text import normal
    from curate.text.words import POLICIES

    texts = corpus(16, SAMPLES[:1])
    code = corpus(16, SAMPLES[1:], "BENCH_CODE")
    yield case("words", texts, on_batch(views))
    yield threads("words2", texts, views)
    yield case("atoms", texts, on_batch(lambda b: b.atoms))
    yield case("lines", texts, on_batch(lambda b: b.lines))
    for policy in POLICIES:
        yield case(f"words ({policy})", texts, on_batch(lambda b, p=policy: b.words(p)))
    for name, stages in _stages().items():
        yield case(name, texts, judged(stages))

    def every(docs: Batch) -> None:
        for stage in _stages()["fineweb"]:
            stage.decide(stage.measure(docs, CONTEXT))

    yield threads("fineweb2", texts, every)
    yield case("code-rules", code, decided(CodeRules(default_extension="py")))
    yield case("python-syntax", code[: len(code) // 4], decided(PythonSyntax()), repeats=3)
    yield case("redact-pii", texts, on_batch(redacted))
    yield case("redact-pii (hostile)", [unit * (20_000 // len(unit)) for unit in HOSTILE] * 2, on_batch(redacted))
    yield case("prose_profile", texts, on_batch(lambda b: normal.prose_profile(b.text)))
    yield case("code_profile", texts, on_batch(lambda b: normal.code_profile(b.text)))


def peers() -> Iterator[Row]:
    """FineWeb's rules, counted as datatrove counts them, and personal data against the peers' own; environments are made on first use."""
    texts = corpus(16, SAMPLES[:1])
    few = texts[: max(8, int(len(texts) * PEER_MB / size(texts)))]
    ours = judged(compatible())
    for name, engine, script, mine in (
        ("fineweb-vs-datatrove", "datatrove", "datatrove", ours),
        ("fineweb-vs-datatrove-row", "datatrove", "datatrove-row", ours),
        ("fineweb-vs-nemo-curator", "nemo-curator", "nemo-curator", ours),
        ("redact-pii-vs-datatrove", "datatrove", "datatrove-pii", on_batch(redacted)),
    ):
        # Ours on many times the documents: a slope over what takes us a hundredth of a second would be noise.
        row = case(name, few * 8, mine)
        theirs = peer_speed(engine, script, few)
        yield row | {
            "reference": f"{script}'s own filters",
            "reference_mb_per_s": theirs,
            "ratio": row["mb_per_s"] / theirs if row["mb_per_s"] and theirs else None,
        }
