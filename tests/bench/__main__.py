"""Speed and memory: ``make bench only=rules``, or ``python -m tests.bench rules``; without a name, every bench in turn.

Prints a table and writes ``runs/bench/<bench>.json``. MB are 10^6 bytes of UTF-8 text. A speed is the slope between a
quarter of the corpus and all of it, from medians; what is left over is start-up, in a column of its own. In-process
cases are timed in CPU seconds (``clock: cpu``), those with processes or files in wall seconds (``wall``); on a busy
machine only ratios within one run mean anything.
"""

from __future__ import annotations

import json
import os
import platform
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import yaml
import zstandard

from curate.run.versions import library_versions
from curate.stages.base import KEY, PART, ROW, WEIGHT, Span
from curate.stages.catalog import Unhashed
from curate.text.batch import Batch
from tests.bench import clusters, running
from tests.bench.contamination import decontaminate
from tests.bench.diversity import diversity
from tests.bench.encoding import encode
from tests.bench.inputs import inputs
from tests.bench.llm import llm
from tests.bench.loading import loading
from tests.bench.measure import (
    ROOT,
    Row,
    Run,
    batch,
    case,
    corpus,
    counted,
    on_batch,
)
from tests.bench.packing import packing
from tests.bench.rules import compiling, peers, rules
from tests.bench.sandboxed import sandbox
from tests.bench.scoring import score
from tests.bench.shuffling import shuffling
from tests.bench.spans import spans
from tests.bench.train import train50k
from tests.exchange import CONTEXT

# -- benches --------------------------------------------------------------------------------------------------------


def physical() -> Iterator[Row]:
    """What a machine needs for the least that reading must do, and our reading beside it."""
    from curate.stages.read_jsonl import ReadJsonl
    from curate.text import hashing

    texts = corpus(8)

    def lines(some: list[str]) -> bytes:
        return b"".join(orjson.dumps({"text": t}) + b"\n" for t in some)

    def memcpy(some: list[str]) -> Run:
        data = np.frombuffer("".join(some).encode(), np.uint8)
        return lambda: [data.copy() for _ in range(20)]

    def unpack(some: list[str]) -> Run:
        packed = zstandard.ZstdCompressor(3).compress(lines(some))
        return lambda: zstandard.ZstdDecompressor().decompress(packed)

    def parse(some: list[str]) -> Run:
        rows = lines(some).splitlines()
        return lambda: [orjson.loads(row) for row in rows]

    def bare(some: list[str]) -> Run:
        packed = zstandard.ZstdCompressor(3).compress(lines(some))
        return lambda: [orjson.loads(r) for r in zstandard.ZstdDecompressor().decompress(packed).splitlines()]

    with tempfile.TemporaryDirectory() as folder:

        def read(some: list[str]) -> Run:
            path = Path(folder) / f"{len(some)}.jsonl.zst"
            path.write_bytes(zstandard.ZstdCompressor(3).compress(lines(some)))
            stage = ReadJsonl(paths=[str(path)])
            (split,) = stage.splits(path.parent, Unhashed(), 1 << 30)
            return lambda: list(stage.read(split, "bench"))

        copied = case("memcpy", texts, memcpy)
        copied["mb_per_s"] = copied["mb_per_s"] and copied["mb_per_s"] * 20  # twenty copies a repeat
        yield copied
        yield case("zstd", texts, unpack)
        yield case("parse (orjson)", texts, parse)
        yield case("read.jsonl", texts, read, ("zstd + orjson", bare))
        yield case("content_hash", texts, on_batch(lambda b: hashing.content_hash(b.text)))
        yield case("hash128", texts, on_batch(lambda b: hashing.hash128(b.text)))


def near() -> Iterator[Row]:
    """MinHash sketches, words and shingles included, against independent permutations; dedup.near's map and pairs; dedup.exact."""
    from curate.stages.dedup_exact import DedupExact
    from curate.stages.dedup_near import DedupNear
    from curate.text.minhash import signatures
    from curate.text.ngrams import Ngrams, characters, ngrams
    from curate.text.shingles import shingles
    from tests.bench.sketches import methods

    texts, phase = corpus(8), DedupNear().phases()[0]
    order = [(KEY, "ascending"), *((name, "ascending") for name in phase.sort_by)]

    def pairs(some: list[str]) -> Run:
        rows = phase.reads[0].map(batch(some), CONTEXT).sort_by(order)
        return lambda: list(phase.reduce(iter([rows]), Span(0, rows.num_rows), CONTEXT))

    reference = "permutations, 32 bits"
    draw = methods()[reference]

    def permuted(b: Batch) -> object:
        grams = ngrams(b.words("folded"), 5)
        return draw(Ngrams(np.unique(grams.rows), grams.hashes), 0)

    sketch = on_batch(lambda b: signatures(ngrams(b.words("folded"), 5)))
    yield case("sketch", texts, sketch, (reference, on_batch(permuted)))
    yield case("sketch, 24 characters", texts, on_batch(lambda b: signatures(ngrams(characters(b.text), 24))))
    yield case("shingle sets", texts, on_batch(lambda b: shingles(ngrams(b.words("folded"), 5))))
    yield case("dedup.near map", texts, on_batch(lambda b: phase.reads[0].map(b, CONTEXT)))
    yield case("dedup.near pairs", texts, pairs)
    yield case("dedup.exact map", texts, on_batch(lambda b: DedupExact().phases()[0].reads[0].map(b, CONTEXT)))


def _through_engine(source: Path, middle: list[dict[str, Any]], folder: Path) -> None:
    from curate.recipe.plan import make_plan
    from curate.recipe.recipe import load_recipe
    from curate.run.cluster import Runner
    from curate.run.engine import Engine
    from curate.run.progress import Silent
    from curate.store.files import Store

    read = {"id": "docs", "use": "read.jsonl", "with": {"paths": [str(source)]}}
    steps = [read, *middle, {"id": "out", "use": "write.text"}]
    recipe = source.with_suffix(".yaml")
    recipe.write_text(yaml.safe_dump({"recipe": "bench", "seed": 7, "steps": steps}))
    with Runner(0) as runner:
        Engine(make_plan(load_recipe(recipe)), Store(folder), runner, Silent()).run()


def _in_a_loop(source: Path, out: Path, *, filters: bool) -> None:
    """The same kernels with all rows in memory: nothing committed, hashed for a receipt, or spilled."""
    from curate.stages.dedup_exact import DedupExact
    from curate.stages.filter_massivetext import MassiveText
    from curate.stages.read_jsonl import ReadJsonl
    from curate.stages.write_text import WriteText

    stage, rules_stage = ReadJsonl(paths=[str(source)]), MassiveText()
    kept = []
    for split in stage.splits(source.parent, Unhashed(), 64 << 20):
        for rows in stage.read(split, "docs"):
            if isinstance(rows, pa.RecordBatch):
                docs = Batch(rows)
                stays = pc.is_null(rules_stage.decide(rules_stage.measure(docs, CONTEXT))) if filters else None
                kept.append(rows if stays is None else rows.filter(stays))
    table = pa.Table.from_batches(kept).combine_chunks()
    index = pa.array(np.arange(table.num_rows), pa.uint32())
    table = table.append_column(PART, pa.array(np.zeros(table.num_rows), pa.uint32())).append_column(ROW, index)
    if filters:
        phase = DedupExact().phases()[0]
        mapped = pa.concat_tables([phase.reads[0].map(Batch(b), CONTEXT) for b in table.to_batches()])
        mapped = mapped.sort_by([(name, "ascending") for name in (KEY, *phase.sort_by)])
        gone = pa.concat_tables(phase.reduce(iter([mapped]), Span(0, mapped.num_rows), CONTEXT)).column(ROW)
        table = table.filter(pc.invert(pc.is_in(table.column(ROW), gone.combine_chunks())))
    writer = WriteText()
    rows = pa.concat_tables([writer.map(Batch(b), CONTEXT) for b in table.combine_chunks().to_batches()])
    rows = rows.sort_by([(KEY, "ascending"), ("id", "ascending")]).combine_chunks()
    total = int(pc.sum(rows.column(WEIGHT)).as_py())
    for cut in writer.layout(total):
        writer.write(cut, ((i, b) for i, b in [(0, rows.to_batches()[0])]), out / f"{cut.index}.arrow", None, CONTEXT)


def _engine(name: str, middle: list[dict[str, Any]]) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as temporary:

        def source(some: list[str]) -> Path:
            path = Path(temporary) / f"{len(some)}.jsonl"
            path.write_bytes(b"".join(orjson.dumps({"id": str(i), "text": t}) + b"\n" for i, t in enumerate(some)))
            return path

        def ours(some: list[str]) -> Run:
            path = source(some)
            return lambda: _through_engine(path, middle, Path(tempfile.mkdtemp(dir=temporary)))

        def loop(some: list[str]) -> Run:
            path = source(some)
            return lambda: _in_a_loop(path, Path(tempfile.mkdtemp(dir=temporary)), filters=bool(middle))

        yield case(name, corpus(16), ours, ("plain loop, in memory", loop), wall=True, repeats=3)


def engine() -> Iterator[Row]:
    """read, massivetext, exact, write.text through the engine in this process; overhead and messages: see running.py."""
    yield from _engine("engine", [{"id": "rules", "use": "filter.massivetext"}, {"id": "one", "use": "dedup.exact"}])
    yield from running.overhead()
    yield from running.messages()
    yield from running.tasks()


def shuffle() -> Iterator[Row]:
    """read, write.text through the engine in this process: the exchange and little else; tokens: see shuffling.py."""
    yield from _engine("shuffle", [])
    yield from shuffling()


def loader() -> Iterator[Row]:
    """Batches of tokens (see loading.py); random rows that write.text wrote, through ``datasets``, against pyarrow."""
    import datasets

    yield from loading()
    texts, count = corpus(8), 2000
    with tempfile.TemporaryDirectory() as temporary:
        source = Path(temporary) / "in.jsonl"
        source.write_bytes(b"".join(orjson.dumps({"text": t}) + b"\n" for t in texts))
        _through_engine(source, [], Path(temporary) / "run")
        data = datasets.load_from_disk(str(Path(temporary) / "run" / "out"))
        wanted = [random.Random(3).randrange(len(data)) for _ in range(count)]
        (file,) = (Path(temporary) / "run" / "out").glob("*.arrow")
        column = pa.ipc.open_stream(pa.memory_map(str(file))).read_all().column("text")
        bare = ("pyarrow, text only", count, lambda: [column[i].as_py() for i in wanted])
        yield counted("random rows (datasets)", count, lambda: [data[i] for i in wanted], bare)


def cluster() -> Iterator[Row]:
    """Tasks that do nothing, against Dask's own limit; many connections; see clusters.py."""
    yield from clusters.tasks()
    yield from clusters.connections()


def pipeline() -> Iterator[Row]:
    """Two workers against one on a gigabyte of text; see running.py."""
    yield from running.workers()


# -- command line ---------------------------------------------------------------------------------------------------

BENCHES: dict[str, Callable[[], Iterator[Row]]] = {
    bench.__name__: bench
    for bench in (
        physical, rules, compiling, peers, score, near, spans, diversity, decontaminate, encode, shuffle, packing, engine, loader, llm, sandbox, cluster, pipeline, train50k, inputs,
    )
}  # fmt: skip


def _number(value: float | None, form: str = ".3g") -> str:
    return "-" if value is None else f"{value:,.0f}" if abs(value) >= 100 else f"{value:{form}}"


def main() -> int:
    """Run what is named; each bench of several in a process of its own, so that memory is not another's."""
    names = sys.argv[1:] or list(BENCHES)
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        print(f"no bench {', '.join(unknown)}; there are: {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    if len(names) > 1:
        codes = [
            subprocess.run([sys.executable, "-m", "tests.bench", n], cwd=ROOT, check=False).returncode for n in names
        ]
        return max(codes)
    name = names[0]
    rows = []
    print(f"{name:30} cores     MB/s  start-up s   per s  peak MB  ratio  reference", flush=True)
    for row in BENCHES[name]():
        rows.append(row)
        cells = (row.get("mb_per_s"), row.get("startup_s"), row.get("per_s"), row["peak_rss_mb"], row.get("ratio"))
        speed, start, per, peak, ratio = map(_number, cells)
        line = f"{row['name']:30} {row['cores']:5} {speed:>8} {start:>11} {per:>7} {peak:>8} {ratio:>6}"
        print(f"{line}  {row.get('reference', row.get('note', ''))}", flush=True)
    libraries = library_versions() | {x: version(x) for x in ("zstandard", "orjson")}
    cpu = [x.partition(":")[2].strip() for x in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in x]
    machine = {
        "system": platform.system(),
        "machine": platform.machine(),
        "cpu": cpu[0] if cpu else None,
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
        "python": platform.python_version(),
        "libraries": libraries,
    }
    named = None if name == "pipeline" else os.environ.get("BENCH_CORPUS")
    result = {"bench": name, "machine": machine, "corpus": Path(named).name if named else "data/samples", "rows": rows}
    out = ROOT / "runs/bench" / f"{name}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
