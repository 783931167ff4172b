"""Opening a run, and finding a document in it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from command import Curate
from recipes import step, write
from small_run import documents

from curate.errors import DamagedError, RecipeError
from curate.report.explain import Story, explain
from curate.report.inspect import Wanted, inspect
from curate.report.run_folder import RunFolder, open_run
from curate.run.session import Session
from curate.store.files import Store


@pytest.fixture(scope="module")
def run(small_run: Path) -> RunFolder:
    """The small run, opened."""
    return open_run(str(small_run))


@pytest.fixture(scope="module")
def ids(run: RunFolder) -> dict[str, str]:
    """Hex ids by own id in the input."""
    return {row.origin.partition("#")[2][:15]: row.id for row in inspect(run, Wanted(rows=1000)).rows}


def told(run: RunFolder, ids: dict[str, str], name: str) -> Story:
    """One document's story."""
    return explain(run, ids[name][:12])


def why(story: Story) -> tuple[str, str | None]:
    """Where it went, and why."""
    gone = next(e for e in story.events if e.state == "dropped")
    return gone.step, gone.reason


def test_every_document_of_the_input_is_in_the_run_once(run: RunFolder) -> None:
    """Kept or dropped: as many as were read, the bad line included."""
    found = inspect(run, Wanted(rows=1000))
    assert found.matching == len(found.rows) == len(documents()) + 1


def test_planted_documents_went_for_the_right_reason(run: RunFolder, ids: dict[str, str]) -> None:
    """A short one, the leak of a benchmark and the line that is no JSON; each with a sentence."""
    assert why(told(run, ids, "short")) == ("rules", "too_short")
    leak = told(run, ids, "leak")
    assert why(leak) == ("clean", "benchmark_ngram")
    gone = next(e for e in leak.events if e.state == "dropped")
    assert gone.signals["item"] == "humaneval/HumanEval/0" and gone.signals["containment"] == 1.0
    assert gone.sentence and gone.settings["containment"] == 0.3
    bad = next(i for name, i in ids.items() if name.startswith("@"))
    assert why(explain(run, bad)) == ("docs", "malformed")
    assert explain(run, bad).text is None and explain(run, bad).no_text


def test_duplicates_name_the_document_that_was_kept(run: RunFolder, ids: dict[str, str]) -> None:
    """One of each planted pair went in favour of the other, and says how similar it is and what differs."""
    for one, other, where, reason in (
        ("p0", "same", "unique", "exact_duplicate"),
        ("p1", "alike", "near", "near_duplicate"),
    ):
        stories = {name: told(run, ids, name) for name in (one, other)}
        gone = next(n for n, s in stories.items() if s.twin is not None)
        kept = other if gone == one else one
        assert why(stories[gone]) == (where, reason)
        twin = stories[gone].twin
        assert twin is not None and twin.id == ids[kept] and twin.fate == "in the result"
        assert twin.similarity is not None and 0.7 <= twin.similarity <= 1
        assert stories[kept].stands_for == 1
        if reason == "near_duplicate":
            left, right = (
                " ".join(word for row in twin.rows for word, _ in getattr(row, side)) for side in ("left", "right")
            )
            assert ("Another ending" in left) != ("Another ending" in right) and any(
                row.mark != " " for row in twin.rows
            )
        else:
            assert (twin.note, twin.rows) == ("they differ in white space only", [])


def test_a_kept_document_is_found_in_every_dataset(run: RunFolder, ids: dict[str, str]) -> None:
    """By row where documents are written, by sequence where they are packed; the steps tell what they measured."""
    story = told(run, ids, "p5")
    assert any(line.startswith("pages/data-") for line in story.dataset)
    assert any(line.startswith("tokens sequence") for line in story.dataset)
    signals = {e.step: e.signals for e in story.events}
    assert signals["rules"]["words"] >= 120 and 0 <= signals["scored"]["score"] <= 1
    assert story.meta["license"] == "MIT" and story.text_from == "store"
    assert [e.state for e in story.events if e.step == "value"] == ["trained on"]


def test_text_of_a_dropped_row_is_read_from_the_input(run: RunFolder, ids: dict[str, str], tmp_path: Path) -> None:
    """It is not in the store; without the recipe the story says why there is no text."""
    story = told(run, ids, "short")
    assert (story.text, story.text_from) == ("Too short to keep, and so it goes.", "input")
    moved = tmp_path / "run"
    shutil.copytree(run.store.root, moved, symlinks=True)
    session = json.loads((moved / "run.json").read_bytes())
    session["sessions"][-1]["recipe"] = str(tmp_path / "gone.yaml")
    (moved / "run.json").write_text(json.dumps(session))
    lost = explain(open_run(str(moved)), ids["short"])
    assert lost.text is None and "recipe" in lost.no_text
    # What was dropped after the text was written is still there.
    assert explain(open_run(str(moved)), ids["leak"]).text is not None


def test_a_prefix_must_fit_exactly_one_document(run: RunFolder, ids: dict[str, str]) -> None:
    """None, too few digits, no hex: an error with a cure. Odd numbers of digits work."""
    known = ids["p5"]
    assert run.find(known[:9]).hex() == known
    assert run.find(known[:12].upper()).hex() == known
    for wrong, said in (("12", "4 to 32 digits"), ("xyzw", "hex"), ("0" * 31, "no document")):
        with pytest.raises(RecipeError, match=said):
            run.find(wrong)


def test_an_ambiguous_prefix_lists_the_candidates(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one digit allowed, many fit: the error shows longer prefixes."""
    monkeypatch.setattr("curate.report.run_folder.MIN_DIGITS", 1)
    with pytest.raises(RecipeError, match=r"documents' ids begin with a: a[0-9a-f]{7}, "):
        run.find("a")


def test_rows_are_chosen_by_id_and_seed(run: RunFolder) -> None:
    """The same rows every time, fewer are among more, another seed shows others."""
    first = [r.id for r in inspect(run, Wanted(rows=8)).rows]
    assert [r.id for r in inspect(run, Wanted(rows=8)).rows] == first
    assert [r.id for r in inspect(run, Wanted(rows=3)).rows] == first[:3]
    assert [r.id for r in inspect(run, Wanted(rows=8, seed=1)).rows] != first


def test_rows_by_step_reason_and_source(run: RunFolder) -> None:
    """Each choice shows what it says, with the right number."""
    assert {r.reason for r in inspect(run, Wanted(step="rules", rows=99)).rows} == {"too_short"}
    assert inspect(run, Wanted(reason="benchmark_ngram")).matching == 1
    kept = inspect(run, Wanted(kept=True, source="lessons", rows=200))
    assert {r.source for r in kept.rows} == {"lessons"} and all(r.reason is None for r in kept.rows)
    steps = {s["step"]: s for s in kept.steps}
    assert inspect(run, Wanted(kept=True)).matching == steps["good"]["out"]
    # A step inside a segment has no parts of its own: what it let through is worked out from what follows.
    assert inspect(run, Wanted(step="docs", kept=True)).matching == steps["docs"]["out"]
    assert inspect(run, Wanted(step="scored")).matching == steps["scored"]["out"]
    assert inspect(run, Wanted(dropped=True)).matching == 6
    with pytest.raises(RecipeError, match="no step 'nope'; it has: docs"):
        inspect(run, Wanted(step="nope"))
    with pytest.raises(RecipeError, match=r"there are: .*too_short"):
        inspect(run, Wanted(reason="nope"))


def test_distributions_are_of_the_rows_that_were_measured(run: RunFolder) -> None:
    """Scores by default, everything of one step when it is named; the bins add up."""
    found = {d.name: d for d in inspect(run, Wanted()).distributions}
    assert set(found) == {"label", "score", "count"}
    score = found["score"]
    assert score.rows == sum(score.bins) and 0 <= score.quantiles["0"] <= score.quantiles["100"] <= 1
    assert {"words", "word_length"} <= {d.name for d in inspect(run, Wanted(step="rules")).distributions}


def test_what_is_no_run_is_said(tmp_path: Path) -> None:
    """A missing folder, and one without a run."""
    with pytest.raises(RecipeError, match="no such run"):
        open_run(str(tmp_path / "nothing"))
    with pytest.raises(RecipeError, match="is no run"):
        open_run(str(tmp_path))


@pytest.mark.parametrize("how", ["plan", "run"])
def test_a_run_of_which_nothing_is_done(curate: Curate, tmp_path: Path, how: str) -> None:
    """A plan, and a run that failed at its first input, leave no dataset and no damage: one line, exit 2."""
    (tmp_path / "good.jsonl").write_text('{"text": "a"}\n')
    (tmp_path / "bad.jsonl.gz").write_bytes(b"no gzip")
    paths = ["good.jsonl", "bad.jsonl.gz"][: 2 if how == "run" else 1]
    recipe = write(tmp_path / "r.yaml", [step("docs", "read.jsonl", paths=paths), step("out", "write.text")])
    store = tmp_path / "run"
    if how == "run":
        assert curate.run(recipe, store).code == 3
        assert not (store / "steps").exists()
    else:
        curate("plan", recipe, "--store", store).ok()
    assert (store / "inputs.arrow").exists()
    for argv in (("check",), ("inspect", "--plain"), ("verify",), ("diff", store), ("explain", "abcd")):
        name, *more = argv
        done = curate(name, *(more if name != "explain" else ()), store, *(more if name == "explain" else ()))
        assert (done.code, done.line) == (2, f"{store}: nothing of this run is done yet; run its recipe first"), argv


def test_what_says_nothing_of_a_run(curate: Curate, small_run: Path, tmp_path: Path) -> None:
    """run.json and manifest.json that hold JSON of another kind are one line; a session is written down again."""
    broken = tmp_path / "run"
    shutil.copytree(small_run, broken, symlinks=True)
    for value in ({"sessions": 3}, {"sessions": [1]}):
        (broken / "run.json").write_text(json.dumps(value))
        curate("inspect", "--plain", broken).ok()
    (broken / "run.json").write_text("[]")
    with Session(Store(broken), ["curate", "run"]):
        pass
    assert len(json.loads((broken / "run.json").read_bytes())["sessions"]) == 1
    kept = json.loads((broken / "manifest.json").read_bytes())
    (tmp_path / "kept.json").write_text(json.dumps({**kept, "steps": ["a"]}))
    assert "is no manifest" in curate("diff", tmp_path / "kept.json", small_run).line
    (broken / "manifest.json").write_text("[1]")
    for argv in (("inspect", "--plain", broken), ("diff", broken, small_run), ("gc", broken, "--newest")):
        done = curate(*argv)
        assert (done.code, "manifest.json: is not what was written" in done.line) == (9, True)


def test_a_table_that_is_gone_is_damage(small_run: Path, tmp_path: Path) -> None:
    """Not a traceback: the file is named."""
    broken = tmp_path / "run"
    shutil.copytree(small_run, broken, symlinks=True)
    run = open_run(str(broken))
    base = next(iter(run.bases()))
    (broken / base).unlink()
    with pytest.raises(DamagedError, match="missing or cut short"):
        inspect(run, Wanted())
