"""Speed of scores: a folded fastText model against fastText's own command line and datatrove's stage, on one model.

The model is written here: two labels, runs of two words, two million buckets, a vocabulary of 400,000 (the corpus's words
and others). What stands in its matrices does not bear on the speed of anybody.

The least that a score needs is two reads at random a word, one in the vocabulary (6.4 MB used of 16 MB) and one among the
buckets (8 MB); words are about six bytes long in prose. ``random reads`` is that and nothing else: the same tables, read
at places that are already known, the next ones asked for ahead. What is left over is the work on the words.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numba import njit

from curate.quality.folded import Folded
from curate.text.batch import Batch
from curate.text.fasttext_features import Features
from curate.text.swar import prefetch
from tests.bench.measure import ROOT, SAMPLES, Row, Run, batch, case, corpus, cut, on_batch, size, slope
from tests.bench.rules import PEER_MB, peer_speed

BUCKETS = 2_000_000
VOCABULARY = 400_000
_SLAB = 1 << 14
_CLI_TIMES = 4
"""How often the command line gets the corpus: it loads two gigabytes first, whose time varies."""


def write_model(path: Path, texts: list[str], dim: int) -> None:
    """A model file as fastText writes it, of words seen twice in the texts and random matrices."""
    counts = Counter(word for text in texts for word in text.encode().replace(b"\0", b" ").split())
    words = [
        b"</s>",
        *(word for word, count in counts.most_common(VOCABULARY) if count > 1 and b"__label__" not in word),
    ]
    words += [b"another%d" % i for i in range(VOCABULARY - len(words))]
    entries = [(word, 0) for word in words] + [(b"__label__hq", 1), (b"__label__cc", 1)]
    slab = np.random.default_rng(7).uniform(-1 / dim, 1 / dim, (_SLAB, dim)).astype("<f4")
    rows = len(words) + BUCKETS
    with path.open("wb") as file:
        file.write(struct.pack("<ii12id", 793712314, 12, dim, 5, 1, 1, 5, 2, 3, 3, BUCKETS, 0, 0, 100, 1e-4))
        file.write(struct.pack("<iiiqq", len(entries), len(words), 2, sum(counts.values()), -1))
        file.writelines(word + b"\0" + struct.pack("<qb", 2, kind) for word, kind in entries)
        file.write(struct.pack("<?qq", False, rows, dim))
        for start in range(0, rows, _SLAB):
            file.write(slab[: min(_SLAB, rows - start)].tobytes())
        file.write(struct.pack("<?qq", False, 2, dim) + slab[:2].tobytes())


def command_line() -> Path:
    """fastText's own program, built with -O3 for this machine from the source of 0.9.3 in the registry."""
    folder = ROOT / "runs/peers/fasttext-cli"
    program = folder / "fasttext"
    if not program.exists():
        print(f"building fastText's command line in {folder} (a minute)", file=sys.stderr)
        folder.mkdir(parents=True, exist_ok=True)
        source = ["--no-binary", "fasttext", "--no-deps", "--dest", folder, "fasttext==0.9.3"]
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", *source], check=True)
        with tarfile.open(next(folder.glob("fasttext-0.9.3*.tar.gz"))) as archive:
            archive.extractall(folder, filter="data")
        files = sorted((folder / "fasttext-0.9.3/src").glob("*.cc"))
        flags = ["-O3", "-march=native", "-funroll-loops", "-std=c++17", "-pthread"]
        subprocess.run(["g++", *flags, *files, "-o", folder / "made"], check=True)
        (folder / "made").replace(program)
    return program


def _command_line_speed(model: Path, texts: list[str], folder: Path) -> float | None:
    """MB/s of CPU time of ``fasttext predict-prob``, a slope, so that loading the model does not count."""
    lines = [text.replace("\n", " ") + "\n" for text in texts]
    taken: list[tuple[float, list[float]]] = []
    for part in (lines[: len(lines) // 4], lines):
        path = folder / "lines.txt"
        path.write_text("".join(part * _CLI_TIMES), encoding="utf-8", newline="\n")
        times = []
        for _ in range(3):
            command = [command_line(), "predict-prob", model, path, "2"]
            with subprocess.Popen(command, stdout=subprocess.DEVNULL) as child:
                _, status, used = os.wait4(child.pid, 0)
                child.returncode = os.waitstatus_to_exitcode(status)
            if child.returncode:
                raise RuntimeError(f"fastText's command line ended with {child.returncode}")
            times.append(used.ru_utime + used.ru_stime)
        taken.append((path.stat().st_size / 1e6, times))
    return slope(taken[0], taken[1])[0]


def _from_words(work: Callable[[Batch], object]) -> Callable[[list[str]], Run]:
    """A case over batches whose words are there before the clock starts."""

    def make(texts: list[str]) -> Run:
        batches = [Batch(rows) for rows in cut(batch(texts).rows)]
        for docs in batches:
            docs.words("raw")
        return lambda: [work(docs) for docs in batches]

    return make


def _against(row: Row, reference: str, speed: float | None) -> Row:
    ratio = row["mb_per_s"] / speed if row["mb_per_s"] and speed else None
    return row | {"reference": reference, "reference_mb_per_s": speed, "ratio": ratio}


def _random_reads(model: Features) -> Callable[[list[str]], Run]:
    """The reads that a score needs and nothing else; see the module."""

    @njit(nogil=True)
    def read(slots: Any, places: Any, buckets: Any, ids: Any) -> float:
        total, found = 0.0, np.uint64(0)
        for start in range(0, len(ids), 128):
            stop = min(start + 128, len(ids))
            for i in range(start, stop):
                prefetch(slots, 2 * places[i])
                prefetch(buckets, ids[i])
            for i in range(start, stop):
                found += slots[places[i], 1]
                total += buckets[ids[i], 0]
        return total + np.float64(found)

    def make(texts: list[str]) -> Run:
        hashes = Batch.of(pa.array(texts, pa.large_string())).words("raw").hashes
        signed = hashes.astype(np.uint32).astype(np.int32).astype(np.int64).astype(np.uint64)
        runs = signed * np.uint64(116049371) + np.append(signed[1:], np.uint64(0))
        places = ((hashes * np.uint64(0x9E3779B97F4A7C15)) >> model.shift).astype(np.int64)
        ids = (runs % np.uint64(BUCKETS)).astype(np.int64)
        return lambda: read(model.slots, places, model.buckets.values, ids)

    return make


def score() -> Iterator[Row]:
    """Scores of a two-class model with splitting, and from words in memory; peers in the same run."""
    from curate.quality.fasttext_model import FastTextClassifier

    texts = corpus(16, SAMPLES[:1])
    few = texts[: max(8, int(len(texts) * PEER_MB / size(texts)))]
    with tempfile.TemporaryDirectory() as temporary:
        folder, model = Path(temporary), Path(temporary) / "model.bin"
        for dim in (64, 256):
            write_model(model, texts, dim)
            mine = FastTextClassifier.foreign(model, "hq")
            theirs = _command_line_speed(model, texts, folder)
            for name, build in ((f"dim{dim}", on_batch), (f"dim{dim} (words in memory)", _from_words)):
                yield _against(case(name, texts, build(mine.score), repeats=9), "fastText's command line", theirs)
        assert isinstance(mine.model, Folded)
        yield case("random reads", texts, _random_reads(mine.model.features), repeats=9)
        row = case("score-vs-datatrove", texts, on_batch(mine.score), repeats=9)
        yield _against(
            row, "datatrove's FastTextClassifierFilter", peer_speed("datatrove", f"datatrove-fasttext={model}", few)
        )
    yield from _own(texts)


def _own(texts: list[str]) -> Iterator[Row]:
    """A model of our own, as recipes train it, against the library's ``predict`` on lines that are prepared already."""
    import fasttext

    from curate.quality.fasttext_model import FastTextClassifier
    from curate.quality.fasttext_train import FastTextSettings

    with tempfile.TemporaryDirectory() as folder:
        some = pa.array(texts[:600], pa.large_string())
        labels = [i % 2 for i in range(len(some))]  # what it learns does not bear on its speed
        model = FastTextClassifier.train(some, labels, FastTextSettings(epoch=1), Path(folder))
        library = fasttext.load_model(f"{folder}/model.bin")

        def bare(part: list[str]) -> Run:
            lines = [x for x in model.form.lines(pa.array(part, pa.large_string())).to_pylist() if x]
            return lambda: library.predict(lines, k=2)

        yield case("score.classifier", texts, on_batch(model.score), ("fastText predict", bare))
