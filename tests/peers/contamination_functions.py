"""Which packages have functions like a benchmark's: the functions of a corpus of code against all items with code."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from curate.benchmarks.screen import SHORTEST
from curate.text.arrow import buffers
from curate.text.syntax import TreeIndex, functions, main_functions, tree_index, tree_matches, trees
from tests.contamination.items import Item
from tests.peers.environment import rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.peers.contamination import Bench

TAUS: Final = (0.95, 0.9, 0.85, 0.8)
SHOWN: Final = 12
"""Pairs that are printed side by side."""
WIDE: Final = 58


@dataclass(frozen=True)
class Hit:
    """A function of a file that is like an item's."""

    tau: float
    item: Item
    length: int
    package: str
    path: str
    code: str


def known(items: Sequence[Item]) -> tuple[TreeIndex, list[int]]:
    """The index of the items' functions, and how many items are long enough at each of 6, SHORTEST and 30 symbols."""
    found = functions(*buffers(pa.array([item.solution for item in items], pa.large_string())))
    main = main_functions(found, [item.entry_point or None for item in items])
    there = np.flatnonzero(main >= 0)
    lengths = (found.ends - found.bodies)[main[there]]
    return tree_index(trees(found, main[there], there)), [int((lengths >= n).sum()) for n in (6, SHORTEST, 30)]


def report(bench: Bench) -> None:
    """Print hits per tau, package and item, and pairs side by side. Items of all splits are looked for."""
    items = [item for item in bench.items if item.code]
    index, long = known(items)
    print(f"\n{len(items):,} items with code; bodies of 6, {SHORTEST}, 30 symbols or more: {long}")
    hits: list[Hit] = []
    files = 0
    batch: list[dict[str, str]] = []
    for row in rows(bench.folder / "code.jsonl.zst"):
        files += 1
        batch.append(row)
        if len(batch) == 500:
            hits += matched(batch, index, items)
            batch = []
    hits += matched(batch, index, items)
    print(f"{files:,} files")
    for tau in TAUS:
        some = [hit for hit in hits if hit.tau >= tau]
        counts = (
            len({(h.package, h.path) for h in some}),
            len({h.package for h in some}),
            len({h.item.name for h in some}),
        )
        print(f"tau {tau:.2f}: {counts[0]} files of {counts[1]} packages, like {counts[2]} items")
    shown(hits)


def matched(batch: list[dict[str, str]], index: TreeIndex, items: Sequence[Item]) -> list[Hit]:
    """The best match of each function."""
    texts = pa.array([row["text"] for row in batch], pa.large_string())
    found = functions(*buffers(texts))
    got = tree_matches(found, index, min(TAUS))
    best: dict[int, int] = {}
    for at in np.argsort(-got.tau, kind="stable").tolist():
        if got.lengths[at] >= SHORTEST:
            best.setdefault(int(got.functions[at]), at)
    hits = []
    for function, at in best.items():
        row = batch[int(got.rows[at])]
        code = row["text"].encode()[found.starts[function] : found.stops[function]].decode(errors="replace")
        item = items[int(got.owners[at])]
        hits.append(Hit(float(got.tau[at]), item, int(got.lengths[at]), row["source"], row["path"], code))
    return hits


def shown(hits: list[Hit]) -> None:
    """Packages by hits, and the best pairs, the longest first, each item once."""
    by_package: dict[str, list[Hit]] = defaultdict(list)
    for hit in hits:
        by_package[hit.package].append(hit)
    print(f"\n{'package':<52}{'functions':>10}{'best tau':>10}  items")
    for package, some in sorted(by_package.items(), key=lambda entry: (-len(entry[1]), entry[0])):
        names = [name for name, _ in Counter(h.item.name.partition("/")[2] for h in some).most_common(4)]
        print(f"{package:<52}{len(some):>10}{max(h.tau for h in some):>10.2f}  {', '.join(names)}")
    seen: set[str] = set()
    for hit in sorted(hits, key=lambda h: (-round(h.tau * h.length), h.item.name, h.path)):
        if hit.item.name not in seen and len(seen) < SHOWN:
            seen.add(hit.item.name)
            print(f"\ntau {hit.tau:.2f}, {hit.length} symbols: {hit.package} {hit.path} | {hit.item.name}")
            # Without docstring: a match rate is blind to it.
            code = re.sub(r'\n[ \t]*[rR]?("""|\'\'\')[\s\S]*?\1', "", hit.code, count=1)
            mine = code.expandtabs(4).strip("\n").split("\n")
            theirs = hit.item.answer.expandtabs(4).strip("\n").split("\n")
            for i in range(max(len(mine), len(theirs))):
                left, right = (side[i] if i < len(side) else "" for side in (mine, theirs))
                print(f"{left[:WIDE]:<{WIDE}} | {right[:WIDE]}".rstrip())
