"""Personal data: redact.pii and datatrove's PIIFormatter on planted data and on real texts: ``python -m tests.peers.personal``.

Invented personal data of each kind (tests/stages/personal_cases.py) is put into real documents, one in each. Told are, by kind, how much
of it is found whole and as what it is, what else goes from documents without any, and MB/s on one core, of clean documents.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path

import pyarrow as pa

from curate.text.personal import KINDS, find, replaced
from tests.peers.environment import answers, arguments, drawn, environment, pythons

sys.path.insert(0, str(Path(__file__).parents[1] / "stages"))
from personal_cases import planted

EACH = 500
SPEED_ROWS = 500
TOLD = ("tel. ", "call me at ")


def ours(texts: list[str]) -> list[str]:
    """Our texts, with ``<email>`` and the like."""
    array = pa.array(texts, pa.large_string())
    return [str(text) for text in replaced(array, find(array), lambda kind: f"<{kind}>").to_pylist()]


def seconds(texts: list[str]) -> float:
    """CPU time of finding and replacing, in batches."""
    batches = [pa.array(texts[i : i + SPEED_ROWS], pa.large_string()) for i in range(0, len(texts), SPEED_ROWS)]
    ours(["mail a@b.de, call 415-867-5309"])
    began = time.process_time()
    for batch in batches:
        replaced(batch, find(batch), lambda kind: f"<{kind}>")
    return time.process_time() - began


def main() -> int:
    """Print the tables."""
    asked = arguments("personal", __doc__).parse_args()
    python = pythons(asked).get("datatrove") or environment("datatrove")
    command = [python, Path(__file__).with_name("personal_peer.py")]
    clean = drawn(asked.corpus, asked.documents, asked.largest)
    cases = planted(seed=3, each=EACH)
    around = [text.partition("\n") for text in clean[: len(cases)]]
    held = [f"{a}\n{sentence}\n{b}" for (a, _, b), (_, _, sentence) in zip(around, cases, strict=True)]
    theirs = answers(command, ({"text": text} for text in held))[0][:-1]
    found: dict[str, Counter[str]] = {"curate": Counter(), "datatrove": Counter()}
    for name, texts in (("curate", ours(held)), ("datatrove", theirs)):
        for (kind, what, sentence), got in zip(cases, texts, strict=True):
            number = next((what.removeprefix(told) for told in TOLD if what.startswith(told)), what)
            found[name][kind] += sentence.replace(number, f"<{kind}>") in got
    print(f"recall, of {EACH} of each kind, one in a real document each")
    for kind in KINDS:
        print(f"  {kind:8} " + "  ".join(f"{name} {found[name][kind] / EACH:.1%}" for name in found))
    megabytes = sum(len(text.encode()) for text in clean) / 1e6
    made = answers(command, ({"text": text} for text in clean))[0]
    array = pa.array(clean, pa.large_string())
    kinds = find(array).counts().sum(axis=0)
    print(f"{len(clean):,} real documents, {megabytes:.1f} MB: taken from them (nothing was planted)")
    print("  curate    " + ", ".join(f"{kind} {count}" for kind, count in zip(KINDS, kinds.tolist(), strict=True)))
    print(
        f"  datatrove email {sum(t.count('<email>') for t in made[:-1])}, ip {sum(t.count('<ip>') for t in made[:-1])}"
    )
    print(
        f"MB/s on one core: curate {megabytes / seconds(clean):.0f} (seven kinds), datatrove {megabytes / made[-1]:.1f} (two)"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
