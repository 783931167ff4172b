"""Write english.tsv: how frequent words are in ordinary text, from the samples beside it. ``python data/stems/build.py``

Of each stem the word that has it most often, and in how many of 100,000 passages of 64 words of data/samples it is.
"""

from __future__ import annotations

import io
import json
from collections import Counter, defaultdict
from pathlib import Path

import pyarrow as pa
import zstandard

from curate.text.arrow import buffers
from curate.text.stems import stems
from curate.text.words import words

HERE = Path(__file__).resolve().parent
WINDOW, KEPT = 64, 6000


def texts(path: Path) -> list[str]:
    with path.open("rb") as file:
        stream = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        return [json.loads(line)["text"] for line in io.BufferedReader(stream)]


def main() -> None:
    passages, found, names = 0, Counter(), defaultdict(Counter)
    for name in ("web", "code"):
        some = texts(HERE.parent / "samples" / f"{name}.jsonl.zst")
        offsets, data = buffers(pa.array(some, pa.large_string()))
        seen = words(offsets, data, "alphanumeric")
        hashes = stems(offsets, data, seen)[0].tolist()
        raw = data.tobytes()
        for row in range(len(some)):
            first, last = seen.rows[row : row + 2].tolist()
            base = int(offsets[row])
            for at in range(first, last - WINDOW + 1, WINDOW):
                passages += 1
                for stem, i in {hashes[k]: k for k in range(at, at + WINDOW)}.items():
                    found[stem] += 1
                    names[stem][raw[base + int(seen.starts[i]) : base + int(seen.stops[i])].decode().lower()] += 1
    rows = []
    for stem, count in sorted(found.items(), key=lambda each: (-each[1], each[0]))[:KEPT]:
        name = max(sorted(names[stem]), key=lambda each: names[stem][each])
        rows.append(f"{name}\t{max(1, round(count * 100_000 / passages))}")
    head = "word\tin how many of 100,000 passages of 64 words a word of its stem is (written by build.py)"
    (HERE / "english.tsv").write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
