"""fastText models of every kind to compare with, trained by the library in a process whose fresh memory is zero."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from curate.quality import fit

_SCRIPT = """
import json, sys, fasttext
from pathlib import Path
for name, rows, train, quantize in json.loads(Path(sys.argv[1]).read_text()):
    model = fasttext.train_supervised(rows, thread=1, seed=0, verbose=0, **train)
    if quantize is not None:
        model.quantize(input=rows if quantize.get("retrain") else None, thread=1, verbose=0, **quantize)
    model.save_model(name)
"""

BASE = {"dim": 10, "epoch": 25, "lr": 0.7, "bucket": 1000, "minCount": 1, "wordNgrams": 2, "loss": "softmax"}
KINDS: Mapping[str, tuple[int, dict[str, Any], dict[str, Any] | None]] = {
    "softmax": (2, {}, None),
    "one": (1, {}, None),
    "dim1": (2, {"dim": 1}, None),
    "dim64": (2, {"dim": 64, "wordNgrams": 3}, None),
    "dim256": (2, {"dim": 256, "wordNgrams": 4, "bucket": 4096}, None),
    "words": (2, {"wordNgrams": 1, "bucket": 0}, None),
    "bucket1": (2, {"bucket": 1}, None),
    "rare": (2, {"minCount": 100_000}, None),
    "prefix": (2, {"label": "#"}, None),
    "subwords": (2, {"minn": 2, "maxn": 4}, None),
    "single": (2, {"minn": 1, "maxn": 1, "wordNgrams": 1}, None),
    "six": (6, {"dim": 16}, None),
    "ova": (2, {"loss": "ova"}, None),
    "ova6": (6, {"loss": "ova", "minn": 1, "maxn": 3}, None),
    "ns": (3, {"loss": "ns"}, None),
    "hs": (6, {"loss": "hs"}, None),
    "quantized": (2, {}, {}),
    "qnorm": (2, {"dim": 11}, {"qnorm": True, "dsub": 3}),
    "cutoff": (2, {}, {"cutoff": 600}),
    "unhashed": (2, {"bucket": 300}, {"cutoff": 256}),
    "retrain": (2, {"minn": 2, "maxn": 3}, {"cutoff": 900, "retrain": True, "qnorm": True}),
    "cutoff6": (6, {}, {"cutoff": 500, "qnorm": True}),
    "qout": (300, {"dim": 8}, {"qout": True}),
}
"""Each kind: how many labels, what differs from BASE, how it is quantized."""


def train_models(folder: Path, texts: Sequence[str], kinds: Sequence[str] = tuple(KINDS)) -> dict[str, Path]:
    """A model file of each kind, trained on the texts; the labels go round: what a model learns does not matter here."""
    jobs, found = [], {}
    for kind in kinds:
        labels, settings, quantize = KINDS[kind]
        rows = folder / f"{kind}.txt"
        prefix = settings.get("label", "__label__")
        some = [texts[i % len(texts)] for i in range(max(len(texts), labels))]
        names = [str(i % labels) if labels == 6 else f"l{i % labels}" for i in range(len(some))]
        lines = [f"{prefix}{name} {' '.join(text.split())}\n" for name, text in zip(names, some, strict=True)]
        rows.write_text("".join(lines), encoding="utf-8")
        found[kind] = folder / f"{kind}.{'bin' if quantize is None else 'ftz'}"
        jobs.append([str(found[kind]), str(rows), {**BASE, **settings}, quantize])
    job = folder / "jobs.json"
    job.write_text(json.dumps(jobs))
    subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(job)], env=fit.environment(os.environ), check=True, capture_output=True
    )
    return found
