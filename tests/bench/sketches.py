"""Ways to draw a MinHash signature side by side: speed, error, and how many near copies become candidates.

``python -m tests.bench.sketches`` prints the tables of docs/duplicates.md (``--pairs 2500 --seeds 5 --corpus FILE``).

*Speed*: MB/s of UTF-8 text on one core, from CPU time, from the text on (words and 5-grams included) and from the 5-grams on.
*Error*: pairs of random sets of Jaccard 0.8, 20 to 5,000 shingles each: variance of the share of bins that agree, over
the J (1 - J) / bins of independent permutations. Bins that copy each other raise it: the mean correlation of two bins is
(ratio - 1) / (bins - 1).
*Bits*: standard error of the Jaccard estimated from sketches of the same 112 bytes, by length and by Jaccard.
*Estimated*: what becomes of pairs of a true Jaccard with ``verify: estimate`` and ``similarity: 0.7``.
*Recall*: pairs made of the corpus by replacing words, whose true Jaccard lies within 0.005 of a level: share of pairs
with a band in common, less the 1 - (1 - J^8)^14 of their own Jaccard, in points; documents under 112 shingles apart.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa

from curate.text.batch import Batch
from curate.text.minhash import BANDS, ROWS, SHINGLE, estimate, signatures
from curate.text.ngrams import Ngrams, ngrams
from curate.text.shingles import jaccard, shingles
from curate.text.words import Words, words
from tests.bench.measure import batch, corpus, cut, size
from tests.bench.sketch_methods import OTHERS, keys_of
from tests.text.shingle_sets import grams_of, pairs_at

BINS = BANDS * ROWS
LEVELS = (0.70, 0.75, 0.80, 0.85)
CURVE = (0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
NEAR = 0.005
LENGTHS = (20, 50, 112, 200, 500, 1000, 5000)
SHORT = 112
OURS = "fast similarity sketch"
Method = Callable[[Ngrams, int], np.ndarray]
"""(n-grams, seed) to what has to agree, [n, bins]."""


def methods() -> dict[str, Method]:
    """All ways by name; ours gives its sketch and is asked for its own bands."""
    found: dict[str, Method] = {
        name: lambda g, seed, draw=draw: draw(g.rows, g.hashes, keys_of(seed, BINS), BINS)
        for name, draw in OTHERS.items()
    }
    found[OURS] = lambda g, seed: signatures(g, seed).sketch
    return found


def agreeing(name: str, draw: Method, grams: Ngrams, seed: int) -> np.ndarray:
    """Whether each pair of rows (2i, 2i + 1) has a band in common, bool[n / 2]."""
    if name == OURS:
        bands = signatures(grams, seed).bands
        return (bands[0::2] == bands[1::2]).any(axis=1)
    minima = draw(grams, seed)
    same = (minima[0::2] == minima[1::2]).reshape(-1, BANDS, ROWS)
    return same.all(axis=2).any(axis=1)


# -- speed ----------------------------------------------------------------------------------------------------------


def _seconds(run: Callable[[], object], repeats: int = 7) -> float:
    """The least of some repeats: what other work on the machine takes is not the method's."""
    run()
    taken = []
    for _ in range(repeats):
        start = time.process_time()
        run()
        taken.append(time.process_time() - start)
    return min(taken)


def speeds(texts: list[str]) -> Iterator[tuple[str, float, float]]:
    """(method, MB/s from the text on, MB/s from the 5-grams on)."""
    slices = cut(batch(texts).rows)
    mb = size(texts)

    grams = [_full(_read(rows)) for rows in slices]
    for name, draw in methods().items():
        whole = _seconds(lambda draw=draw: [draw(_full(_read(rows)), 0) for rows in slices])
        alone = _seconds(lambda draw=draw: [draw(g, 0) for g in grams])
        yield name, mb / whole, mb / alone


def _read(rows: pa.RecordBatch) -> Ngrams:
    return ngrams(Batch(rows).words("folded"), SHINGLE)


def _full(grams: Ngrams) -> Ngrams:
    """Without rows that have no shingle, which other methods know nothing of."""
    return Ngrams(np.unique(grams.rows), grams.hashes)


# -- error ----------------------------------------------------------------------------------------------------------


def errors(pairs: int, seeds: int, level: float = 0.8) -> Iterator[tuple[str, list[float], list[float]]]:
    """(method, for each of LENGTHS the mean error in points, the variance over that of independent permutations)."""
    cases = []
    for length in LENGTHS:
        union = round(2 * length / (1 + level))
        cases.append(pairs_at(level, [union] * pairs, np.random.default_rng(length)))
    for name, draw in methods().items():
        biases, ratios = [], []
        for grams, true in cases:
            off = []
            for seed in range(seeds):
                found = draw(grams, seed)
                share = (found[0::2] == found[1::2]).mean(axis=1)
                chance = 1 / 256 if found.dtype == np.uint8 else 0.0
                off.append((share - chance) / (1 - chance) - true)
            agreed = true[0] + (1 - true[0]) * chance
            law = agreed * (1 - agreed) / BINS / (1 - chance) ** 2
            biases.append(100 * float(np.mean(off)))
            ratios.append(float(np.var(off) / law))
        yield name, biases, ratios


def bits(texts: list[str], pairs: int) -> Iterator[tuple[int, float, list[float], list[float]]]:
    """(bits of a minimum, MB/s from the text on, standard errors in points: for LENGTHS, for CURVE)."""
    slices = cut(batch(texts).rows)
    mb = size(texts)
    rng = np.random.default_rng(3)
    cases = [
        pairs_at(level, [round(2 * length / (1 + level))] * pairs, rng)
        for length, level in [*((n, 0.7) for n in LENGTHS), *((500, level) for level in CURVE)]
    ]
    for number in (8, 4, 2, 1):
        whole = _seconds(lambda number=number: [signatures(_read(rows), bits=number) for rows in slices])
        off = []
        for grams, true in cases:
            sketch = signatures(grams, 1, bits=number).sketch
            off.append(100 * float((estimate(sketch[0::2], sketch[1::2], number) - true).std()))
        yield number, mb / whole, off[: len(LENGTHS)], off[len(LENGTHS) :]


# -- recall ---------------------------------------------------------------------------------------------------------


def changes(words: int, level: float, rng: np.random.Generator) -> np.ndarray:
    """Places of the words to be replaced in a text, so that the Jaccard of 5-grams comes to the level, if none occurs twice.

    A word within the text is part of five 5-grams, the one at place p < 4 of p + 1: so any number can be changed.
    """
    count = words - SHINGLE + 1
    whole, rest = divmod(round(count * (1 - level) / (1 + level)), SHINGLE)
    free = (count - 2 * SHINGLE) // SHINGLE
    places = 2 * SHINGLE - 1 + SHINGLE * rng.choice(max(free, whole), whole, replace=False)
    if rest:
        places = np.append(places, rest - 1)
    return places[places < words]


def edited(hashes: np.ndarray, level: float, rng: np.random.Generator) -> np.ndarray:
    """The words of a text with some replaced."""
    places = changes(len(hashes), level, rng)
    copy = hashes.copy()
    copy[places] = rng.integers(0, 1 << 64, len(places), dtype=np.uint64)
    return copy


def planted(
    view: Words, level: float, pairs: int, shortest: int, longest: int, rng: np.random.Generator
) -> tuple[Ngrams, np.ndarray]:
    """(n-grams of originals and copies in turn, their true Jaccard): pairs within NEAR of the level, of real text.

    Documents longer than wanted give a passage of it.
    """
    sizes = np.diff(view.rows) - SHINGLE + 1
    usable = np.flatnonzero(sizes >= shortest)
    rows: list[np.ndarray] = []
    true: list[np.ndarray] = []
    while sum(map(len, true)) < pairs:
        made = []
        for row in rng.choice(usable, 2 * pairs).tolist():
            length = min(int(sizes[row]), longest)
            if sizes[row] > longest:
                length = int(rng.integers(shortest, longest + 1))
            start = view.rows[row] + int(rng.integers(0, sizes[row] - length + 1))
            own = view.hashes[start : start + length + SHINGLE - 1]
            made += [own, edited(own, level, rng)]
        sets = shingles(ngrams(grams_of(made), SHINGLE))
        numbers = np.arange(0, len(made), 2)
        found = jaccard(sets, numbers, numbers + 1)
        good = np.abs(found - level) <= NEAR
        rows += [made[k] for i in np.flatnonzero(good) for k in (2 * i, 2 * i + 1)]
        true.append(found[good])
    return ngrams(grams_of(rows[: 2 * pairs]), SHINGLE), np.concatenate(true)[:pairs]


def recalls(view: Words, pairs: int, seeds: int) -> Iterator[tuple[str, list[float], list[float]]]:
    """(method, difference from theory in points for each of LEVELS, the same for short documents)."""
    rng = np.random.default_rng(5)
    cases = [
        [planted(view, level, pairs, *bounds, rng) for level in LEVELS] for bounds in ((SHORT, 5000), (20, SHORT - 1))
    ]
    for name, draw in methods().items():
        off: list[list[float]] = []
        for group in cases:
            off.append([])
            for grams, true in group:
                theory = (1 - (1 - true**ROWS) ** BANDS).mean()
                found = np.mean([agreeing(name, draw, grams, seed) for seed in range(seeds)])
                off[-1].append(100 * float(found - theory))
        yield name, off[0], off[1]


# -- what estimates drop ----------------------------------------------------------------------------------------------

KEPT_FROM = 0.7
DECIDED = (0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)


def estimated(view: Words, pairs: int, seeds: int) -> Iterator[tuple[float, list[float]]]:
    """(Level, in points: mean error, standard error, largest error; share of candidates; share that are dropped)."""
    from curate.stages.dedup_near import _BITS

    rng = np.random.default_rng(6)
    for level in DECIDED:
        grams, true = planted(view, level, pairs, 20, 5000, rng)
        off, met, gone = [], [], []
        for seed in range(seeds):
            sketch = signatures(grams, seed, bits=_BITS).sketch
            found = estimate(sketch[0::2], sketch[1::2], _BITS)
            candidate = agreeing(OURS, methods()[OURS], grams, seed)
            off.append(found - true)
            met.append(candidate)
            gone.append(candidate & (found >= KEPT_FROM))
        wrong = np.concatenate(off)
        shares = [100 * float(np.mean(some)) for some in (wrong, met, gone)]
        yield level, [shares[0], 100 * float(wrong.std()), 100 * float(np.abs(wrong).max()), *shares[1:]]


# -- command line ---------------------------------------------------------------------------------------------------


def _table(title: str, heads: list[str], rows: Iterator[tuple[str, list[str]]]) -> None:
    print(f"\n{title}\n\n| method | {' | '.join(heads)} |\n|---|{'---:|' * len(heads)}", flush=True)
    for name, cells in rows:
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", help="JSONL, JSONL.zst or Parquet with `text` (data/samples)")
    parser.add_argument("--pairs", type=int, default=2500, help="pairs for each level (2500)")
    parser.add_argument("--seeds", type=int, default=5, help="hash seeds (5)")
    args = parser.parse_args()
    if args.corpus:
        os.environ["BENCH_CORPUS"] = args.corpus
    found = speeds(corpus(8))
    _table(
        "Speed, MB/s",
        ["from the text", "from the 5-grams"],
        ((name, [f"{whole:.0f}", f"{alone:.0f}"]) for name, whole, alone in found),
    )
    wrong = list(errors(args.pairs, args.seeds))
    lengths = [f"{n:,}" for n in LENGTHS]
    _table(
        "Variance over that of independent permutations, by shingles of a document, at Jaccard 0.8",
        lengths,
        ((name, [f"{r:.2f}" for r in ratios]) for name, _, ratios in wrong),
    )
    _table("Mean error, points", lengths, ((name, [f"{b:+.2f}" for b in biases]) for name, biases, _ in wrong))
    some = [(f"{k} of {BINS * 8 // k} minima", speed, *off) for k, speed, *off in bits(corpus(8), args.pairs)]
    _table(
        "Standard error of the estimate, points, by shingles of a document, at Jaccard 0.7; bits in the first column",
        ["MB/s from the text", *lengths],
        ((name, [f"{speed:.0f}", *(f"{x:.1f}" for x in off)]) for name, speed, off, _ in some),
    )
    _table(
        "The same by Jaccard, at 500 shingles",
        [f"{level:.2f}" for level in CURVE],
        ((name, [f"{x:.1f}" for x in off]) for name, _, _, off in some),
    )
    text = batch(corpus(32))
    view = words(*text.utf8, "folded")
    heads = [f"{level:.2f}" for level in LEVELS]
    _table(
        f"Candidates less theory, points: {args.pairs:,} pairs a level, {args.seeds} seeds; 112 to 5,000 shingles, then 20 to 111",
        [*heads, *(f"{head}, short" for head in heads)],
        ((name, [f"{x:+.1f}" for x in [*long, *short]]) for name, long, short in recalls(view, args.pairs, args.seeds)),
    )
    decided = list(estimated(view, args.pairs, args.seeds))
    _table(
        "Pairs by their true Jaccard, verify: estimate, points",
        ["mean error", "standard error", "largest error", "candidates, %", f"estimated at {KEPT_FROM} and more, %"],
        ((f"{level:.2f}", [f"{cells[0]:+.2f}", *(f"{x:.2f}" for x in cells[1:])]) for level, cells in decided),
    )
    # Of as many pairs of every level below KEPT_FROM as of those above: text has fewer, see docs/duplicates.md.
    low = sum(cells[-1] for level, cells in decided if level < KEPT_FROM - 0.1 + NEAR)
    print(
        f"\nof all that are dropped {100 * low / sum(cells[-1] for _, cells in decided):.4f} % at {KEPT_FROM - 0.1:.1f} and less"
    )


if __name__ == "__main__":
    main()
