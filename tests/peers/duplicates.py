"""dedup.near against what others offer, on the same documents with the same settings: ``python -m tests.peers.duplicates``.

Documents are real ones with planted near copies (near_corpus.py). Each tool reads them from JSON lines and writes what
stays, in a process of its own: word 5-grams, 14 bands of 8, one core. Told of each: which planted pairs it found (one of
both went), which similar pairs that the documents have anyway, and what it removed without a like document (true Jaccard
of word 5-grams). Then CPU seconds of the whole process and of the same on a quarter of the documents, in turns; speed is the slope
of both, so that start-up is told apart. Ours runs on all of the corpus as well.

Exit code 1 if ours removes a document for which none of Jaccard 0.7 stays, finds fewer planted pairs of 0.8 and more
than any other by over 3 points, or misses a ratio of GOALS. Peers that can't be installed are named and left out.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa
import yaml

from tests.bench.measure import ROOT, size, texts_of
from tests.command import texts_by_own_id
from tests.peers import near_corpus
from tests.peers.environment import arguments, environment, pythons
from tests.peers.near_corpus import LEVELS, Corpus

SIMILARITY: Final = 0.7
SURE: Final = 0.8
SLACK: Final = 0.03
"""Of a recall: of 150 pairs one standard error is .02 at .92."""
GOALS: Final = {"datatrove": 100.0, "text-dedup": 20.0, "data-juicer": 20.0, "rensa": 3.0}
"""How many times as fast ours is to be."""
OURS: Final = {"curate": "true", "curate, estimate": "estimate"}
PEERS: Final = ("rensa", "rensa-estimate", "datasketch", "text-dedup", "data-juicer", "datatrove")


@dataclass
class Tool:
    """A command that deduplicates a file, and what was seen of it.

    Attributes:
        command: (documents, folder) to the command.
        kept: numbers of the documents that stay, from the folder it wrote.
        cpu: seconds by the name of the documents.
    """

    name: str
    command: Callable[[Path, Path], list[str]]
    kept: Callable[[Path], set[int]]
    environ: dict[str, str] = field(default_factory=dict)
    cpu: dict[str, list[float]] = field(default_factory=dict)

    def run(self, name: str, documents: Path, folder: Path) -> set[int]:
        """Numbers of what stays."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        with (folder / "said").open("wb") as said:
            process = subprocess.Popen(
                self.command(documents, folder), stdout=said, stderr=said, env=self.environ or None
            )
            _, status, used = os.wait4(process.pid, 0)
        if status:
            raise RuntimeError(f"{self.name}: {(folder / 'said').read_text(errors='replace')[-1500:]}")
        self.cpu.setdefault(name, []).append(used.ru_utime + used.ru_stime)
        return self.kept(folder)

    def seconds(self, name: str) -> float:
        """The least: other work on the machine only ever adds."""
        return min(self.cpu[name])


def ours(name: str) -> Tool:
    """The command line, in one process."""

    def command(documents: Path, folder: Path) -> list[str]:
        steps = [
            {"id": "docs", "use": "read.jsonl", "with": {"paths": [str(documents)]}},
            {"id": "near", "use": "dedup.near", "with": {"verify": OURS[name]}},
            {"id": "out", "use": "write.text"},
        ]
        recipe = folder / "near.yaml"
        recipe.write_text(yaml.safe_dump({"recipe": "near", "seed": 7, "steps": steps}, sort_keys=False))
        return [sys.executable, *("-m", "curate", "run", str(recipe), "--store", str(folder / "run"), "--workers", "0")]

    def kept(folder: Path) -> set[int]:
        return set(map(int, texts_by_own_id(folder / "run")))

    return Tool(name, command, kept, {**os.environ, "PYTHONPATH": str(ROOT)})


def peer(name: str, python: Path) -> Tool:
    """duplicate_peer.py in a peer's environment."""
    script = str(Path(__file__).with_name("duplicate_peer.py"))

    def command(documents: Path, folder: Path) -> list[str]:
        return [str(python), script, name, str(documents), str(folder)]

    def kept(folder: Path) -> set[int]:
        found: set[int] = set()
        for path in (folder / "kept").rglob("*"):
            if path.suffix == ".jsonl":
                found |= {int(orjson.loads(line)["id"]) for line in path.read_bytes().splitlines()}
            elif path.suffix == ".arrow":
                with pa.memory_map(str(path)) as file:
                    found |= set(map(int, pa.ipc.open_stream(file).read_all().column("id").to_pylist()))
        return found

    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"HF_HUB_OFFLINE": "1"}
    return Tool(name, command, kept, clean)


def tools(names: Sequence[str], given: dict[str, Path]) -> Iterator[Tool]:
    """Ours, and each peer that is there or can be installed."""
    for name in OURS:
        yield ours(name)
    for name in names:
        engine = name.removesuffix("-estimate")
        try:
            yield peer(name, given.get(engine) or environment(engine))
        except subprocess.CalledProcessError as failed:
            print(f"{name}: could not be installed: {failed}", file=sys.stderr)


# -- what was found -------------------------------------------------------------------------------------------------


def found(corpus: Corpus, kept: set[int]) -> dict[str, Any]:
    """Recall and what went wrongly, of one tool."""
    stays = np.zeros(len(corpus.texts), np.bool_)
    stays[list(kept)] = True
    went = ~stays
    some = {level: went[pairs].any(axis=1) for level, pairs in corpus.planted.items()}
    both = sum(int(went[pairs].all(axis=1).sum()) for pairs in corpus.planted.values())
    made = {tuple(sorted(pair)) for pairs in corpus.planted.values() for pair in pairs.tolist()}
    natural = np.array([tuple(sorted(pair)) not in made for pair in corpus.pairs.tolist()], np.bool_)
    like = corpus.similarity >= SIMILARITY
    best = np.zeros(len(stays))
    kept_best = np.zeros(len(stays))
    for a, b in ((0, 1), (1, 0)):
        one, other = corpus.pairs[:, a], corpus.pairs[:, b]
        np.maximum.at(best, one, corpus.similarity)
        np.maximum.at(kept_best, one, np.where(stays[other], corpus.similarity, 0.0))
    return {
        "removed": int(went.sum()),
        "recall": {level: float(hit.mean()) for level, hit in some.items()},
        "natural": float(went[corpus.pairs[natural & like]].any(axis=1).mean()),
        "natural_pairs": int((natural & like).sum()),
        "both": both,
        "unlike": int((went & (best < SIMILARITY)).sum()),
        "far": int((went & (best < SIMILARITY - 0.1)).sum()),
        "nothing_left": int((went & (kept_best < SIMILARITY)).sum()),
    }


def shown(results: dict[str, dict[str, Any]]) -> None:
    """A table in Markdown."""
    heads = [*(f"{level:.2f}" for level in LEVELS), "natural", "removed", "none >= .7", "none >= .6", "none that stays"]
    print(f"\n| tool | {' | '.join(heads)} |\n|---|{'---:|' * len(heads)}")
    for name, row in results.items():
        cells = [f"{100 * row['recall'][level]:.0f}" for level in LEVELS] + [f"{100 * row['natural']:.0f}"]
        cells += [str(row[key]) for key in ("removed", "unlike", "far", "nothing_left")]
        print(f"| {name} | {' | '.join(cells)} |")


def judged(results: dict[str, dict[str, Any]]) -> list[str]:
    """What is wrong with ours."""
    mine, wrong = results["curate"], []
    if mine["nothing_left"]:
        wrong.append(f"{mine['nothing_left']} documents went for which none that is like them stays")
    for name, other in results.items():
        wrong += [
            f"{name} finds {other['recall'][level]:.2f} of {level}, ours {mine['recall'][level]:.2f}"
            for level in LEVELS
            if level >= SURE and other["recall"][level] > mine["recall"][level] + SLACK
        ]
    return wrong


# -- how fast ---------------------------------------------------------------------------------------------------------


def _write(path: Path, texts: Sequence[str]) -> float:
    """JSON lines, ids are numbers, alone in a folder (datatrove reads all files whose names end alike); MB of text."""
    path.parent.mkdir()
    path.write_bytes(b"".join(b'{"id":"%d","text":%b}\n' % (i, orjson.dumps(t)) for i, t in enumerate(texts)))
    return size(list(texts))


def speeds(mine: list[Tool], sizes: dict[str, float]) -> tuple[dict[str, dict[str, float]], list[str]]:
    """MB/s of CPU time of each tool, as slope and with start-up, and its ratio to ours; and which goals are missed."""
    told: dict[str, dict[str, float]] = {}
    for tool in mine:
        one, four = ("whole quarter", "whole") if "whole" in tool.cpu else ("quarter", "all")
        slope = (sizes[four] - sizes[one]) / (tool.seconds(four) - tool.seconds(one))
        told[tool.name] = {"mb_per_s": slope, "with_start": sizes["all"] / tool.seconds("all")}
    wrong = []
    for name, row in told.items():
        row["ratio"] = told["curate"]["mb_per_s"] / row["mb_per_s"]
        row["ratio_with_start"] = told["curate"]["with_start"] / row["with_start"]
        if row["ratio"] < GOALS.get(name, 0.0):
            wrong.append(f"{row['ratio']:.1f} times as fast as {name}, not {GOALS[name]:.0f}")
    print("\n| tool | MB/s | ours is so many times as fast | of the sample, start-up included | so many times |")
    print("|---|---:|---:|---:|---:|")
    for name, row in told.items():
        cells = (row["mb_per_s"], row["ratio"], row["with_start"], row["ratio_with_start"])
        print(f"| {name} | {' | '.join(f'{x:.3g}' for x in cells)} |")
    return told, wrong


def main() -> int:
    """Compare; 1 if something is wrong."""
    parser = arguments("duplicates", __doc__)
    parser.set_defaults(documents=0)
    parser.add_argument("--mb", type=float, default=8, help="of the documents, before copies are planted (8)")
    parser.add_argument("--pairs", type=int, default=150, help="planted at each similarity (150)")
    parser.add_argument("--repeats", type=int, default=2, help="of the timings (2)")
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=PEERS)
    asked = parser.parse_args()
    documents = [text for path in asked.corpus for text in texts_of(path)]
    drawn = [documents[i] for i in np.random.default_rng(3).permutation(len(documents))]
    corpus = near_corpus.corpus([t for t in drawn if len(t.encode()) <= asked.largest], asked.mb, asked.pairs)
    mine = list(tools(asked.peers, pythons(asked)))
    results: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        files = {"quarter": corpus.texts[: len(corpus.texts) // 4], "all": corpus.texts}
        whole = {"whole quarter": drawn[: len(drawn) // 4], "whole": drawn}
        sizes = {name: _write(home / name / "documents.jsonl", texts) for name, texts in {**files, **whole}.items()}
        print(
            f"{len(corpus.texts):,} documents, {sizes['all']:.1f} MB; ours also on {sizes['whole']:.0f} MB", flush=True
        )
        for tool in mine:  # the first run of a tool compiles it
            tool.run("quarter", home / "quarter/documents.jsonl", home / "out")
            tool.cpu.clear()
        for _ in range(asked.repeats):
            for tool in mine:
                for name in (*files, *(whole if tool.name in OURS else ())):
                    kept = tool.run(name, home / name / "documents.jsonl", home / "out")
                    if name == "all":
                        results[tool.name] = found(corpus, kept)
                print(f"{tool.name}: { ({n: [round(s, 1) for s in t] for n, t in tool.cpu.items()}) }", file=sys.stderr)
    planted = {level: len(pairs) for level, pairs in corpus.planted.items()}
    print(f"planted pairs {planted}; {results['curate']['natural_pairs']} natural ones of {SIMILARITY} and more")
    shown(results)
    told, wrong = speeds(mine, sizes)
    wrong = judged(results) + wrong
    out = ROOT / "runs/peers/duplicates.json"
    facts = {"sizes": sizes, "planted": planted, "found": results, "speed": told, "load": os.getloadavg()[0]}
    out.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    print("\n".join(wrong))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
