"""Global steps that cut spans out of texts: what later steps see, what is written, counted and told, however it is run."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from command import Curate, manifest, record, results, texts_by_own_id
from corpus import lines, prose, rows, write_two_files
from recipes import changed, step, write

from curate.store.records import Part
from curate.store.tables import read_table
from curate.text.hashing import content_hash

SPLIT = ("--split-mb", 0.04, "--partitions", 3)
NOTICE = "Subscribe to our newsletter for more of this"
MENU = "Home | Products | About us | Contact"
FIVE = "This line is in five documents alone"


def texts() -> list[str]:
    """Prose; a menu above two of three documents, a notice inside of each other one, twice in some; a document of them
    alone; and behind every ninth a passage of the one before."""
    found, plain = [], prose(45, 1500)
    for i, text in enumerate(plain):
        parts = text.split("\n")
        if i % 3:
            parts[:0] = [MENU]
        if i % 2:
            parts[2:2] = [NOTICE, f"  {NOTICE.upper()} "][: 1 + (i % 4 == 3)]
        if i < 5:
            parts.append(FIVE)
        if i % 9 == 8:
            parts.append(f"<{passage(plain[i - 1])}>")
        found.append("\n".join(parts))
    return [*found, f"{MENU}\n{NOTICE}"]


def passage(text: str) -> str:
    """Some 400 bytes of it."""
    return text[-450:-50]


def cleaned(text: str) -> str:
    """Without the lines that six documents share."""
    return "\n".join(
        line for line in text.split("\n") if " ".join(line.lower().split()) not in (MENU.lower(), NOTICE.lower())
    )


STEPS = [
    step("docs", "read.jsonl", paths=["in"]),
    step("passages", "dedup.substring", least_bytes=300),
    step("whole", "write.text", documents_per_shard=20),
    step("early", "filter.length", "docs", word="never there"),
    step("lines", "dedup.lines", least=6, min_left_chars=30),
    step("late", "filter.length", word="~~~ none"),
    step("unique", "dedup.exact"),
    step("out", "write.text", documents_per_shard=13),
]


@pytest.fixture(scope="module")
def home(curate: Curate, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with inputs, a recipe, and a finished run in ``run``."""
    home = tmp_path_factory.mktemp("spans")
    write_two_files(home / "in", texts())
    write(home / "r.yaml", STEPS)
    curate.run(home / "r.yaml", home / "run", *SPLIT).ok()
    return home


def test_text(home: Path) -> None:
    """The dataset has what is left of the texts, and nothing of a document that was a menu alone."""
    original = texts()
    assert texts_by_own_id(home / "run") == {f"a-{i}": cleaned(t) for i, t in enumerate(original[:-1])}


def test_passages(curate: Curate, home: Path) -> None:
    """Of two documents with a passage in common one keeps it, and the other one nothing of it; all else stays."""
    original, found, first = texts(), texts_by_own_id(home / "run", "whole"), prose(45, 1500)
    assert len(found) == len(original)
    there = 0
    for i in range(8, 45, 9):
        shared, pair = passage(first[i - 1]), (found[f"a-{i}"], found[f"a-{i - 1}"])
        assert sum(shared in text for text in pair) == 1
        gone = [len(original[n]) - len(found[f"a-{n}"]) for n in (i, i - 1)]
        assert min(gone) == 0
        assert len(shared) - 80 < max(gone) <= len(shared), "less a word at each end"
        there += gone[0] == 0
    assert 0 < there < 5, "the first in keep order is now the one, now the other"
    cut = [i for i, text in enumerate(original) if found[f"a-{i}"] != text]
    for i in cut:
        pairs = zip(original[i], found[f"a-{i}"] + "\0", strict=False)
        begin = next(n for n, (before, after) in enumerate(pairs) if before != after)
        assert any(original[i][begin : begin + 250] in other for n, other in enumerate(original) if n != i)
    event = story(curate, home / "run", f"a-{cut[0]}")["events"]["passages"]
    assert event["removed"] == len(original[cut[0]]) - len(found[f"a-{cut[0]}"])
    (copy,) = event["copies"]
    other = int(copy["origin"].partition("#a-")[2])
    gone = original[cut[0]].encode()[copy["start"] : copy["stop"]]
    assert copy["bytes"] >= len(gone) > 250
    assert gone in original[other].encode()[copy["at"] : copy["at"] + copy["bytes"]]
    assert other != cut[0]
    assert gone.decode() in found[f"a-{other}"], "there it stays"
    shown = curate("explain", home / "run", story(curate, home / "run", f"a-{cut[0]}")["id"]).ok().out
    assert f"{copy['bytes']:,} bytes of it stand from byte {copy['at']:,} on in" in shown


def test_counts(home: Path) -> None:
    """Rows that were cut, bytes and spans that went, and the lines that most documents had."""
    original = texts()
    said = manifest(home / "run")["steps"]["lines"]
    cut = [t for t in original[:-1] if cleaned(t) != t]
    assert said["edited"] == len(cut) > 30
    assert said["removed"] == sum(len(t.encode()) - len(cleaned(t).encode()) for t in cut)
    assert said["bytes_out"] == sum(len(cleaned(t).encode()) for t in original[:-1])
    assert said["reasons"] == {"little_left": 1}
    menus = [t for t in original if MENU in t]
    menu, notice = said["report"]["most"]
    assert menu == {
        "text": MENU.lower(),
        "documents": len(menus),
        "cut": len(menus),
        "bytes": len(menus) * (len(MENU) + 1),
    }
    assert notice["documents"] == sum(NOTICE in t for t in original) < notice["cut"]
    assert notice["text"] == NOTICE.lower(), "in the form in which lines are equal"
    assert "edited" not in manifest(home / "run")["steps"]["unique"]


def test_parts(home: Path) -> None:
    """What was cut lies in files of their own, with all columns and hashes of the new text; later steps measure that one."""
    store, seen = home / "run", 0
    for part in map(Part.load, record(store, "lines")["parts"]):
        table = read_table(store / part.data)
        text = table.column("text").combine_chunks()
        assert (part.overlays, part.rows) == ((), table.num_rows)
        assert sum(len(t.encode()) for t in text.to_pylist()) == part.bytes
        assert table.column("content_hash").combine_chunks().equals(content_hash(text))
        seen += part.rows
    assert seen == len(texts()) - 1
    for part in map(Part.load, record(store, "late")["parts"]):
        overlay = pa.concat_tables(read_table(store / key) for key in part.overlays)
        table = read_table(store / part.data)
        for row, length in zip(table.to_pylist(), overlay.column("late.length").to_pylist(), strict=True):
            original = texts()[int(row["origin"].partition("#a-")[2])]
            assert row["early.length"] == len(original)
            assert length == len(cleaned(original))


@pytest.mark.parametrize(("workers", "split_mb", "partitions"), [(0, 64, 1), (1, 0.02, 5)])
def test_same_bytes(curate: Curate, home: Path, tmp_path: Path, workers: int, split_mb: float, partitions: int) -> None:
    """Neither workers nor splits nor partitions can be seen in the results."""
    how = ("--split-mb", split_mb, "--partitions", partitions)
    curate.run(home / "r.yaml", tmp_path / "run", *how, workers=workers).ok()
    assert results(tmp_path / "run") == results(home / "run")


def test_killed(curate: Curate, home: Path, tmp_path: Path) -> None:
    """Killed before, within and after the commit of a cut: the same bytes."""
    for turn, point in enumerate(("apply.before-receipt", "apply.after-receipt", "")):
        token = tmp_path / f"token{turn}"
        token.touch()
        env = {"CURATE_CRASH_AT": f"{point}={token}"} if point else {}
        done = curate.run(home / "r.yaml", tmp_path / "run", *SPLIT, env=env)
        assert done.code == (-signal.SIGKILL if point else 0), done.err
    assert results(tmp_path / "run") == results(home / "run")


def test_other_documents(curate: Curate, home: Path, tmp_path: Path) -> None:
    """A line that two more documents have reaches the threshold: what was cut elsewhere is cut anew."""
    (tmp_path / "in").mkdir()
    for path in (home / "in").iterdir():
        (tmp_path / "in" / path.name).write_bytes(path.read_bytes())
    write(tmp_path / "r.yaml", STEPS)
    curate.run(tmp_path / "r.yaml", tmp_path / "run", *SPLIT).ok()
    (tmp_path / "in" / "c.jsonl").write_bytes(
        lines(rows([f"{FIVE}\nBut more is here {i}, of its own" for i in "ab"], "c"))
    )
    for store in ("run", "fresh"):
        curate.run(tmp_path / "r.yaml", tmp_path / store, *SPLIT).ok()
    assert results(tmp_path / "run") == results(tmp_path / "fresh")
    assert texts_by_own_id(tmp_path / "run")["c-0"] == "But more is here a, of its own"
    assert FIVE not in "".join(texts_by_own_id(tmp_path / "run").values())
    assert FIVE in texts_by_own_id(home / "run")["a-0"]


def story(curate: Curate, store: Path, own: str) -> dict[str, Any]:
    """What explain says of a document, with events by step."""
    found = json.loads(curate("inspect", store, "--json", "-n", 1000).ok().out)
    (id_,) = [row["id"] for row in found["rows"] if row["origin"].partition("#")[2] == own]
    told = json.loads(curate("explain", store, id_, "--json").ok().out)
    told["events"] = {e["step"]: e for e in told["events"]}
    assert isinstance(told, dict)
    return told


def test_explain(curate: Curate, home: Path) -> None:
    """What a document was before and is now, and which lines went."""
    for own in (0, 1, 2, 3, 40):
        text, told = texts()[own], story(curate, home / "run", f"a-{own}")
        assert told["text"] == cleaned(text)
        assert told["original"] == (text if cleaned(text) != text else None)
        event = told["events"]["lines"]
        assert event["removed"] == len(text) - len(cleaned(text))
        gone = [line[1:].strip().lower() for line in event["diff"] if line[0] == "-"]
        assert set(gone) <= {MENU.lower(), NOTICE.lower()}
        assert len(gone) == sum(cleaned(line) != line for line in text.split("\n"))
    gone = story(curate, home / "run", "a-45")
    assert gone["text"] == texts()[45], "what went is shown as it came"
    assert gone["events"]["lines"]["detail"] == {"chars": len(texts()[45]), "left": 0}


def test_inspect(curate: Curate, home: Path) -> None:
    """The lines that went most often stand below the counts of their step."""
    told = json.loads(curate("inspect", home / "run", "--json", "--step", "lines", "-n", 0).ok().out)
    by_step = {s["step"]: s for s in told["steps"]}
    assert by_step["lines"]["report"]["most"][0]["text"] == MENU.lower()
    shown = curate("inspect", "--plain", home / "run", "--step", "lines", "-n", 0).ok().out
    assert MENU.lower() in shown
    assert "documents" in shown


def test_all_but_first(curate: Curate, home: Path, tmp_path: Path) -> None:
    """One occurrence stays in the first document in keep order; nowhere does a line vanish."""
    (tmp_path / "in").symlink_to(home / "in", target_is_directory=True)
    write(tmp_path / "r.yaml", changed(STEPS, "lines", cut="all_but_first", min_left_chars=0))
    curate.run(tmp_path / "r.yaml", tmp_path / "run", *SPLIT).ok()
    left = "\n".join(texts_by_own_id(tmp_path / "run").values()).lower()
    assert left.count(MENU.lower()) == left.count(NOTICE.lower()) == 1
    copies = story(curate, tmp_path / "run", "a-2")["events"]["lines"]["copies"]
    (menu,) = (c for c in copies if texts()[2].encode()[c["start"] : c["stop"]].decode() == MENU + "\n")
    first = curate("explain", tmp_path / "run", menu["id"], "--text").ok().out
    assert MENU in first
