"""Fit the score of rephrased prompts: ``python -m tests.peers.rephrased_fit CORPORA``.

CORPORA has ``benchmarks/*.jsonl.zst`` (``id, text``), among them ``decontam_pairs_dev`` (``benchmark, orig, variant``: an item
and a rephrasing of it), and documents beside it. Every rephrasing is put in the middle of a document; whatever else is
proposed is a negative, natural copies included. Fitted on the half of the pairs and of the documents that a hash
says, counted on the other: COEFFICIENTS of ``curate.text.rephrased`` and of ``curate.quality.rephrased_vectors``, and what
thresholds find.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import zstandard
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from curate.quality.rephrased_vectors import LOWEST, confirmed, passage_vectors
from curate.text.batch import Batch
from curate.text.rephrased import RephraseIndex, build, rephrased

DOCUMENTS = ("web_docs", "code", "forum_reviews", "books", "instruct/flan_cot_dev", "instruct/t0_train_templates_dev")
BENCHMARKS = ("humaneval", "mbpp", "gsm8k", "bbh", "truthfulqa")
AROUND = 1500
"""Characters of the document on either side of a rephrasing."""
Floats = npt.NDArray[np.float32]


def rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        stream = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        yield from map(json.loads, io.BufferedReader(stream))


def texts(path: Path) -> list[str]:
    """The rows' texts; of instructions, the question and its answer."""
    return [
        row["text"] if "text" in row else "\n".join(str(row.get(k) or "") for k in ("instruction", "input", "output"))
        for row in rows(path)
    ]


def half(key: str) -> int:
    return hashlib.blake2b(key.encode(), digest_size=1).digest()[0] % 2


def prompt(pair: dict[str, Any]) -> str:
    """The question of an original: without the answer, the choices or the body."""
    text = str(pair["orig"])
    if pair["benchmark"] == "GSM8K":
        return text.split("\nAnswer:", maxsplit=1)[0].removeprefix("Question:").strip()
    if pair["benchmark"].startswith("MMLU"):
        return "\n".join(text.rstrip("\n").split("\n")[:-4])
    end = max(text.rfind('"""'), text.rfind("'''"))
    return text[: end + 3] if end > 0 else text


def gather(corpora: Path) -> tuple[list[str], list[dict[str, Any]], list[set[int]]]:
    """The prompts of all items, pairs whose rephrasing has eight words, and for each the items that it rephrases."""
    items = [(row["id"], row["text"]) for name in BENCHMARKS for row in rows(corpora / f"benchmarks/{name}.jsonl.zst")]
    pairs = [p for p in rows(corpora / "benchmarks/decontam_pairs_dev.jsonl.zst") if len(p["variant"].split()) >= 8]
    items += [(p["id"], prompt(p)) for p in pairs if p["benchmark"].startswith("MMLU")]
    by_words: dict[str, set[int]] = {}
    by_name = {name: number for number, (name, _) in enumerate(items)}
    for number, (_, text) in enumerate(items):
        by_words.setdefault(" ".join(text.lower().split()), set()).add(number)
    truth = []
    for pair in pairs:
        same = by_words.get(" ".join(prompt(pair).lower().split()), set())
        truth.append(same or {by_name[name] for name in [pair["id"].split("/", 1)[1]] if name in by_name})
    return [text for _, text in items], pairs, truth


def batches(some: list[str]) -> Iterator[tuple[int, Batch]]:
    for at in range(0, len(some), 500):
        yield at, Batch.of(pa.array(some[at : at + 500], pa.large_string()))


@dataclass
class Seen:
    """Matches: which text (by number) each is of, its features, its cosine, whether it is true."""

    of: list[int]
    features: Floats
    true: npt.NDArray[np.bool_]


def seen(
    index: RephraseIndex, vectors: Any, some: list[str], truth: list[set[int]], kept: int = 8
) -> tuple[Seen, Seen]:
    """Of each text the matches that score highest now, by words; and those of LOWEST or more, with their cosines."""
    of: tuple[list[int], list[int]] = ([], [])
    true: tuple[list[bool], list[bool]] = ([], [])
    found: tuple[list[Floats], list[Floats]] = ([], [])
    for at, batch in batches(some):
        matches = rephrased(batch, index, -1e9)
        near, cosine = confirmed(batch, rephrased(batch, index, LOWEST), vectors, -1e9)
        for k, (some_matches, features) in enumerate(
            ((matches, matches.features), (near, np.column_stack((near.features, cosine))))
        ):
            rank = np.arange(len(some_matches.row)) - np.searchsorted(some_matches.row, some_matches.row)
            right = [
                bool(truth) and item in truth[at + row]
                for row, item in zip(some_matches.row.tolist(), some_matches.item.tolist(), strict=True)
            ]
            # In a host with a rephrasing the other matches are neither: it may rephrase a like item.
            taken = np.array(right, np.bool_) if truth else rank < kept
            of[k].extend((at + some_matches.row[taken]).tolist())
            true[k].extend(np.array(right, np.bool_)[taken].tolist())
            found[k].append(features[taken])
    one, two = (Seen(of[k], np.concatenate(found[k]), np.array(true[k])) for k in (0, 1))
    return one, two


def fit(name: str, good: Seen, bad: Seen, pairs: list[dict[str, Any]], every: list[str]) -> None:
    """Print the coefficients fitted on one half, and what thresholds find in the other."""
    good_half = np.array([half(pairs[i]["id"]) for i in good.of])
    halves = [half(text[:4000]) for text in every]
    bad_half = np.array([halves[i] for i in bad.of])
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000))
    train = np.concatenate((good.features[good_half == 0], bad.features[bad_half == 0])).astype(np.float64)
    model.fit(train, np.arange(len(train)) < (good_half == 0).sum())
    scale, logistic = model.steps[0][1], model.steps[1][1]
    slopes = logistic.coef_[0] / scale.scale_
    fitted = [*slopes, logistic.intercept_[0] - slopes @ scale.mean_]
    print(f"{name}: COEFFICIENTS =", tuple(round(float(x), 2) for x in fitted))
    score_good, score_bad = (model.decision_function(x.features.astype(np.float64)) for x in (good, bad))
    asked = Counter(p["benchmark"] for p in pairs if half(p["id"]) == 1)
    for least in (0.0, 0.5, 1.0, 1.5, 2.0, 3.0):
        wrong = len({i for i, s, h in zip(bad.of, score_bad, bad_half, strict=True) if h == 1 and s >= least})
        right = {i for i, s, h in zip(good.of, score_good, good_half, strict=True) if h == 1 and s >= least}
        by_kind = Counter(pairs[i]["benchmark"] for i in right)
        kinds = ", ".join(f"{kind} {by_kind[kind] / asked[kind]:.2f}" for kind in sorted(asked))
        print(
            f"score {least}: recall {len(right) / asked.total():.3f} of {asked.total()} ({kinds}); {wrong} of {sum(halves)} others"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpora", type=Path)
    corpora = parser.parse_args().corpora
    prompts, pairs, truth = gather(corpora)
    index, vectors = build(prompts, range(len(prompts))), passage_vectors(prompts)
    documents = {name: texts(corpora / f"{name}.jsonl.zst") for name in DOCUMENTS}
    hosted = []
    for number, pair in enumerate(pairs):
        kind = documents["code" if pair["benchmark"] == "HumanEval" else "web_docs"]
        host = kind[number * 7919 % len(kind)]
        hosted.append(f"{host[:AROUND]}\n\n{pair['variant']}\n\n{host[AROUND : 2 * AROUND]}")
    every = [text for some in documents.values() for text in some]
    good, bad = seen(index, vectors, hosted, truth), seen(index, vectors, every, [])
    for k, name in enumerate(("curate.text.rephrased", "curate.quality.rephrased_vectors")):
        fit(name, good[k], bad[k], pairs, every)


if __name__ == "__main__":
    main()
