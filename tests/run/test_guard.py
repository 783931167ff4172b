"""Guards, in real runs: what stops, what is said, and that nothing is measured twice to go on."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from command import Curate, manifest, receipts, record
from recipes import changed, step, write
from small_run import prose

from curate.errors import GuardError
from curate.recipe.recipe import Guard, Step
from curate.run.guard import check_guard
from curate.stages.filter_massivetext import MassiveText
from curate.store.records import Counts

LONG = 20
"""Documents that stay; beside them 5 are short, one of which is there twice, and 2 lines are no documents."""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A folder with documents."""
    rows = [{"id": f"l{i}", "text": prose(i, 100)} for i in range(LONG)]
    rows += [{"id": f"s{i}", "text": "Too short to stay, and so it goes."} for i in range(5)]
    lines = [json.dumps(row) for row in rows] + ["no JSON", "{"]
    (tmp_path / "docs.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path


def steps(guards: dict[str, dict[str, float]]) -> list[dict[str, Any]]:
    """A source, rules, a global step, a writer; with guards."""
    made = [
        step("docs", "read.jsonl", paths=["docs.jsonl"]),
        step("rules", "filter.massivetext", min_words=20),
        step("unique", "dedup.exact", "docs"),
        step("out", "write.text", ["rules"]),
    ]
    for each in made:
        if each["id"] in guards:
            each["guard"] = guards[each["id"]]
    return made


@pytest.mark.parametrize(
    ("guards", "said"),
    [
        ({"rules": {"max_drop": 0.19}}, r"step rules: dropped 20\.0% of 25 rows, more than its guard's max_drop 0\.19"),
        ({"rules": {"max_drop": 0.19}}, r"\(too_short 5 = 20\.0%\); look at them with 'curate inspect --plain'"),
        ({"rules": {"min_drop": 0.21}}, r"dropped 20\.0% of 25 rows, less than its guard's min_drop 0\.21 \(too_short"),
        ({"docs": {"max_drop": 0.01}}, r"step docs: dropped 7\.4% of 27 rows, more than .* \(malformed 2 = 7\.4%\)"),
        ({"unique": {"min_drop": 0.5}}, r"step unique: dropped 16\.0% of 25 rows, less than .* \(exact_duplicate 4 ="),
        ({"rules": {"max_drop_text": 0.001}}, r"dropped \d\.\d% of [\d,]+ bytes of text, more than .*max_drop_text"),
        ({"rules": {"min_drop_text": 0.5}}, r"dropped \d\.\d% of [\d,]+ bytes of text, less than .*min_drop_text 0\.5"),
    ],
)
def test_it_stops_with_the_reasons(curate: Curate, mine: Path, guards: dict, said: str) -> None:
    """More or less than the share, of rows or of text, at any kind of step: exit code 7, place, counts, shares, cure."""
    done = curate.run(write(mine / "r.yaml", steps(guards)), mine / "run")
    assert done.code == 7
    assert re.search(said, done.line), done.line
    assert re.search(r"r\.yaml:\d+: step ", done.line)
    assert not (mine / "run/manifest.json").exists() and not (mine / "run/out").exists()


def test_a_share_that_is_just_met_passes(curate: Curate, mine: Path) -> None:
    """Bounds are allowed values."""
    guards = {"rules": {"max_drop": 0.2, "min_drop": 0.2}, "unique": {"max_drop": 0.16, "min_drop_text": 0}}
    curate.run(write(mine / "r.yaml", steps(guards)), mine / "run").ok()
    assert manifest(mine / "run")["steps"]["rules"]["rows_out"] == LONG


def signals(store: Path) -> dict[str, int]:
    """Files that hold measurements, with their mtime."""
    return {str(p.relative_to(store)): p.stat().st_mtime_ns for p in (store / "signals").rglob("*.arrow")}


def test_a_wider_guard_goes_on_without_measuring_again(curate: Curate, mine: Path) -> None:
    """All that was committed is used: no receipt and no measurement is new but those of the steps behind."""
    store = mine / "run"
    assert curate.run(write(mine / "r.yaml", steps({"rules": {"max_drop": 0.1}})), store).code == 7
    before, measured = receipts(store), signals(store)
    assert before and measured
    curate.run(write(mine / "r.yaml", steps({"rules": {"max_drop": 0.3}})), store).ok()
    after = receipts(store)
    assert {k: v for k, v in after.items() if k in before} == before
    assert not any(k.startswith(("steps/docs/", "steps/rules/")) for k in set(after) - set(before))
    assert signals(store) == measured


def test_another_threshold_goes_on_without_measuring_again(curate: Curate, mine: Path) -> None:
    """The usual cure: the rule is loosened; what was measured is decided on anew."""
    store = mine / "run"
    strict = steps({"rules": {"max_drop": 0.1}})
    assert curate.run(write(mine / "r.yaml", strict), store).code == 7
    assert record(store, "rules")["counts"]["measured"] == 25
    loose = changed(strict, "rules", min_words=1, min_stop_words=0)
    curate.run(write(mine / "r.yaml", loose), store).ok()
    found = record(store, "rules")["counts"]
    assert (found["measured"], found["rows_out"]) == (0, 25)


def test_the_guard_is_no_part_of_the_results(curate: Curate, mine: Path) -> None:
    """With or without one the rows and steps are the same; only the recipe, as the manifest tells it, has one more setting."""
    for name, guards in (("with", {"rules": {"max_drop": 0.9}}), ("without", {})):
        curate.run(write(mine / "r.yaml", steps(guards)), mine / name).ok()
    told = [json.loads((mine / name / "manifest.json").read_bytes()) for name in ("with", "without")]
    for each in told:
        del each["recipe_digest"]
    assert told[0]["steps"][1].pop("guard") == {"max_drop": 0.9}
    assert told[0] == told[1]


@pytest.mark.parametrize(
    ("guard", "said"),
    [
        ({}, "it needs max_drop, min_drop, max_drop_text or min_drop_text"),
        ({"max_drop": 0.1, "min_drop": 0.2}, "no share is at least 0.2 and at most 0.1"),
        ({"max_drop_txt": 0.1}, "did you mean 'max_drop_text'?"),
        ({"max_drop_text": 7}, "less than or equal to 1"),
    ],
)
def test_what_is_no_guard(curate: Curate, mine: Path, guard: dict, said: str) -> None:
    """Exit code 2 with the line, before anything runs."""
    done = curate.run(write(mine / "r.yaml", steps({"rules": guard})), mine / "run")
    assert done.code == 2 and said in done.line and re.match(r".*r\.yaml:\d+: ", done.line)
    assert not (mine / "run").exists()


def guarded(**guard: float) -> Step:
    """A step with a guard."""
    return Step("rules", MassiveText(), None, Guard(**guard), "r.yaml:3")


def test_text_taken_out_of_rows_that_stay_counts() -> None:
    """A filter that only removes lines drops no row, and yet a share of the text."""
    counts = Counts(rows_in=10, rows_out=10, bytes_in=1_000, bytes_out=400)
    with pytest.raises(GuardError, match=r"dropped 60\.0% of 1,000 bytes of text, more than .* \(no row went\)"):
        check_guard(guarded(max_drop=0, max_drop_text=0.5), counts)
    check_guard(guarded(max_drop_text=0.6, min_drop_text=0.6), counts)


def test_many_reasons_are_summed_up() -> None:
    """The five that took most, and how much the others took."""
    reasons = {f"r{i}": 10 - i for i in range(8)}
    with pytest.raises(GuardError) as error:
        check_guard(guarded(max_drop=0), Counts(rows_in=100, rows_out=48, reasons=reasons))
    assert "(r0 10 = 10.0%, r1 9 = 9.0%, r2 8 = 8.0%, r3 7 = 7.0%, r4 6 = 6.0%, 3 other reasons 12 = 12.0%)" in str(
        error.value
    )


def test_no_rows_no_guard() -> None:
    """Of nothing no share can be told."""
    check_guard(guarded(min_drop=1, min_drop_text=1), Counts())
