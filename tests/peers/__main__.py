"""Our filters against the released filters of other engines, on real documents: ``python -m tests.peers``.

Twice each: with the peer fed our words, every decision of every rule has to be the same; with the peer's own words at
least 98 % of each rule's have to be. Each peer runs in an environment of its own under ``runs/peers``, made on first
use; ``--python datatrove=PATH`` takes another Python that has the engine. Exit code 1 if a bound is missed.

Documents are drawn by the hash of their text from all corpora together. With its own words the tokens that only one of
the two has are counted, the commonest first: these are the classes of difference.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import zstandard

from tests.peers.ours import FILTERS, Ours, words

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = [ROOT / "data/samples/web.jsonl.zst", ROOT / "data/samples/code.jsonl.zst"]
REQUIREMENTS = {
    "datatrove": ["datatrove[processing]==0.10.1", "orjson", "spacy"],
    "dolma": ["dolma==1.2.1"],
}
"""What is installed into the environment of each engine."""
BOUND = {"fed": 1.0, "own": 0.98}
"""The least share of equal verdicts of a rule."""


def texts(path: Path) -> Iterator[str]:
    """The ``text`` of each line of a JSONL file, zstd or plain."""
    with path.open("rb") as file:
        stream = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        for line in io.BufferedReader(stream) if path.suffix == ".zst" else file:
            yield json.loads(line)["text"]


def drawn(paths: list[Path], count: int, largest: int) -> list[str]:
    """``count`` documents of at most ``largest`` bytes, those whose text has the smallest hash."""
    keyed = []
    for path in paths:
        for text in texts(path):
            raw = text.encode("utf-8", "replace")
            if len(raw) <= largest:
                keyed.append((hashlib.blake2b(raw, digest_size=8).digest(), raw.decode()))
    return [text for _, text in sorted(keyed)[:count]]


def environment(engine: str) -> Path:
    """The Python of an engine's environment, made if it is not there."""
    folder = ROOT / "runs/peers" / engine
    python = folder / "bin/python"
    if not (folder / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *REQUIREMENTS[engine]], check=True)
        (folder / "ready").touch()
    return python


def peer(python: Path, name: str, mode: str, documents: list[dict[str, object]]) -> tuple[list[dict], float]:
    """The peer's verdict of each document, and the seconds it took."""
    with tempfile.TemporaryFile() as sent, tempfile.TemporaryFile() as got:
        for document in documents:
            sent.write(json.dumps(document).encode() + b"\n")
        sent.seek(0)
        start = time.perf_counter()
        script = Path(__file__).with_name("peer.py")
        subprocess.run([python, script, name, mode], stdin=sent, stdout=got, stderr=subprocess.DEVNULL, check=True)
        seconds = time.perf_counter() - start
        got.seek(0)
        return [json.loads(line) for line in got], seconds


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
        theirs, seconds = peer(python, name, mode, sent)
        print(f"\n{name}, {mode} words: {len(documents)} documents, peer {seconds:.0f} s, ours {spent:.1f} s")
        good &= table(theirs, verdicts, BOUND[mode])
        if mode == "own":
            differences(theirs, split)
    return good


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m tests.peers", description=__doc__)
    arguments.add_argument("filters", nargs="*", help=f"of: {', '.join(FILTERS)}; all if none is named")
    arguments.add_argument("--corpus", action="append", type=Path, help="JSONL or JSONL.zst with text; repeatable")
    arguments.add_argument("--documents", type=int, default=10_000)
    arguments.add_argument("--largest", type=int, default=20_000, help="bytes of the largest document taken")
    arguments.add_argument("--python", action="append", default=[], help="ENGINE=PATH")
    arguments.add_argument(
        "--words", choices=list(BOUND), action="append", help="one of the comparisons; both if not said"
    )
    asked = arguments.parse_args()
    pythons = {engine: Path(path) for engine, _, path in (item.partition("=") for item in asked.python)}
    documents = drawn(asked.corpus or SAMPLES, asked.documents, asked.largest)
    print(f"{len(documents)} documents, {sum(len(t.encode()) for t in documents) / 1e6:.1f} MB")
    good = True
    for name in asked.filters or FILTERS:
        engine = FILTERS[name].engine
        good &= compare(
            name, FILTERS[name], pythons.get(engine) or environment(engine), documents, asked.words or [*BOUND]
        )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
