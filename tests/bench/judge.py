"""What planted sentences do to the scores of a judge: ``python -m tests.bench.judge [documents]``.

The judge is the embedded local model, or any OpenAI-compatible endpoint named by JUDGE_URL, JUDGE_MODEL and JUDGE_KEY_ENV.
Documents of the shipped samples, half prose and half code, are scored as they are, with a planted sentence or forged
turn (tests/planted.py: each document has one, of all wordings and places in turn) that is masked, and with the same one
unmasked; both again with wordings that the masks were not made on. Writes runs/bench/judge.json; answers are kept in runs/bench/judge, so that a second run asks only what is new.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import zstandard

from curate import assets
from curate.llm.ask import Asker, Round
from curate.llm.model import Budget, Model
from curate.quality import evaluate
from curate.stages.base import Context
from curate.stages.generator import Accepted
from curate.stages.judge_prompts import Output
from curate.stages.label_llm import LabelLLM
from curate.text.batch import Batch
from curate.text.hashing import content_hash, hash128
from tests.bench.measure import ROOT
from tests.planted import FORGED, HELD_OUT, PLACES, WORDINGS, plant

GOOD = {
    "web": (
        "rust-book",
        "rust-by-example",
        "python-tutorial",
        "sklearn-guide",
        "flask-guide",
        "pytest-guide",
        "node-lessons",
    ),
    "code": ("algorithms", "pygorithm", "binarytree", "networkx", "more-itertools", "sympy-lessons"),
}
BAD = {
    "web": ("api-index", "api-stubs", "minified", "data-tables", "source-listings", "licences", "changelogs"),
    "code": ("generated-code", "data-dicts", "locale-tables", "boilerplate", "minified-code"),
}
DIRECT = (*WORDINGS, *FORGED)
SHOWN = 600


def documents(count: int) -> list[dict[str, Any]]:
    """Equally many of prose and code, of good and bad sources: the first of each source in the samples' order, in turn."""
    found: list[dict[str, Any]] = []
    for name in ("web", "code"):
        queues: dict[str, list[dict[str, Any]]] = {}
        with (assets.find("data", "samples") / f"{name}.jsonl.zst").open("rb") as packed:
            plain = zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True)
            for row in map(json.loads, io.TextIOWrapper(plain, encoding="utf-8")):
                if len(row["text"]) > SHOWN:
                    queues.setdefault(row["source"], []).append(row)
        for label, sources in ((1, GOOD[name]), (0, BAD[name])):
            turns = [
                (rank, source) for rank in range(count) for source in sources if rank < len(queues.get(source, []))
            ]
            found += [{**queues[s][r], "label": label, "code": name == "code"} for r, s in turns[: count // 4]]
    return found


def judged(docs: list[dict[str, Any]], texts: list[str], stage: LabelLLM, model: Model) -> list[int | None]:
    """The score of each text; its delimiters are the document's, whatever is planted in it."""
    rubric = assets.find("classifiers", stage.rubric)
    ctx = Context("judge", 1, {"rubric": rubric})
    text = pa.array(texts, pa.large_string())
    names = pa.array([d["id"] for d in docs], pa.large_string())
    batch = pa.RecordBatch.from_pydict(
        {
            "id": hash128(names, 0),
            "text": text,
            "source": pa.array(["code" if d["code"] else "prose" for d in docs]),
            "origin": names.cast(pa.string()),
            "meta": pa.array(["{}"] * len(docs)),
            "content_hash": content_hash(text),
        }
    )
    requests = [r for some in stage.requests([Batch(batch)], ctx) for r in some]
    folder = ROOT / "runs" / "bench" / "judge"
    folder.mkdir(parents=True, exist_ok=True)
    journal, log = folder / "journal.sqlite", folder / "model.log"
    with Asker({"judge": model}, budget=Budget(), journal=journal, local_log=log) as asker:
        asker.put(Round("judge", tuple(requests)))
        closed = asker.take()
    assert closed is not None
    scores: dict[str, int | None] = {}
    for request, answer in zip(requests, closed.answers, strict=True):
        result = stage.accept(request, answer, ctx) if answer else None
        scores[str(request.subject["document"])] = result.columns["score"] if isinstance(result, Accepted) else None
    return [scores[one.hex()] for one in batch.column("id").to_pylist()]


def planted(docs: list[dict[str, Any]], sentences: Sequence[str]) -> list[str]:
    """The documents' texts with one of the sentences each, at one of the places, in turn."""
    return [
        plant(d["text"], sentences[i % len(sentences)], PLACES[i % 3], code=d["code"], shown=SHOWN - 50)
        for i, d in enumerate(docs)
    ]


def shift(before: list[int | None], after: list[int | None], where: list[bool]) -> dict[str, Any]:
    """Mean of (after - before) over the documents that have both, its standard error, and how many moved to 5."""
    moved = np.array(
        [b - a for a, b, here in zip(before, after, where, strict=True) if here and a is not None and b is not None],
        float,
    )
    fives = sum(b == 5 and a != 5 for a, b, here in zip(before, after, where, strict=True) if here)
    error = float(moved.std(ddof=1) / np.sqrt(len(moved))) if len(moved) > 1 else None
    return {"documents": len(moved), "mean_shift": float(moved.mean()), "standard_error": error, "became_5": fives}


def main() -> None:
    """Ask, print, write."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 48
    output: Output = "json" if "json" in sys.argv[2:] else "text"
    if url := os.environ.get("JUDGE_URL"):
        model = Model(base_url=url, model=os.environ["JUDGE_MODEL"], key_env=os.environ.get("JUDGE_KEY_ENV"))
    else:
        model = Model(threads=int(os.environ.get("JUDGE_THREADS", "2")), timeout_seconds=1200)
    docs = documents(count)
    clean = [d["text"] for d in docs]
    settings: dict[str, Any] = {"documents": 10 * count, "code": ["code"], "max_chars": 1000, "output": output}
    settings["max_tokens"] = 60 if output == "text" else 110
    result: dict[str, Any] = {"model": model.model, "output": output, "documents": len(docs)}
    before = judged(docs, clean, LabelLLM(**settings), model)
    labels = np.array([d["label"] for d in docs])
    have = np.array([s is not None for s in before])
    scores = np.array([-1 if s is None else s for s in before])
    result["clean"] = {
        "scored": int(have.sum()),
        "mean": float(scores[have].mean()),
        "roc_auc": evaluate.roc_auc(labels[have], scores[have]),
        "cohen_kappa": evaluate.cohen_kappa(scores[have] >= 3, labels[have] == 1),
    }
    print(result, flush=True)
    for name, texts, mask in (
        ("masked", planted(docs, DIRECT), True),
        ("held_out_masked", planted(docs, HELD_OUT), True),
        ("unmasked", planted(docs, DIRECT), False),
        ("held_out_unmasked", planted(docs, HELD_OUT), False),
    ):
        after = judged(docs, texts, LabelLLM(**settings, mask=mask), model)
        kinds = {"all": [True] * len(docs), "prose": [not d["code"] for d in docs], "code": [d["code"] for d in docs]}
        result[name] = {kind: shift(before, after, where) for kind, where in kinds.items()}
        print(name, result[name], flush=True)
    (ROOT / "runs" / "bench" / f"judge-{output}.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
