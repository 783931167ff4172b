"""Folded fastText models against the library, on real documents: ``python -m tests.peers.scores --corpus FILE...``.

Models of every kind (``tests/quality/fasttext_models.py``) are trained on some of the documents; all documents are scored
by both, and every probability of every label is compared, the library's less the 1e-5 that it adds. Exit code 1 where
one differs by more than 1e-5, or a label differs that is no tie.

The library adds a document's vectors one after another in float32. Where it is off by more than 1e-5, the document is
scored a third time, by a slow twin of its reader and in float64 from the matrices as they are: if that is what we say, the
difference is the library's rounding (``its rounding``).

One-vs-all reads its probability off a table of 512 steps: where a logit lies within 1e-5 of a step, rounding decides which
step it is (``at a step``).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from curate.quality.fasttext_file import SOFTMAX, FastTextFile, read_fasttext
from curate.quality.fasttext_model import FastTextClassifier
from curate.quality.folded import Folded, sigmoid
from curate.text.batch import Batch
from tests.peers.environment import SAMPLES, drawn
from tests.quality.fasttext_models import KINDS, train_models
from tests.quality.fasttext_twin import slow_line

CLOSE = 1e-5
_AT_ONCE = 2000


def compare(path: Path, documents: Sequence[str], label: str | None) -> dict[str, float]:
    """The largest difference of a probability, how many documents have one above CLOSE, and of how many the label."""
    import fasttext

    mine, library = FastTextClassifier.foreign(path, label), fasttext.load_model(str(path))
    prefix = "#" if path.stem == "prefix" else "__label__"
    names = {f"{prefix}{name.removeprefix(prefix)}": i for i, name in enumerate(mine.labels)}
    names_of_counts = ("largest", "above", "its rounding", "at a step", "labels", "ties", "mine", "library")
    found: dict[str, float] = dict.fromkeys(names_of_counts, 0)
    for part in _parts(documents):
        docs = Batch.of(pa.array(part, pa.large_string()))
        start = time.process_time()
        ours = mine.probabilities(docs)
        middle = time.process_time()
        said = library.predict([text.replace("\n", " ") for text in part], k=-1)
        found["library"] += time.process_time() - middle
        found["mine"] += middle - start
        theirs = np.zeros_like(ours)
        for row, (given, values) in enumerate(zip(*said, strict=True)):
            theirs[row, [names[name] for name in given]] = np.asarray(values, np.float64) - 1e-5
        apart = np.abs(ours - theirs)
        excused = _at_steps(mine, docs, apart > CLOSE)
        found["at a step"] += int(excused.any(axis=1).sum())
        apart[excused] = 0
        for row in np.flatnonzero((apart > CLOSE).any(axis=1)).tolist():
            exact = _exact(read_fasttext(path), part[row])
            found["its rounding"] += bool(np.abs(exact - ours[row]).max() < CLOSE / 10)
        found["largest"] = max(found["largest"], float(apart.max()))
        found["above"] += int((apart > CLOSE).any(axis=1).sum())
        other = ours.argmax(axis=1) != theirs.argmax(axis=1)
        ties = np.abs(np.take_along_axis(theirs, ours.argmax(axis=1)[:, None], 1)[:, 0] - theirs.max(axis=1)) <= CLOSE
        ties |= excused.any(axis=1)
        found["labels"] += int((other & ~ties).sum())
        found["ties"] += int((other & ties).sum())
    return found


def _parts(documents: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(documents), _AT_ONCE):
        yield documents[start : start + _AT_ONCE]


def _at_steps(mine: FastTextClassifier, docs: Batch, apart: np.ndarray) -> np.ndarray:
    """Which of the differences lie at a step of the sigmoid's table."""
    model = mine.model
    if not isinstance(model, Folded) or model.softmax or not apart.any():
        return np.zeros_like(apart)
    sums = model.sums(*docs.utf8, docs.words("raw"), own=False)
    place = (sums.values / sums.counts[:, None] + 8) * 32
    return apart & (np.abs(place - np.round(place)) / 32 < CLOSE)


def _exact(file: FastTextFile, text: str) -> np.ndarray:
    """P of each label, float64[labels], straight from the matrices."""
    args, rows = file.args, {word: i for i, word in enumerate(file.words)}
    settings = args.word_ngrams, args.minn, args.maxn, max(args.bucket, 1)
    known, hashed, _ = slow_line(text.encode(), rows, file.label_tokens, *settings)
    kept = None if file.pruned is None else dict(file.pruned.tolist())
    ids = known + [len(rows) + (b if kept is None else kept[b]) for b in hashed if kept is None or b in kept]
    numbers, counts = np.unique(ids, return_counts=True)
    vectors = np.concatenate([file.input.decoded(i, i + 1) for i in numbers.tolist()]).astype(np.float64)
    logits = counts @ vectors / len(ids) @ file.output.decoded(0, file.output.rows).astype(np.float64).T
    if args.loss != SOFTMAX:
        return sigmoid(logits)
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def main() -> int:
    """Train, compare, print a row for each kind."""
    parser = argparse.ArgumentParser(prog="python -m tests.peers.scores", description=__doc__)
    parser.add_argument("--corpus", nargs="+", type=Path, default=SAMPLES, help="JSONL or JSONL.zst with text")
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--largest", type=int, default=1_000_000, help="bytes of the largest document taken")
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    asked = parser.parse_args()
    documents = drawn(asked.corpus, asked.documents, asked.largest)
    megabytes = sum(len(d.encode()) for d in documents) / 1e6
    print(
        f"{len(documents)} documents, {megabytes:.1f} MB, the largest {max(len(d.encode()) for d in documents)} bytes"
    )
    print(
        f"{'model':<12}{'largest |dP|':>13}{'> 1e-5':>8}{'its rounding':>14}{'at a step':>11}{'labels':>8}{'ties':>6}{'MB/s':>7}{'library':>9}"
    )
    good = True
    with tempfile.TemporaryDirectory() as folder:
        models = train_models(Path(folder), documents[:: max(1, len(documents) // 80)], asked.kinds)
        for kind, path in models.items():
            label = "l0" if KINDS[kind][0] not in (1, 6) else None
            label = "#l0" if kind == "prefix" else label
            found = compare(path, documents, label)
            good &= found["above"] == found["its rounding"] and not found["labels"]
            print(
                f"{kind:<12}{found['largest']:>13.2e}{found['above']:>8}{found['its rounding']:>14}{found['at a step']:>11}{found['labels']:>8}"
                f"{found['ties']:>6}{megabytes / found['mine']:>7.0f}{megabytes / found['library']:>9.1f}",
                flush=True,
            )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
