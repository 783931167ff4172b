"""Topics grow, chapters are planned about them, their sections are written, beside pages as seeds: one run of a recipe."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from command import Curate, manifest, record
from recipes import step, write

from curate.fingerprint import fingerprint
from curate.llm.teacher import Call, Say, Teacher
from curate.store.files import Store
from curate.store.parts import read_part
from curate.store.records import Part

_WORDS = ["river", "stone", "bridge", "lamp", "garden", "market", "winter", "ladder", "mirror", "harbor", "needle", "copper", "violin", "orchard",
          "thunder", "candle"]  # fmt: skip


def script(call: Call) -> Say:
    """Lists of topics, some of which come again; outlines; passages that differ."""
    dice = int(fingerprint(call.key)[:8], 16)
    if "narrower topics" in call.prompt:
        names = [f"{_WORDS[(dice >> 4 * i) % 16]} {_WORDS[(dice >> (3 * i + 1)) % 16]}" for i in range(4)]
        return Say("\n".join(f"{i}. {name}" for i, name in enumerate(names, 1)))
    if "Plan a textbook chapter" in call.prompt:
        return Say(f"Title: Chapter {dice}\n1. First {dice}: what it is\n2. Second {dice}: what it does")
    said = [
        f"Sentence {i} is about the {_WORDS[(dice + 7 * i) % 16]} numbered {dice * (i + 1) % 997}." for i in range(12)
    ]
    return Say("Sure! Here is the section:\n\n" + " ".join(said))


def rows(store: Path, name: str) -> list[dict[str, Any]]:
    """A step's documents, with their meta as values."""
    found = []
    for part in record(store, name)["parts"]:
        for batch in read_part(Store(store), Part.load(part)):
            found += [{**row, "meta": json.loads(row["meta"])} for row in batch.rows.to_pylist()]
    return found


def test_written_from_what_was_written(curate: Curate, tmp_path: Path) -> None:
    """Each record names what it was made of and stands under its terms; no topic comes twice; again asks nobody."""
    pages = [
        {
            "id": str(n),
            "text": f"Page {n}. Rivers carve valleys, number {n}. They take their time. " * 20,
            "license": "CC-BY-SA-4.0",
        }
        for n in range(12)
    ]
    (tmp_path / "pages.jsonl").write_text("".join(json.dumps(page) + "\n" for page in pages))

    def everyday() -> dict[str, Any]:
        return {"topics": "topics/everyday", "against": [], "round": 4}

    steps = [
        step("pages", "read.jsonl", paths=["pages.jsonl"]),
        step("topics", "generate.topics", topics=60, children=4, depth=3, round=4, against=[]),
        step("outlines", "generate.outlines", "topics", outlines=4, sections=2, **everyday()),
        step(
            "sections", "generate.textbooks", "outlines", prompts=["prompts/textbook-section"], passages=8, **everyday()
        ),
        step(
            "seeded",
            "generate.textbooks",
            ["topics", "pages"],
            prompts=["prompts/textbook-seeded"],
            passages=6,
            **everyday(),
        ),
    ]
    with Teacher(script) as teacher:
        model = {"model": "teacher", "base_url": teacher.base_url, "licence": "CC0-1.0"}
        recipe = write(tmp_path / "r.yaml", steps, models={"writer": model})
        curate.run(recipe, tmp_path / "run").ok()
        asked = teacher.received.total()
        curate.run(recipe, tmp_path / "run").ok()
        assert teacher.received.total() == asked
    topics = rows(tmp_path / "run", "topics")
    texts = [" ".join(sorted(row["text"].split())) for row in topics]
    assert len(texts) == len(set(texts)) >= 50
    assert {row["meta"]["level"] for row in topics} >= {1, 2}
    told = manifest(tmp_path / "run")["steps"]["topics"]
    assert told["rows_in"] == told["rows_out"] + sum(told["reasons"].values())
    assert told["reasons"]["duplicate"] > 0
    ids = {name: {row["id"].hex() for row in rows(tmp_path / "run", name)} for name in ("topics", "outlines", "pages")}
    sections, seeded = rows(tmp_path / "run", "sections"), rows(tmp_path / "run", "seeded")
    assert len(sections) == 8 and len(seeded) == 6
    assert all(set(row["meta"]["made_from"]) <= ids["outlines"] for row in sections)
    assert all(row["meta"]["terms"] == "CC0-1.0" for row in sections)
    for row in seeded:
        of = set(row["meta"]["made_from"])
        assert len(of & ids["pages"]) == len(of & ids["topics"]) == 1
        assert row["meta"]["terms"] == "CC-BY-SA-4.0"
        assert row["text"].startswith("Sentence") and re.search(r"<document \w{6}>", row["meta"]["prompt"])
