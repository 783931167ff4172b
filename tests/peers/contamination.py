"""``decontaminate`` on planted and rephrased items and on real documents, beside what others do: ``python -m tests.peers.contamination FOLDER``.

FOLDER is as contamination_corpora.py says. Parts, each by itself with ``--parts``:

strengths   items of every benchmark changed from verbatim to said otherwise, pasted into real documents: recall
pairs       the rephrased benchmark items by kind: recall of each layer, of a shared 13-gram, of 10-grams with difflib
negatives   every document of the folder: hits, less the true copies that natural_copies.yaml lists: precision
datatrove   its n-gram decontamination with the same n on the same texts: where verdicts differ, and the speed of both
code        which packages of ``code.jsonl.zst`` have functions like a benchmark's

Exit code 1 if a recall or the precision of GOALS is missed.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import yaml

from tests.contamination.carriers import KINDS, pasted
from tests.contamination.found import Against, Found
from tests.contamination.items import Item
from tests.contamination.strengths import STRENGTHS
from tests.peers import contamination_differences, contamination_functions
from tests.peers.contamination_baselines import Baseline, Text, baselines
from tests.peers.contamination_corpora import Document, benchmarks, documents, pairs

COPIES: Final = Path(__file__).with_name("natural_copies.yaml")
GOALS: Final = {
    "verbatim": 1.0,
    "reformatted": 1.0,
    "renamed": 1.0,
    "reordered": 0.9,
    "reordered, renamed, no docstring": 0.9,
    "pairs": 0.6,
    "precision": 0.95,
}
EACH: Final = 300
"""Items of a benchmark that are planted, evenly drawn, at most."""
OURS: Final = "curate"
UNSEEN: Final = "unseen"
"""What the score of rephrasings was not fitted on."""


@dataclass
class Bench:
    """What the parts share.

    Attributes:
        folder: the corpora.
        items: all items; ``tested`` those of test splits.
        stage: the stage against the tested items.
        missed: goals that were missed, in words.
    """

    folder: Path
    items: list[Item]
    tested: list[Item]
    stage: Against
    baselines: list[Baseline]
    missed: list[str]

    def verdicts(self, texts: Sequence[str]) -> dict[str, npt.NDArray[np.bool_]]:
        """By column of a table: ours, each of our reasons, each baseline."""
        return self.ours(self.stage.found(texts)) | self.theirs(texts)

    def ours(self, got: Found) -> dict[str, npt.NDArray[np.bool_]]:
        """Any reason, and each."""
        return {OURS: got.any, **{reason.removeprefix("benchmark_"): hit for reason, hit in got.reasons.items()}}

    def theirs(self, texts: Iterable[str]) -> dict[str, npt.NDArray[np.bool_]]:
        """Each baseline."""
        found: dict[str, list[bool]] = {b.name: [] for b in self.baselines}
        for text in map(Text, texts):
            for baseline in self.baselines:
                found[baseline.name].append(baseline.item(text) is not None)
        return {name: np.array(hits, bool) for name, hits in found.items()}

    def goal(self, name: str, value: float, what: str) -> None:
        """Note a goal that is missed."""
        if name in GOALS and value < GOALS[name]:
            self.missed.append(f"{what}: {100 * value:.1f} % of {100 * GOALS[name]:.0f} %")


def table(title: str, rows: dict[str, tuple[int, dict[str, float]]]) -> None:
    """Print shares in percent: a row has its number of texts and a share by column."""
    columns = list(next(iter(rows.values()))[1])
    wide = max(map(len, rows)) + 2
    print(f"\n{title}\n{'':<{wide}}{'texts':>7}" + "".join(f"{c:>{max(len(c), 6) + 2}}" for c in columns))
    for name, (count, shares) in rows.items():
        print(
            f"{name:<{wide}}{count:>7}" + "".join(f"{100 * shares[c]:>{max(len(c), 6) + 2}.1f}" for c in columns),
            flush=True,
        )


def strengths(bench: Bench) -> None:
    """Recall by benchmark and strength, over all kinds of documents; by kind for ours."""
    by_benchmark: dict[str, list[Item]] = {}
    for item in bench.tested:
        by_benchmark.setdefault(item.name.partition("/")[0], []).append(item)
    for name, all_items in by_benchmark.items():
        items = all_items[:: -(-len(all_items) // EACH)]
        rows, kinds = {}, {}
        for strength, change in STRENGTHS.items():
            changed = [(item, text) for item in items if (text := change(item))]
            if not changed or (strength == "answer only" and not any(text.strip() for _, text in changed)):
                continue
            texts = [pasted(text, kind, i, code=item.code) for kind in KINDS for i, (item, text) in enumerate(changed)]
            got = bench.verdicts(texts)
            rows[strength] = len(texts), {column: float(hit.mean()) for column, hit in got.items()}
            by_kind = got[OURS].reshape(len(KINDS), -1).mean(axis=1)
            kinds[strength] = len(changed), dict(zip(KINDS, map(float, by_kind), strict=True))
            bench.goal(strength, rows[strength][1][OURS], f"{name}, {strength}")
        table(f"{name}: % found, pasted into {', '.join(KINDS)}", rows)
        table(f"{name}: % found by curate in each", kinds)


def rephrased(bench: Bench) -> None:
    """Recall on the pairs by kind, alone and within a page."""
    some, empty = pairs(bench.folder, bench.items)
    print(f"\n{len(some)} pairs; {empty} more have no variant. Of half of them nothing was fitted: `unseen`")
    kinds = np.array([p.kind for p in some])
    sets = {kind: kinds == kind for kind in sorted(set(kinds))} | {UNSEEN: np.array([p.unseen for p in some])}
    sets["all"] = np.ones(len(some), bool)
    for title, place in (
        ("alone", lambda text, _i, _code: text),
        ("within web text", lambda text, i, code: pasted(text, "web text", i, code=code)),
    ):
        got = bench.verdicts([place(p.variant, i, p.kind == "HumanEval") for i, p in enumerate(some)])
        rows = {
            name: (int(of.sum()), {c: float(hit[of].mean()) for c, hit in got.items()}) for name, of in sets.items()
        }
        table(f"pairs, {title}: % found", rows)
        bench.goal("pairs", rows[UNSEEN][1][OURS], f"pairs, {title}, {UNSEEN}")


def negatives(bench: Bench) -> None:
    """Hits among documents that should have none; each is to be looked at, and listed if it is a true copy."""
    copies = yaml.safe_load(COPIES.read_text(encoding="utf-8"))
    hits: dict[str, list[tuple[Document, str]]] = {}
    sizes: Counter[str] = Counter()
    unseen = 0
    for some in chunks(documents(bench.folder), 1000):
        texts = [document.text for document in some]
        got = bench.stage.found(texts)
        for column, hit in (bench.ours(got) | bench.theirs(texts)).items():
            hits.setdefault(column, []).extend((some[i], (got.items[i] or [""])[0]) for i in np.flatnonzero(hit))
        sizes.update(document.file for document in some)
        unseen += sum(document.unseen for document in some)
    print(f"\n{sizes.total():,} documents: " + ", ".join(f"{name} {count:,}" for name, count in sizes.items()))
    some_pairs, _ = pairs(bench.folder, bench.items)
    found = bench.verdicts([p.variant for p in some_pairs])
    precisions(bench, hits, copies, {c: int(hit.sum()) for c, hit in found.items()}, f"all {sizes.total():,}")
    of = np.array([p.unseen for p in some_pairs])
    new = {column: [(d, item) for d, item in mine if d.unseen] for column, mine in hits.items()}
    precisions(bench, new, copies, {c: int(hit[of].sum()) for c, hit in found.items()}, f"{UNSEEN} {unseen:,}")
    for document, item in hits[OURS]:
        print(f"  {'copy' if document.id in copies else 'false'}: {document.id}  {item}")


def precisions(
    bench: Bench, hits: dict[str, list[tuple[Document, str]]], copies: dict[str, Any], right: dict[str, int], of: str
) -> None:
    """Print hits, true copies among them, and the precision by documents: pairs found and copies, of all hits."""
    print(f"{of:<20}{'hits':>7}{'copies':>8}{'false':>7}{'pairs found':>13}{'precision':>11}")
    for column, mine in hits.items():
        true = sum(document.id in copies for document, _ in mine)
        precision = (right[column] + true) / max(right[column] + len(mine), 1)
        print(f"{column:<20}{len(mine):>7}{true:>8}{len(mine) - true:>7}{right[column]:>13}{100 * precision:>10.1f}%")
        if column == OURS:
            bench.goal("precision", precision, f"precision by documents, {of}")


def chunks(all_of: Iterable[Any], count: int) -> Iterable[list[Any]]:
    """Lists of ``count`` and a rest."""
    some: list[Any] = []
    for one in all_of:
        some.append(one)
        if len(some) == count:
            yield some
            some = []
    if some:
        yield some


PARTS: Final[dict[str, Callable[[Bench], None]]] = {
    "strengths": strengths,
    "pairs": rephrased,
    "negatives": negatives,
    "datatrove": contamination_differences.report,
    "code": contamination_functions.report,
}


def main() -> int:
    """Run the parts; 1 if a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.peers.contamination", description=__doc__)
    parser.add_argument("folder", type=Path, help="corpora with benchmarks/ among them")
    parser.add_argument("--parts", nargs="*", default=list(PARTS), choices=list(PARTS))
    asked = parser.parse_args()
    items = benchmarks(asked.folder)
    tested = [item for item in items if item.split == "test"]
    counts = Counter(item.name.partition("/")[0] for item in tested)
    print(f"{len(tested):,} items of test splits: " + ", ".join(f"{name} {count:,}" for name, count in counts.items()))
    bench = Bench(asked.folder, items, tested, Against.items(tested), baselines(tested), [])
    for part in asked.parts:
        PARTS[part](bench)
    for line in bench.missed:
        print(f"missed: {line}")
    return int(bool(bench.missed))


if __name__ == "__main__":
    sys.exit(main())
