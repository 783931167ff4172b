"""filter.massivetext against datatrove's filters and dolma's tagger, on real documents: ``python -m tests.peers.words``.

Twice each: with the peer fed our words, every decision of every rule has to be the same; with the peer's own words at
least 98 % of each rule's have to be. Exit code 1 if a bound is missed.

Documents are drawn by the hash of their text from all corpora together. With its own words the tokens that only one of
the two has are counted, the commonest first: these are the classes of difference.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path

from tests.peers.environment import BOUND, answers, arguments, drawn, environment, pythons
from tests.peers.word_filters import FILTERS, Ours, words


def table(theirs: list[dict], ours: dict[str, list[object]], bound: float) -> bool:
    """Print the rules' rows; whether each one keeps the bound."""
    good = True
    print(f"{'rule':<28}{'verdicts':>9}{'peer true':>10}{'equal':>9}{'only ours':>10}{'only peer':>10}{'none':>6}")
    for rule in theirs[0]["rules"]:
        pairs = [(mine, other["rules"][rule]) for mine, other in zip(ours[rule], theirs, strict=True)]
        told = [(a, b) for a, b in pairs if b is not None]
        equal = sum(a == b for a, b in told)
        share = equal / max(len(told), 1)
        good &= share >= bound
        print(
            f"{rule:<28}{len(told):>9}{sum(bool(b) for _, b in told):>10}{100 * share:>8.2f}%"
            f"{sum(a != b and bool(a) for a, b in told):>10}{sum(a != b and not a for a, b in told):>10}"
            f"{len(pairs) - len(told):>6}{'' if share >= bound else '   TOO FEW'}"
        )
    return good


def differences(theirs: list[dict], own: list[list[str]]) -> None:
    """Print how many documents have the same words, and which tokens only one side has."""
    only: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    same = 0
    for other, mine in zip(theirs, own, strict=True):
        same += other["words"] == mine
        a, b = Counter(mine), Counter(other["words"])
        only[0].update(a - b)
        only[1].update(b - a)
    total = sum(map(len, own))
    print(f"the same words in {same} of {len(own)} documents; {total} words of ours")
    for who, tokens in zip(("ours", "the peer's"), only, strict=True):
        shown = "  ".join(f"{token!r} {count}" for token, count in tokens.most_common(40))
        print(f"only {who}: {tokens.total()}: {shown}")


def compare(name: str, ours: Ours, python: Path, documents: list[str], modes: list[str]) -> bool:
    """The comparisons of one filter, with the words of each mode."""
    split = words(documents, ours.words)
    start = time.process_time()
    verdicts = ours.verdicts(documents)
    spent = time.process_time() - start
    good = True
    for mode in modes:
        sent = [{"text": text, "words": own} for text, own in zip(documents, split, strict=True)]
        theirs, seconds = answers([python, Path(__file__).with_name("word_peer.py"), name, mode], sent)
        print(f"\n{name}, {mode} words: {len(documents)} documents, peer {seconds:.0f} s, ours {spent:.1f} s")
        good &= table(theirs, verdicts, BOUND[mode])
        if mode == "own":
            differences(theirs, split)
    return good


def main() -> int:
    """Compare; 1 if a bound is missed."""
    parser = arguments("words", __doc__)
    parser.add_argument("--filters", nargs="*", default=list(FILTERS), choices=list(FILTERS))
    asked = parser.parse_args()
    documents = drawn(asked.corpus, asked.documents, asked.largest)
    print(f"{len(documents)} documents, {sum(len(t.encode()) for t in documents) / 1e6:.1f} MB")
    good = True
    for name in asked.filters:
        engine = FILTERS[name].engine
        python = pythons(asked).get(engine) or environment(engine)
        good &= compare(name, FILTERS[name], python, documents, asked.modes)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
