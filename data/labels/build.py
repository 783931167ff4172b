"""Make a classifier's label list from its sources: ``python data/labels/build.py textbook-value``.

Users never run this: what it writes is committed (``classifiers/NAME/labels.jsonl.zst``, ``packages.json``). A label is
given to a source (a set of files of one package), not to a document: read ``data/labels/NAME.yaml`` to judge it. Long
documents give pieces of many lengths, so that length says little about the label. Packages come from the cache or their
registry (see ``curate/stages/package_archives.py``); those that ``packages.json`` has not are pinned as they are found.
"""

import argparse
import hashlib
import json
import re
import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml
import zstandard

from curate.stages import package_archives as archives
from curate.stages.package_text import NoText, text_of
from curate.text.hashing import content_hash

HERE = Path(__file__).resolve().parent
CLASSIFIERS = HERE.parents[1] / "classifiers"
SIZES = (700, 1_000, 1_500, 2_200, 3_300, 5_000, 8_000)
"""Bytes that a piece aims at; which one is decided by a hash of its place."""
LEAST = 300
"""Bytes below which a text is left out."""


def number(*parts: str | int) -> int:
    return int.from_bytes(hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()[:8], "big")


def pinned(key: str, licence: str, known: dict[str, Any], sdist: bool) -> dict[str, Any]:
    """The lock entry of a package, resolved at its registry where it is new."""
    if key in known:
        return {**known[key], "licence": licence}
    registry, _, rest = key.partition(":")
    name, _, version = rest.rpartition("==")
    if registry == "pypi":
        address = f"{archives.package_index()}/{re.sub(r'[-_.]+', '-', name).lower()}/"
        with archives.open_address(address, "application/vnd.pypi.simple.v1+json") as answer:
            files = json.load(answer)["files"]
        ends = (".tar.gz", ".zip") if sdist else (".whl",)
        mine = re.compile(rf"[-_]{re.escape(version)}(-|\.tar|\.zip)")
        found = sorted(
            (f for f in files if f["filename"].endswith(ends) and mine.search(f["filename"])),
            key=lambda f: f["filename"],
        )
        if not found:
            raise SystemExit(f"{key}: no {'sdist' if sdist else 'wheel'} in the index")
        return {"file": found[0]["filename"], "licence": licence, "sha256": found[0]["hashes"]["sha256"]}
    with tempfile.TemporaryDirectory() as folder:
        got = archives.CLIENTS[registry](archives.Package(key, "", "", ""), Path(folder))
        digest, file = archives.sha256_of(got), got.name.replace("%3a", ":")
        archives.cache_folder().mkdir(parents=True, exist_ok=True)
        shutil.move(got, archives.cache_folder() / f"{digest}-{file}")
    return {"file": file, "licence": licence, "sha256": digest}


def pieces(place: str, text: bytes) -> Iterator[tuple[int, int]]:
    """Ranges of a text that end at the end of a paragraph, of varying length."""
    start = 0
    while start < len(text):
        goal = SIZES[number(place, start) % len(SIZES)]
        if len(text) - start <= goal * 3 // 2:
            stop = len(text)
        else:
            stop = text.find(b"\n\n", start + goal * 2 // 3, start + goal * 3)
            stop = stop + 2 if stop >= 0 else text.find(b"\n", start + goal, start + goal * 3) + 1
            stop = stop if stop > start else start + goal
            while stop < len(text) and text[stop] & 0xC0 == 0x80:
                stop += 1
        yield start, stop
        start = stop


def rows_of(rule: dict[str, Any], files: dict[str, bytes]) -> Iterator[dict[str, Any]]:
    """The rows of one source: at most ``limit``, at most ``per_file`` of one file, chosen by hashes of their places."""
    matches = re.compile(rule["files"]).search
    skip = re.compile(rule["skip"]).search if "skip" in rule else lambda _: None
    found: list[tuple[int, dict[str, Any]]] = []
    for path in sorted(files):
        if not matches(path) or skip(path):
            continue
        try:
            text = text_of(path, files[path]).encode("utf-8", "replace")
        except NoText:
            continue
        place, digest = f"{rule['from']}#{path}", hashlib.sha256(files[path]).hexdigest()
        whole = rule.get("whole", False) or len(text) <= SIZES[0] * 3 // 2
        mine = []
        for start, stop in [(0, len(text))] if whole else pieces(place, text):
            if len(text[start:stop].strip()) < rule.get("least", LEAST):
                continue
            origin = place if whole else f"{place}@{start}-{stop}"
            row = {
                "content_hash": content_hash(pa.array([text[start:stop].decode()], pa.large_string()))[0].as_py().hex(),
                "origin": origin,
                "sha256": digest,
                "source": rule["source"],
                "label": rule["label"],
            }
            mine.append((number(origin), row))
        found += sorted(mine, key=lambda pair: pair[0])[: rule.get("per_file", 8)]
    for _, row in sorted(found, key=lambda pair: pair[0])[: rule.get("limit", 120)]:
        yield row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    name = parser.parse_args().name
    spec = yaml.safe_load((HERE / f"{name}.yaml").read_text())
    folder = CLASSIFIERS / name
    lock = folder / "packages.json"
    known = json.loads(lock.read_text()) if lock.is_file() else {}
    packages, by_package = {}, defaultdict(list)
    for label, rules in ((1, spec["good"]), (0, spec["bad"])):
        for rule in rules:
            by_package[rule["from"]].append({**rule, "label": rule.get("label", label)})
    rows: dict[str, dict[str, Any]] = {}
    for key, rules in by_package.items():
        packages[key] = pinned(key, rules[0]["licence"], known, all(not r.get("wheel") for r in rules))
        package = archives.Package.of(key, packages[key], str(lock))
        wanted = re.compile("|".join(f"(?:{r['files']})" for r in rules))
        files = dict(
            archives.files_of(archives.archive_of(package), lambda path, wanted=wanted: wanted.search(path) is not None)
        )
        for rule in rules:
            new = {r["origin"]: r for r in rows_of(rule, files) if r["origin"] not in rows}
            print(f"{len(new):5} {rule['label']} {rule['source']:24} {key}", flush=True)
            rows.update(new)
    folder.mkdir(exist_ok=True)
    lock.write_text(json.dumps(packages, indent=1, sort_keys=True) + "\n")
    lines = b"".join(json.dumps(rows[origin], sort_keys=True).encode() + b"\n" for origin in sorted(rows))
    (folder / "labels.jsonl.zst").write_bytes(zstandard.ZstdCompressor(level=19, write_checksum=True).compress(lines))
    sources = Counter(label for _, label in {(r["source"], r["label"]) for r in rows.values()})
    print(f"{dict(Counter(r['label'] for r in rows.values()))} rows of {dict(sources)} sources")


if __name__ == "__main__":
    main()
