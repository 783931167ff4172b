"""Documents for the comparisons, and an environment of its own for each peer."""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import zstandard

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = [ROOT / "data/samples/web.jsonl.zst", ROOT / "data/samples/code.jsonl.zst"]
REQUIREMENTS = {
    "datatrove": ["datatrove[processing]==0.10.1", "orjson", "spacy==3.8.18"],
    # Without what its readers of web archives and of clouds need: the taggers import these alone, and a resolver that is
    # asked for all of it is busy for minutes.
    "dolma": [
        *("--no-deps", "dolma==1.2.1", "anyascii==0.3.3", "fasttext-numpy2-wheel==0.9.2", "fsspec==2026.9.0"),
        *("msgspec==0.22.0", "necessary==0.4.3", "nltk==3.10.4", "numpy==2.4.6", "omegaconf==2.4.0", "packaging==26.4"),
        *("platformdirs==4.14.8", "PyYAML==6.0.4", "regex==2026.11.19", "requirements-parser==0.13.1"),
        *("smart_open==9.0.2", "tokenizers==0.23.3", "typing_extensions==4.16.0", "uniseg==0.10.1", "urllib3==2.8.0"),
        *("wrapt==2.5.2", "zstandard==0.25.0"),
    ],
    "pydivsufsort": ["pydivsufsort==0.0.20", "numpy<2.3"],
    "nemo-curator": ["nemo-curator==1.4.0", "torch==2.13.0"],
    "datasketch": ["datasketch==2.0.0"],
    "rensa": ["rensa==0.5.0"],
    "data-juicer": ["py-data-juicer==1.6.1", "aiohttp"],
    # Without Spark and a neural model, which its MinHash does not use.
    "text-dedup": [
        *("datasets", "scipy", "click<9", "click-option-group<0.6", "fire<0.7", "rich<14", "xxhash", "regex"),
        *("bitarray", "ftfy", "psutil", "setuptools", "zstandard"),
    ],
    # What opens an export: without the clouds that two of them stream from.
    "exports": [
        *(
            "torch==2.13.0",
            "numpy<2.2",
            "datatrove==0.10.1",
            "megatron-core==0.16.1",
            "transformers",
            "pyarrow",
            "boto3",
        ),
        *("lightning-utilities", "requests", "tifffile", "obstore", "xxhash", "zstandard", "brotli", "zstd"),
        *("python-snappy", "catalogue", "matplotlib", "orjson", "tokenizers"),
    ],
}
"""What pip installs into the environment of each engine."""
ALONE = {"text-dedup": ["text-dedup==0.4.0"], "exports": ["litdata==0.2.76", "mosaicml-streaming==0.13.0"]}
"""What it installs after that without asking what it requires."""
BOUND = {"fed": 1.0, "own": 0.98}
"""The least share of equal verdicts of a rule: with the peer fed our words, and with its own."""


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """Each line of a JSONL file, zstd or plain."""
    with path.open("rb") as file:
        stream = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        for line in io.BufferedReader(stream) if path.suffix == ".zst" else file:
            yield json.loads(line)


def texts(path: Path) -> Iterator[str]:
    """The ``text`` of each line of a JSONL file, zstd or plain."""
    return (row["text"] for row in rows(path))


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
        print(f"making an environment for {engine} in {folder} (minutes the first time)", file=sys.stderr)
        if folder.is_symlink():
            folder.unlink()  # to an environment elsewhere that is gone, or never became ready: venv would stumble over it
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        # Wheels where there are any: a resolver that builds old source packages to read their metadata takes hours.
        install = [python, "-m", "pip", "install", "--quiet", "--prefer-binary"]
        subprocess.run([*install, *REQUIREMENTS[engine]], check=True)
        if engine in ALONE:
            subprocess.run([*install, "--no-deps", *ALONE[engine]], check=True)
        (folder / "ready").touch()
    return python


def answers(command: list[Any], documents: Iterable[dict[str, Any]]) -> tuple[list[Any], float]:
    """What a script says of each document, as JSON lines, and the seconds it took."""
    with tempfile.TemporaryFile() as sent, tempfile.TemporaryFile() as got:
        sent.writelines(json.dumps(document).encode() + b"\n" for document in documents)
        sent.seek(0)
        start = time.perf_counter()
        subprocess.run(command, stdin=sent, stdout=got, stderr=subprocess.DEVNULL, check=True)
        seconds = time.perf_counter() - start
        got.seek(0)
        return [json.loads(line) for line in got], seconds


def arguments(module: str, about: str | None) -> argparse.ArgumentParser:
    """What every comparison takes."""
    parser = argparse.ArgumentParser(prog=f"python -m tests.peers.{module}", description=about)
    parser.add_argument("--corpus", nargs="+", type=Path, default=SAMPLES, help="JSONL or JSONL.zst with text")
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--largest", type=int, default=20_000, help="bytes of the largest document taken")
    parser.add_argument("--python", nargs="*", default=[], metavar="ENGINE=PATH", help="another Python with the engine")
    parser.add_argument("--modes", nargs="*", default=list(BOUND), choices=list(BOUND))
    return parser


def pythons(asked: argparse.Namespace) -> dict[str, Path]:
    """The Pythons named on the command line, by engine."""
    return {engine: Path(path) for engine, _, path in (item.partition("=") for item in asked.python)}
