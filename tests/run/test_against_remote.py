"""Indexes of earlier data on an object store: the same verdicts as from a folder, read by ranges, and refused with one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from object_store import Proxy
from recipes import step, write
from snapshots import decided, joined, one_by_one, write_snapshots

from curate.errors import CurateError
from curate.recipe.plan import make_plan
from curate.recipe.recipe import load_recipe
from curate.store.files import Store, encode_json
from curate.store.index import FACTS, Earlier, index_at, open_index
from curate.store.sealed import seal_json

SNAPSHOTS = [
    [f"{' '.join(f'w{i}x{n}' for i in range(60))} {n}" for n in range(12)],
    [f"{' '.join(f'w{i}x{n}' for i in range(60))} other" for n in range(0, 14, 2)],
]


@pytest.fixture(params=["memory", "s3"])
def bucket(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An address below which nothing is; on S3 behind a proxy that counts requests."""
    if request.param == "memory":
        return f"memory://{tmp_path.name}-against"
    s3: Proxy = request.getfixturevalue("s3")
    return f"s3://{s3.bucket}/deep"


@pytest.mark.parametrize("use", ["dedup.exact", "dedup.near"])
def test_the_same_verdicts(bucket: str, use: str, tmp_path: Path) -> None:
    """A run whose store is the bucket leaves an index there; later data is compared with it by the run's own address, or by
    that of its folder, and is indexed itself: all as on a disk."""
    write_snapshots(tmp_path, SNAPSHOTS)
    on_disk = one_by_one(tmp_path, 2, use, {"verify": "estimate"} if use == "dedup.near" else {})
    assert all("index" in detail for detail in on_disk[1].values())
    settings = {"index": True, **({"verify": "estimate"} if use == "dedup.near" else {})}
    first = [step("s0", "read.jsonl", paths=[f"{tmp_path}/s0/*.jsonl"]), step("unique", use, **settings)]
    found = [_decided(f"{bucket}/{use}/one", write(tmp_path / "one.yaml", first))]
    place = index_at(f"{bucket}/{use}/one/unique")
    assert open_index(place).content == open_index(tmp_path / "run0/unique").content
    for number, address in enumerate((f"{bucket}/{use}/one/unique", str(place))):
        steps = [
            step("s1", "read.jsonl", paths=[f"{tmp_path}/s1/*.jsonl"]),
            step("unique", use, against=[address], **settings),
        ]
        recipe = write(tmp_path / f"two{number}.yaml", steps)
        again = _decided(f"{bucket}/{use}/two", recipe)
        assert joined([*found, again]) == joined(on_disk)
    assert open_index(index_at(f"{bucket}/{use}/two/unique")).against == (open_index(place).content,)


def _decided(store: str, recipe: Path) -> dict:
    return decided(Store(store), recipe, partitions=2)[0]


def test_only_what_is_wanted_is_read(s3: Proxy, tmp_path: Path) -> None:
    """Of documents that no new one could be like nothing is fetched: their sets and sketches stay where they are."""
    write_snapshots(tmp_path, [SNAPSHOTS[0], ["nothing like it, " + " ".join(f"v{i}" for i in range(80))]])
    bucket = f"s3://{s3.bucket}/run"
    first = [step("s0", "read.jsonl", paths=[f"{tmp_path}/s0/*.jsonl"]), step("unique", "dedup.near", index=True)]
    _decided(bucket, write(tmp_path / "one.yaml", first))
    steps = [step("s1", "read.jsonl", paths=[f"{tmp_path}/s1/*.jsonl"])]
    steps.append(step("unique", "dedup.near", against=[f"{bucket}/unique"]))
    before = s3.count("GET", "/buckets-"), s3.count("GET", "/indexed-")
    assert decided(tmp_path / "two", write(tmp_path / "two.yaml", steps))[0] == {}
    assert s3.count("GET", "/buckets-") > before[0]
    assert s3.count("GET", "/indexed-") == before[1]


def test_refused_with_one_line(tmp_path: Path) -> None:
    """No index, another scheme, a file that is missing or short; and one that was changed while a run used it."""
    bucket = f"memory://{tmp_path.name}-refused"
    write_snapshots(tmp_path, SNAPSHOTS)
    first = [step("s0", "read.jsonl", paths=[f"{tmp_path}/s0/*.jsonl"]), step("unique", "dedup.exact", index=True)]
    _decided(f"{bucket}/one", write(tmp_path / "one.yaml", first))
    place = index_at(f"{bucket}/one/unique")

    def plan(*against: str, **settings: object) -> str:
        steps = [step("s1", "read.jsonl", paths=[f"{tmp_path}/s1/*.jsonl"])]
        steps.append(step("unique", "dedup.exact", against=list(against), **settings))
        try:
            made = make_plan(load_recipe(write(tmp_path / "p.yaml", steps)))
        except CurateError as error:
            return str(error)
        assert [str(index.at) for index in made.steps["unique"].earlier] == [str(place)]
        return ""

    assert plan(f"{bucket}/one/unique") == ""
    said = {
        "no such index": plan(f"{bucket}/one/other"),
        "hf:// can't be a store": plan("hf://datasets/a/b"),
        "holds no user and no key": plan("s3://me:s3cret@bucket/one/unique"),
        "are the same index": plan(f"{bucket}/one/unique", str(place)),
        "other settings: profile prose (here code)": plan(f"{bucket}/one/unique", profile="code"),
    }
    earlier = Earlier(place, open_index(place).facts)
    table = next(entry.key for entry in place.list() if entry.key.startswith("hashes-"))
    data = place.read(table)
    assert data is not None
    place.replace(table, data[:-9])
    said["bytes instead of"] = plan(str(place))
    place.remove(table)
    said[f"{table} is missing"] = plan(str(place))
    for wanted, line in said.items():
        assert wanted in line
        assert "p.yaml:" in line
        assert "\n" not in line and "s3cret" not in line
    facts = json.loads(place.read(FACTS) or b"")
    del facts["checksum"]
    place.replace(FACTS, seal_json(FACTS, encode_json({**facts, "documents": 99})))
    with pytest.raises(CurateError, match="changed while a run used it"):
        earlier.open()
    facts["tables"]["hashes"][0]["name"] = "../one/steps.json"
    place.replace(FACTS, seal_json(FACTS, encode_json(facts)))
    assert "'../one/steps.json' is no file's name" in plan(str(place))
