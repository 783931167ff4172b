"""Steps that edit text: what later steps see, what is written, counted and remembered, however it is run."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from command import Curate, manifest, receipts, record, results, texts_by_own_id
from corpus import prose, write_two_files
from recipes import Steps, changed, step, write

from curate.store.records import Part
from curate.store.tables import read_table
from curate.text.hashing import content_hash

SPLIT = ("--split-mb", 0.04, "--partitions", 3)
MARK = "%% an advertisement"
DIRT = "~~~ a second kind of dirt"


def texts() -> list[str]:
    """Prose with marked lines in two of three documents, dirt in every fourth, and one of marked lines alone."""
    found = []
    for i, text in enumerate(prose(45, 1500)):
        parts = text.split("\n")
        if i % 3:
            parts[2:2] = [MARK] * (i % 3)
        if i % 4 == 0:
            parts.append(f"{DIRT} {i}")
        found.append("\n".join(parts))
    return [*found, f"{MARK}\n{MARK}", *(f"{t}\n{MARK} again" for t in found[:6])]


def cleaned(text: str, *markers: str) -> str:
    """Without the lines that hold a marker."""
    return "\n".join(line for line in text.split("\n") if not any(m in line for m in markers))


def steps() -> Steps:
    """Edits where a source begins a segment, and after a global step; columns made before and after them."""
    return [
        step("docs", "read.jsonl", paths=["in"]),
        step("early", "filter.length"),
        step("ads", "filter.drop_marked", min_chars=20),
        step("between", "filter.length"),
        step("unique", "dedup.exact"),
        step("middle", "filter.length", word="~~~ none"),
        step("dirt", "filter.drop_scored", marker="~~~", column="early.length"),
        step("late", "filter.length", word="continue"),
        step("near", "dedup.near"),
        step("out", "write.text", documents_per_shard=13),
    ]


STEPS = changed(changed(steps(), "early", word="never there"), "between", word="never there")


@pytest.fixture(scope="module")
def home(curate: Curate, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with inputs, a recipe, and a finished run in ``run``."""
    home = tmp_path_factory.mktemp("edits")
    write_two_files(home / "in", texts())
    write(home / "r.yaml", STEPS)
    curate.run(home / "r.yaml", home / "run", *SPLIT).ok()
    return home


def test_text(home: Path) -> None:
    """The dataset has the edited texts; what later steps did, they did with those."""
    found, original = texts_by_own_id(home / "run"), {f"a-{i}": t for i, t in enumerate(texts())}
    assert len(found) > 20
    assert found == {i: cleaned(original[i], "%%", "~~~") for i in found}
    steps_ = manifest(home / "run")["steps"]
    assert steps_["ads"]["reasons"] == {"too_short": 1}
    assert steps_["unique"]["reasons"]["exact_duplicate"] == 6, "they differed in a marked line only"
    assert steps_["late"]["reasons"]["holds"] > 0


def test_counts(home: Path) -> None:
    """Rows that were edited and bytes that went are counted by step; bytes out are those of the edited text."""
    steps_, original = manifest(home / "run")["steps"], texts()
    stay = [t for t in original if len(cleaned(t, "%%")) >= 20]
    ads = steps_["ads"]
    assert ads["edited"] == sum("%%" in t for t in stay)
    assert ads["removed"] == sum(len(t.encode()) - len(cleaned(t, "%%").encode()) for t in stay) > 0
    assert ads["bytes_out"] == sum(len(cleaned(t, "%%").encode()) for t in stay)
    assert steps_["between"]["bytes_in"] == ads["bytes_out"]
    assert steps_["dirt"]["edited"] > 0
    assert "edited" not in steps_["late"], "it edits nothing"


def test_parts(home: Path) -> None:
    """A part that was edited is a file of its own: with all columns, hashes of the new text, and its size as it says."""
    store = home / "run"
    for name in ("between", "late"):
        seen = 0
        for part in map(Part.load, record(store, name)["parts"]):
            table = read_table(store / part.data)
            assert part.overlays == ()
            assert table.num_rows == part.rows
            text = table.column("text").combine_chunks()
            assert sum(len(t.encode()) for t in text.to_pylist()) == part.bytes
            assert table.column("content_hash").combine_chunks().equals(content_hash(text))
            assert {"early.length", "between.length"} <= set(table.schema.names)
            seen += part.rows
        assert seen == record(store, name)["counts"]["rows_out"] > 0
    late = pa.concat_tables(read_table(store / p["data"]) for p in record(store, "late")["parts"])
    for row in late.to_pylist():
        original = texts()[int(row["origin"].partition("#a-")[2])]
        assert row["text"] == cleaned(original, "%%", "~~~")
        assert row["early.length"] == len(original), "columns keep what was measured before the edit"
        assert row["between.length"] == row["middle.length"] == len(cleaned(original, "%%"))
        assert row["late.length"] == len(row["text"])


@pytest.mark.parametrize(("split_mb", "partitions"), [(64, 1), (0.02, 5)])
def test_same_bytes(curate: Curate, home: Path, tmp_path: Path, split_mb: float, partitions: int) -> None:
    """Neither splits nor partitions can be seen in the results."""
    how = ("--split-mb", split_mb, "--partitions", partitions)
    curate.run(home / "r.yaml", tmp_path / "run", *how).ok()
    assert results(tmp_path / "run") == results(home / "run")


def test_killed(curate: Curate, home: Path, tmp_path: Path) -> None:
    """Killed at every second commit of a segment until it gets through: the same bytes."""
    store, kills = tmp_path / "run", 0
    for turn in range(60):
        token = tmp_path / f"token{turn}"
        token.touch()
        env = {"CURATE_CRASH_AT": f"segment.before-receipt={token}"} if turn < 3 else {}
        done = curate.run(home / "r.yaml", store, *SPLIT, env=env)
        if done.code == 0:
            break
        assert done.code == -signal.SIGKILL, done.err
        kills += 1
    assert kills == 3
    assert results(store) == results(home / "run")


def test_again_does_nothing(curate: Curate, home: Path, tmp_path: Path) -> None:
    """A finished run is found done, by plan too."""
    store = tmp_path / "run"
    curate.run(home / "r.yaml", store).ok()
    done = curate("plan", home / "r.yaml", "--store", store, "--json").ok()
    assert {s["state"] for s in json.loads(done.out)} == {"done"}
    before = receipts(store)
    curate.run(home / "r.yaml", store).ok()
    assert receipts(store) == before
    assert results(store) == results(home / "run")


def again(curate: Curate, home: Path, tmp_path: Path, recipe: Steps, first: Steps = STEPS) -> dict[str, Any]:
    """Run one recipe, then another in the same store, which must give what a new store gives; its counts by step."""
    path = tmp_path / "r.yaml"
    (tmp_path / "in").symlink_to(home / "in", target_is_directory=True)
    write(path, first)
    curate.run(path, tmp_path / "run", *SPLIT).ok()
    write(path, recipe)
    curate.run(path, tmp_path / "run", *SPLIT).ok()
    curate.run(path, tmp_path / "fresh", *SPLIT).ok()
    assert results(tmp_path / "run") == results(tmp_path / "fresh")
    return {s["id"]: record(tmp_path / "run", s["id"])["counts"] for s in recipe}


def test_threshold(curate: Curate, home: Path, tmp_path: Path) -> None:
    """A changed threshold of an editing step measures nothing anew, and edits again."""
    counts = again(curate, home, tmp_path, changed(STEPS, "ads", min_chars=1800))
    assert counts["ads"]["reasons"]["too_short"] > 1
    assert {n: c["measured"] for n, c in counts.items() if c["measured"] and n != "early"} == {}, "early is as it was"
    assert counts["ads"]["edited"] > 0


def test_other_edit(curate: Curate, home: Path, tmp_path: Path) -> None:
    """Another marker: later steps measure the texts that are now another, and those alone."""
    counts = again(curate, home, tmp_path, changed(STEPS, "ads", marker="~~~"))
    between = counts["between"]
    assert counts["ads"]["measured"] == counts["ads"]["rows_in"]
    # `early` measures the same as `between`, of the texts as they were read.
    anew = [t for t in texts() if cleaned(t, "~~~") not in (t, cleaned(t, "%%"))]
    assert between["measured"] == len(anew) > 10


def test_column_of_an_edited_text(curate: Curate, home: Path, tmp_path: Path) -> None:
    """What reads a column is measured anew when the text that the column was made of was edited otherwise, even where
    the text that it sees itself is the same."""

    def recipe(marker: str) -> Steps:
        return [
            step("docs", "read.jsonl", paths=["in"]),
            step("first", "filter.drop_marked", marker=marker),
            step("length", "filter.length"),
            step("rest", "filter.drop_marked", marker="%%"),
            step("dirt", "filter.drop_marked", marker="~~~"),
            step("long", "select.where", column="length.length", at_least=1500),
            step("out", "write.text"),
        ]

    counts = again(curate, home, tmp_path, recipe("nothing holds this"), recipe("%%"))
    assert counts["long"]["measured"] == counts["long"]["rows_in"]


# -- what a user is told -------------------------------------------------------------------------------------


def ids(curate: Curate, store: Path) -> dict[str, str]:
    """Hex ids by own id."""
    found = json.loads(curate("inspect", store, "--json", "-n", 1000).ok().out)
    return {row["origin"].partition("#")[2]: row["id"] for row in found["rows"]}


def story(curate: Curate, store: Path, id: str) -> dict[str, Any]:  # noqa: A002
    """What explain says, with events by step."""
    told = json.loads(curate("explain", store, id, "--json").ok().out)
    told["events"] = {e["step"]: e for e in told["events"]}
    assert isinstance(told, dict)
    return told


def hashed(text: str) -> str:
    """A text's content hash, as explain shows it."""
    return bytes(content_hash(pa.array([text], pa.large_string()))[0].as_py()).hex()


def test_explain(curate: Curate, home: Path) -> None:
    """A document's text as it is now or was when it went, what it was before, and what each step took from it."""
    store, original = home / "run", {f"a-{i}": t for i, t in enumerate(texts())}
    known, kept = ids(curate, store), texts_by_own_id(store)
    assert len(known) == len(original)
    seen = set()
    late = json.loads(curate("inspect", store, "--json", "--step", "late", "-n", 4).ok().out)["rows"]
    for name in [*list(original)[:6], "a-45", "a-50", *(row["origin"].partition("#")[2] for row in late)]:
        told, text = story(curate, store, known[name]), original[name]
        events = told["events"]
        gone = next((e["step"] for e in events.values() if e["state"] == "dropped"), None)
        passed = [s for s in ("ads", "dirt") if events.get(s, {}).get("state") == "kept"]
        now = cleaned(text, *({"ads": "%%", "dirt": "~~~"}[s] for s in passed))
        assert told["text"] == now, (name, gone)
        assert told["content_hash"] == hashed(now)
        assert told["original"] == (text if now != text else None)
        assert told["note"] == ""
        assert (name in kept) == (gone is None)
        before = text
        for step_, marker in (("ads", "%%"), ("dirt", "~~~")):
            if step_ in passed:
                after = cleaned(before, marker)
                assert events[step_]["removed"] == len(before) - len(after)
                assert len(events[step_]["diff"]) > 0 or after == before
                assert all(marker in line for line in events[step_]["diff"] if line[0] == "-")
                before = after
        seen.add((gone, bool(told["original"])))
    assert {(None, True), ("late", True), ("ads", False), ("unique", True)} <= seen


def test_explain_on_a_terminal(curate: Curate, home: Path) -> None:
    """How much was removed and what; the counts of inspect say it of all rows."""
    store = home / "run"
    shown = curate("explain", store, ids(curate, store)["a-4"]).ok().out
    assert f"edited: {len(MARK) + 1} characters removed" in shown
    assert f"-{MARK}" in shown
    overview = curate("inspect", "--plain", store, "-n", 0).ok().out
    counts = record(store, "ads")["counts"]
    assert f"edited {counts['edited']} (" in overview
    assert f"edited {counts['edited']} (" in (store / "README.md").read_text()


def test_explain_without_the_input(curate: Curate, home: Path, tmp_path: Path) -> None:
    """What is in the store is shown all the same, and what can't be had is said."""
    (tmp_path / "in").mkdir()
    for path in (home / "in").iterdir():
        (tmp_path / "in" / path.name).write_bytes(path.read_bytes())
    write(tmp_path / "r.yaml", STEPS)
    curate.run(tmp_path / "r.yaml", tmp_path / "run", *SPLIT).ok()
    known, kept = ids(curate, tmp_path / "run"), texts_by_own_id(tmp_path / "run")
    for path in (tmp_path / "in").iterdir():
        path.unlink()
    name = next(n for n in kept if "%%" in texts()[int(n.removeprefix("a-"))])
    told = story(curate, tmp_path / "run", known[name])
    assert told["text"] == kept[name]
    assert told["original"] is None
    assert "can't be read" in told["note"]
    assert told["events"]["ads"]["removed"] is None


def test_inspect_shows_what_went(curate: Curate, home: Path) -> None:
    """A row that went after an edit is shown as it was then."""
    found = json.loads(curate("inspect", home / "run", "--json", "--step", "late", "-n", 100).ok().out)
    assert found["rows"]
    for row in found["rows"]:
        text = cleaned(texts()[int(row["origin"].partition("#a-")[2])], "%%", "~~~")
        assert row["text"].split()[:40] == text.split()[:40]
    assert "%%" not in "".join(row["text"] for row in found["rows"])


def test_after_branches_meet(curate: Curate, home: Path, tmp_path: Path) -> None:
    """Rows of two sources, edited after they were joined: where each came from is still known, and verify finds all."""
    recipe = [
        step("one", "read.jsonl", paths=["in/a.jsonl"]),
        step("two", "read.jsonl", paths=["in/b.jsonl.zst"]),
        step("both", "filter.drop_marked", ["one", "two"], min_chars=20),
        step("out", "write.text"),
    ]
    (tmp_path / "in").symlink_to(home / "in", target_is_directory=True)
    write(tmp_path / "r.yaml", recipe)
    curate.run(tmp_path / "r.yaml", tmp_path / "run", *SPLIT).ok()
    found, known = texts_by_own_id(tmp_path / "run"), ids(curate, tmp_path / "run")
    assert found == {f"a-{i}": cleaned(t, "%%") for i, t in enumerate(texts()) if len(cleaned(t, "%%")) >= 20}
    for name, maker in (("a-1", "one"), ("a-40", "two")):
        told = story(curate, tmp_path / "run", known[name])
        assert told["events"][maker]["state"] == "read"
        assert told["original"] == texts()[int(name.removeprefix("a-"))]
    curate("check", tmp_path / "run").ok()
