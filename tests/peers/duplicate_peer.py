"""Runs in a peer's own environment, not in ours: near-deduplication of a file of JSON lines with ``id`` and ``text``.

``python duplicate_peer.py PEER IN.jsonl FOLDER`` leaves what stays below FOLDER/kept, as JSON lines or as an Arrow stream.
All peers: words in lower case, 5-grams, 14 bands of 8, 64-bit hashes where there is a choice, one process.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

NGRAM, BANDS, ROWS = 5, 14, 8
SIMILARITY = 0.7
WORD = re.compile(r"\w+")


def datatrove(source, folder):
    """Its four stages: signatures, buckets, clusters, filter."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter
    from datatrove.utils.hashing import HashConfig

    config = MinhashConfig(
        n_grams=NGRAM, num_buckets=BANDS, hashes_per_bucket=ROWS, hash_config=HashConfig(precision=64)
    )
    read = JsonlReader(str(source.parent), glob_pattern=source.name)
    made = {name: str(folder / name) for name in ("signatures", "buckets", "removed")}
    stages = (
        (1, [read, MinhashDedupSignature(made["signatures"], config=config)]),
        (BANDS, [MinhashDedupBuckets(made["signatures"], made["buckets"], config=config)]),
        (1, [MinhashDedupCluster(made["buckets"], made["removed"], config=config)]),
        (1, [read, MinhashDedupFilter(made["removed"]), JsonlWriter(str(folder / "kept"), compression=None)]),
    )
    for number, (tasks, pipeline) in enumerate(stages):
        LocalPipelineExecutor(pipeline, tasks=tasks, workers=1, logging_dir=str(folder / f"logs{number}")).run()


def _rows(source):
    with source.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def _grams(text):
    words = WORD.findall(text.lower())
    return {" ".join(words[i : i + NGRAM]) for i in range(max(1, len(words) - NGRAM + 1))}


def _write(folder, rows):
    (folder / "kept").mkdir()
    with (folder / "kept/kept.jsonl").open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _compared(source, folder, index, sketched):
    """Documents for which the index knows none whose estimate is SIMILARITY; each that stays is put in."""
    sketches, kept = {}, []
    for number, row in enumerate(_rows(source)):
        sketch = sketched(_grams(row["text"]))
        if any(sketch.jaccard(sketches[other]) >= SIMILARITY for other in index.query(sketch)):
            continue
        index.insert(number, sketch)
        sketches[number] = sketch
        kept.append(row)
    _write(folder, kept)


def datasketch(source, folder):
    """Its index, asked before each document is put in; what it gives is taken as a duplicate if estimated at SIMILARITY."""
    from datasketch import MinHash, MinHashLSH

    def sketched(grams):
        sketch = MinHash(num_perm=BANDS * ROWS, seed=1)
        sketch.update_batch([gram.encode() for gram in grams])
        return sketch

    _compared(source, folder, MinHashLSH(num_perm=BANDS * ROWS, params=(BANDS, ROWS)), sketched)


def rensa(source, folder):
    """The shortest script around it: 5-grams in Python, all sketches at once, buckets in a dict; the first one stays."""
    from rensa import RMinHash

    rows = _rows(source)
    matrix = RMinHash.digest_matrix_from_token_sets([_grams(row["text"]) for row in rows], BANDS * ROWS, 42)
    seen, kept = set(), []
    for row, sketch in zip(rows, matrix.to_rows(), strict=True):
        keys = [(band, tuple(sketch[band * ROWS : (band + 1) * ROWS])) for band in range(BANDS)]
        if seen.isdisjoint(keys):
            kept.append(row)
        seen.update(keys)
    _write(folder, kept)


def rensa_estimate(source, folder):
    """The same with candidates compared by their sketches, as datasketch's script does."""
    from rensa import RMinHash, RMinHashLSH

    def sketched(grams):
        sketch = RMinHash(BANDS * ROWS, 42)
        sketch.update(list(grams))
        return sketch

    _compared(source, folder, RMinHashLSH(SIMILARITY, BANDS * ROWS, BANDS), sketched)


def text_dedup(source, folder):
    """Its minhash command."""
    settings = {
        "path": "json",
        "data_files": source,
        "split": "train",
        "column": "text",
        "cache_dir": folder / "cache",
        "output": folder / "kept",
        "ngram": NGRAM,
        "min_length": 1,
        "num_perm": BANDS * ROWS,
        "b": BANDS,
        "r": ROWS,
        "threshold": SIMILARITY,
        "num_proc": 1,
    }
    options = [part for name, value in settings.items() for part in (f"--{name}", str(value))]
    subprocess.run([sys.executable, "-m", "text_dedup.minhash", *options], check=True, cwd=folder)


def data_juicer(source, folder):
    """Its document_minhash_deduplicator, by its command."""
    recipe = folder / "recipe.yaml"
    settings = {
        "project_name": "near",
        "dataset_path": str(source),
        "export_path": str(folder / "kept/kept.jsonl"),
        "work_dir": str(folder / "work"),
        "np": 1,
        "open_tracer": False,
        "process": [
            {
                "document_minhash_deduplicator": {
                    "tokenization": "space",
                    "window_size": NGRAM,
                    "lowercase": True,
                    "ignore_pattern": None,
                    "num_permutations": BANDS * ROWS,
                    "jaccard_threshold": SIMILARITY,
                    "num_bands": BANDS,
                    "num_rows_per_band": ROWS,
                }
            }
        ],
    }
    recipe.write_text(json.dumps(settings), encoding="utf-8")
    command = Path(sys.executable).with_name("dj-process")
    subprocess.run([command, "--config", recipe], check=True, cwd=folder)


PEERS = {
    "datatrove": datatrove,
    "datasketch": datasketch,
    "rensa": rensa,
    "rensa-estimate": rensa_estimate,
    "text-dedup": text_dedup,
    "data-juicer": data_juicer,
}

if __name__ == "__main__":
    PEERS[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
