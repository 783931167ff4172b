"""``make quality``: how well the shipped classifiers tell good documents of sources that nothing was trained on.

    QUALITY_CORPORA=FOLDER make quality        the test sources of registries, and corpora that lie outside of the project

Each row of a table is a score: the classifier's, and what any good classifier must beat (length, readability, perplexity
of a unigram model of the negatives that were trained on). Numbers are as they are; nothing is chosen by them here.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml
import zstandard

from curate import assets
from curate.quality import evaluate
from curate.quality.classifier import load
from curate.stages.catalog import Catalog
from curate.stages.read_packages import ReadPackages
from curate.stages.source import SetAside
from curate.text.batch import Batch
from tests.quality_report import baselines

ROWS = 1024


@dataclass
class Documents:
    """Texts with labels and sources, row-aligned."""

    text: list[str]
    label: list[int]
    source: list[str]

    def of(self, keep: np.ndarray) -> Documents:
        at = np.flatnonzero(keep)
        return Documents([self.text[i] for i in at], [self.label[i] for i in at], [self.source[i] for i in at])


def registry_documents(name: str, *, tests: bool) -> Documents:
    """What the label list of a classifier holds: the test sources, or what was trained on."""
    folder = assets.find("classifiers", name)
    recipe = yaml.safe_load((folder / "train.yaml").read_text())
    settings = recipe["steps"][0]["with"]
    patterns = settings.pop("test_sources")
    rows = [json.loads(line) for line in lines(folder / "labels.jsonl.zst")]
    labels = {row["origin"]: row["label"] for row in rows}
    named = {s for s in {r["source"] for r in rows} if any(fnmatch.fnmatchcase(s, p) for p in patterns)}
    others = sorted({row["source"] for row in rows} - named) if tests else sorted(named)
    stage = ReadPackages(**settings, test_sources=others)
    found = Documents([], [], [])
    for split in stage.splits(folder, Catalog(), 1 << 26):
        for batch in stage.read(split, "files"):
            if not isinstance(batch, SetAside):
                found.text += batch["text"].to_pylist()
                found.source += batch["source"].to_pylist()
                found.label += [labels[origin] for origin in batch["origin"].to_pylist()]
    return found


def lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True) as stream:
        yield from stream.read().splitlines()


def corpora_documents(folder: Path, spec: dict[str, Any]) -> tuple[Documents, np.ndarray]:
    """The rows whose sources data/labels names; the label is the side on which the source stands. And bool[n]: which are
    what their source is named for; of a source of lessons its licence or title page is not, by path or first line."""
    found, meant = Documents([], [], []), []
    no_lesson = [(rule["source"], re.compile(rule["named"]).search) for rule in spec.get("no_lesson", [])]
    for name in spec["files"]:
        for line in lines(folder / f"{name}.jsonl.zst"):
            row = json.loads(line)
            for label, side in ((1, "positive"), (0, "negative")):
                if any(fnmatch.fnmatchcase(row["source"], pattern) for pattern in spec[side]):
                    found.text.append(row["text"])
                    found.label.append(label)
                    found.source.append(row["source"].partition("@")[0])
                    named = f"{row['path']}\n{row['text'].strip().partition(chr(10))[0]}"
                    meant.append(
                        not any(fnmatch.fnmatchcase(row["source"], p) and says(named) for p, says in no_lesson)
                    )
    return found, np.array(meant)


def scores(name: str, docs: Documents) -> np.ndarray:
    model = load(assets.find("classifiers", name))
    parts = [docs.text[i : i + ROWS] for i in range(0, len(docs.text), ROWS)]
    return np.concatenate([model.score(Batch.of(pa.array(part, pa.large_string()))) for part in parts])


def table(title: str, docs: Documents, columns: dict[str, np.ndarray]) -> dict[str, Any]:
    labels, lengths = np.array(docs.label), np.array([len(t.encode()) for t in docs.text])
    print(f"\n{title}: {int(labels.sum()):,} good and {int((1 - labels).sum()):,} other documents\n")
    print(f"{'score':32} {'ROC AUC':>8} {'length-matched':>15}")
    found: dict[str, Any] = {}
    for name, values in columns.items():
        auc, matched = evaluate.roc_auc(labels, values), evaluate.length_matched_auc(labels, values, lengths)
        found[name] = {"roc_auc": auc, "length_matched": matched}
        print(f"{name:32} {auc:8.4f} {matched:15.4f}")
    values = next(iter(columns.values()))
    print(f"\n{'source':48} {'label':>5} {'rows':>6} {'mean':>6} {'AUC against the other class':>28}")
    sources = np.array(docs.source)
    for label, source in sorted(set(zip(docs.label, docs.source, strict=True))):
        mine, rest = (sources == source) & (labels == label), labels != label
        auc = evaluate.roc_auc(labels[mine | rest], values[mine | rest])
        found.setdefault("sources", {})[source] = {"label": label, "rows": int(mine.sum()), "roc_auc": auc}
        print(f"{source[:48]:48} {label:5} {mine.sum():6} {values[mine].mean():6.3f} {auc:28.4f}")
    return found


@dataclass(frozen=True)
class Graded:
    """Documents that people or a strong model graded: ``grades`` are whole numbers, ``about`` says whose they are."""

    about: str
    docs: Documents
    grades: np.ndarray


def graded_documents(folder: Path) -> Iterator[tuple[str, Graded]]:
    """What the corpora hold of grades by people and by models."""
    path = folder / "quality" / "onestop_english.jsonl.zst"
    if path.is_file():
        rows = [json.loads(line) for line in lines(path)]
        levels = {"elementary": 0, "intermediate": 1, "advanced": 2}
        docs = Documents([r["text"] for r in rows], [0] * len(rows), ["onestop"] * len(rows))
        about = "189 articles in the three versions that teachers wrote for three levels of readers (OneStopEnglish)"
        yield "people", Graded(about, docs, np.array([levels[r["label"]] for r in rows]))
    path = folder / "instruct" / "alpaca_eval_answers_dev.jsonl.zst"
    if path.is_file():
        rows = [r for r in map(json.loads, lines(path)) if r["output"]]
        liked = np.array([json.loads(r["label"])["preference_1to2_vs_gpt4"] for r in rows], np.float64)
        docs = Documents([r["output"] for r in rows], [0] * len(rows), [r["model"] for r in rows])
        about = "answers of nine models, preferred to GPT-4's or not by a model (AlpacaEval; 1 to 2 in thirds of their rank)"
        yield "preferences", Graded(about, docs, thirds(liked))


def thirds(values: np.ndarray) -> np.ndarray:
    """0, 1 or 2: in which third of the ranks a value lies."""
    ranks = baselines.ranks(values)
    return np.minimum((ranks / len(ranks) * 3).astype(int), 2)


def agreement(graded: Graded, columns: dict[str, np.ndarray]) -> dict[str, Any]:
    print(f"\nAgainst {graded.about}: {len(graded.grades):,} documents\n")
    print(f"{'score':32} {'Spearman':>9} {'QWK':>7}")
    found = {}
    for name, values in columns.items():
        rho = float(np.corrcoef(baselines.ranks(values), baselines.ranks(graded.grades))[0, 1])
        kappa = evaluate.quadratic_kappa(graded.grades, thirds(values))
        found[name] = {"spearman": rho, "qwk": kappa}
        print(f"{name:32} {rho:9.3f} {kappa:7.3f}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=["textbook-value", "code-value"])
    parser.add_argument(
        "--corpora", default=os.environ.get("QUALITY_CORPORA"), help="folder of corpora (QUALITY_CORPORA)"
    )
    given = parser.parse_args()
    report: dict[str, Any] = {}
    for name in given.names:
        trained = registry_documents(name, tests=False)
        unigrams = baselines.Unigrams([t for t, label in zip(trained.text, trained.label, strict=True) if not label])

        def columns(
            docs: Documents, name: str = name, unigrams: baselines.Unigrams = unigrams
        ) -> dict[str, np.ndarray]:
            return {name: scores(name, docs), **baselines.all_of(docs.text, unigrams)}

        docs = registry_documents(name, tests=True)
        report[name] = {"registries": table(f"{name}, test sources of registries", docs, columns(docs))}
        spec = yaml.safe_load((assets.ROOT / "data" / "labels" / f"{name}.tests.yaml").read_text()).get("corpora")
        if given.corpora and spec:
            docs, meant = corpora_documents(Path(given.corpora), spec)
            values = columns(docs)
            report[name]["corpora"] = table(f"{name}, corpora", docs, values)
            if not meant.all():
                title = f"{name}, corpora without files of good sources that are no lessons by their names"
                parts = {key: column[meant] for key, column in values.items()}
                report[name]["corpora, lessons alone"] = table(title, docs.of(meant), parts)
            for which, graded in graded_documents(Path(given.corpora)) if name == "textbook-value" else ():
                report[name][which] = agreement(graded, columns(graded.docs))
    out = Path("runs/quality/quality.json")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(report, indent=1, sort_keys=True) + "\n")
    print(f"\n{out}")


if __name__ == "__main__":
    main()
