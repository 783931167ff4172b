"""filter.c4 and filter.fineweb against datatrove's filters and dolma's taggers: ``python -m tests.peers.lines``.

Twice on the same documents: with the peer fed our words and sentences every decision of every rule and every text that
is left has to be the same; with the peer's own at least 98 % of each. Exit code 1 if a bound is missed.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pyarrow as pa

from curate.stages.base import Context
from curate.stages.filter_c4 import C4
from curate.stages.filter_fineweb import FineWeb
from curate.text.arrow import buffers
from curate.text.bad_words import bad_words, holds
from curate.text.sentences import sentence_counts
from tests.peers.environment import BOUND, ROOT, answers, arguments, drawn, environment, pythons
from tests.peers.word_filters import batch

BAD = ["password", "spam", "kill", "at the end", "e.g.", "damn", "hell", "c++"]
"""Stands for a list of bad words: common enough that the rule decides something."""
CITATION = re.compile(r"\[\d*]|\[edit]|\[citation needed]")

PLANTED = [
    "Lorem ipsum dolor sit amet, consectetur adipiscing elit.",
    "Here is a text that says LOREM Ipsum and more.",
    "This page needs JavaScript, or it shows nothing at all.",
    "We have a Privacy Policy; read it before you go on.",
    "This site may use coo\u212aies as all of them do.",
    "As it was said[12] so it was done[citation needed].",
    "This java[1]script line is cited, as you see. [edit]",
    "A line with a { bracket, which is no prose.",
    "A line with javascript and a { bracket, which goes.",
    "A line between\x0btwo others\u2028that are none. \x85",
]
"""Lines that few documents have; each is put into the middle of one document in 300."""

Verdict = dict[str, dict[str, object]]


def planted(documents: list[str]) -> list[str]:
    """The documents, one in 30 of them, the first ones, with one of PLANTED each as a line in the middle."""
    out = list(documents)
    for i, text in enumerate(documents[: len(PLANTED) * max(1, len(documents) // 300)]):
        lines = text.split("\n")
        lines.insert(len(lines) // 2, PLANTED[i % len(PLANTED)])
        out[i] = "\n".join(lines)
    return out


def document_of(text: str, words: int) -> dict[str, object]:
    """A document with the number of its words and of the sentences of each line that a filter may ask about."""
    lines = sorted({CITATION.sub("", line.strip()) for line in text.splitlines()})
    counts = sentence_counts(*buffers(pa.array(lines, pa.large_string())))
    return {"text": text, "words": words, "sentences": dict(zip(lines, counts.tolist(), strict=True)), "bad": BAD}


def ours_datatrove(documents: list[str]) -> list[Verdict]:
    """Our verdicts, as line_peer gives datatrove's."""
    docs, context = batch(documents), Context("peers", None)
    rules: dict[str, list[object]] = {}
    left: dict[str, list[object]] = {}
    paragraphs = C4(counting="datatrove", min_paragraphs=3)
    for name, stage in (
        ("c4", C4(counting="datatrove")),
        ("c4-fineweb", C4(counting="datatrove", terminal_punctuation=False)),
    ):
        signals = stage.measure(docs, context)
        for reason, broken in stage.rules(signals):
            rules[f"{name}.{reason}"] = broken.to_pylist()
        rules[name] = stage.decide(signals).is_valid().to_pylist()
        edited = stage.edit(docs, context).to_pylist()
        left[name] = [None if gone else text for gone, text in zip(rules[name], edited, strict=True)]
        if name == "c4":
            left["c4.lines"] = edited
            few = dict(paragraphs.rules(paragraphs.measure(docs, context)))["too_few_paragraphs"]
            rules["c4.too_few_paragraphs"] = few.to_pylist()
    edited = pa.array(left["c4.lines"], pa.large_string())
    rules["c4.bad_words"] = holds(*buffers(edited), bad_words(BAD)).tolist()
    stage = FineWeb(counting="datatrove")
    for reason, broken in stage.rules(stage.measure(docs, context)):
        rules[f"fineweb.{reason}"] = broken.to_pylist()
    return verdicts(rules, left)


def ours_dolma(documents: list[str]) -> list[Verdict]:
    """Our verdicts, as line_peer gives dolma's."""
    docs, context = batch(documents), Context("peers", None)
    stage = C4(counting="dolma")
    signals = stage.measure(docs, context)
    found = {reason: broken.to_pylist() for reason, broken in stage.rules(signals)}
    edited = stage.edit(docs, context).to_pylist()
    rules, left = {}, {}
    for name in ("c4_v1", "c4_v2"):
        for flag, reason in (("lorem_ipsum",) * 2, ("javascript",) * 2, ("curly_brace", "curly_bracket")):
            rules[f"{name}.{flag}"] = found[reason]
        left[name] = edited
    return verdicts(rules, left)


def verdicts(rules: dict[str, list[object]], left: dict[str, list[object]]) -> list[Verdict]:
    count = len(next(iter(rules.values())))
    return [
        {"rules": {k: v[i] for k, v in rules.items()}, "texts": {k: v[i] for k, v in left.items()}}
        for i in range(count)
    ]


def table(theirs: list[Verdict], ours: list[Verdict], mode: str, show: int) -> bool:
    """Print a row a rule and a row a text; whether each one keeps the bound."""
    good = True
    print(f"{'rule':<32}{'verdicts':>9}{'dropped':>9}{'equal':>9}{'only ours':>10}{'only peer':>10}{'none':>6}")
    for part in ("rules", "texts"):
        for name in theirs[0][part]:
            pairs = [(mine[part][name], other[part][name]) for mine, other in zip(ours, theirs, strict=True)]
            told = [(i, a, b) for i, (a, b) in enumerate(pairs) if b is not None or part == "texts"]
            other = [(i, a, b) for i, a, b in told if a != b]
            share = 1 - len(other) / max(len(told), 1)
            # c4_v2 is what ours follows; c4_v1 asks for the whole word javascript, which is shown, not asked for.
            bound = 0.0 if name == "c4_v1.javascript" else BOUND[mode]
            good &= share >= bound
            gone = sum(b is True or (part == "texts" and b is None) for _, _, b in told)
            only = sum(bool(a) > bool(b) for _, a, b in other), sum(bool(a) < bool(b) for _, a, b in other)
            label = f"text left by {name}" if part == "texts" else name
            print(
                f"{label:<32}{len(told):>9}{gone:>9}{100 * share:>8.2f}%{only[0]:>10}{only[1]:>10}"
                f"{len(pairs) - len(told):>6}{'' if share >= bound else '   TOO FEW'}"
            )
            for i, a, b in other[:show]:
                print(f"    document {i}: ours {str(a)[:150]!r}, the peer's {str(b)[:150]!r}")
    return good


def sentences(theirs: list[Verdict], sent: list[dict[str, object]], show: int) -> None:
    """Print how many lines have as many sentences by our rule as by the peer's, and some of the others."""
    total = more = fewer = 0
    for other, document in zip(theirs, sent, strict=True):
        for line, count in other["sentences"].items():
            mine = document["sentences"][line]
            total += 1
            more += mine > count
            fewer += mine < count
            if mine != count and more + fewer <= show:
                print(f"    ours {mine}, the peer's {count}: {line[:300]!r}")
    print(f"sentences of {total} lines: {100 * (1 - (more + fewer) / total):.2f} % equal, {more} more, {fewer} fewer")


def main() -> int:
    """Compare; 1 if a bound is missed."""
    parser = arguments("lines", __doc__)
    parser.set_defaults(corpus=[ROOT / "data/samples/web.jsonl.zst"])
    parser.add_argument("--only", nargs="*", default=["datatrove", "dolma"])
    parser.add_argument("--show", type=int, default=0, help="differences to print of each row")
    asked = parser.parse_args()
    documents = drawn(asked.corpus, asked.documents, asked.largest)
    # dolma's c4_v2 cuts the text at places that it found in the lower-cased text, which this letter makes longer.
    odd = sum("\u0130" in text for text in documents)
    print(f"{odd} documents with U+0130 are left out")
    documents = planted([text for text in documents if "\u0130" not in text])
    size = sum(len(text.encode()) for text in documents)
    print(f"{len(documents)} documents, {size / 1e6:.1f} MB, from {', '.join(path.name for path in asked.corpus)}")
    good = True
    rows = batch(documents).words("tokens").rows
    sent = [document_of(text, int(n)) for text, n in zip(documents, rows[1:] - rows[:-1], strict=True)]
    for engine, of, modes in (("datatrove", ours_datatrove, ("fed", "own")), ("dolma", ours_dolma, ("fed",))):
        if engine not in asked.only:
            continue
        modes = [mode for mode in modes if mode in asked.modes]
        ours = of(documents)
        python = pythons(asked).get(engine) or environment(engine)
        for mode in modes:
            theirs, seconds = answers([python, Path(__file__).with_name("line_peer.py"), engine, mode], sent)
            what = {"fed": "fed our words and sentences", "own": "with its own words and sentences"}[mode]
            print(f"\n{engine}, {what if engine == 'datatrove' else 'which splits as we do'}: {seconds:.0f} s")
            good &= table(theirs, ours, mode, asked.show)
            if mode == "own":
                sentences(theirs, sent, asked.show)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
