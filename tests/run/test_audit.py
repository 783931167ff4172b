"""`curate audit`: its numbers against a slow twin that takes one document and one rule at a time, and against a run."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from command import Curate, manifest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field
from recipes import step, write
from rule_breakers import TEXTS
from small_run import prose

from curate.recipe.plan import Plan, make_plan
from curate.recipe.recipe import load_recipe
from curate.run.audit import Audit, Auditor
from curate.run.audit_task import AuditCounts
from curate.run.cluster import Runner
from curate.stages import registry
from curate.stages.base import Context, Filter, Signals
from curate.stages.bounds import Bound
from curate.stages.catalog import Unhashed
from curate.stages.source import SetAside, Source
from curate.text.batch import Batch


class NoSpam(Filter):
    """A filter that edits: it takes lines with 'spam' out, and drops what is mostly spam."""

    name: ClassVar[str] = "filter.no_spam"
    reasons: ClassVar[Mapping[str, str]] = {"spam": "too many lines with spam"}
    bounds: ClassVar = (Bound("spam", "spam_lines", ">", "max_spam"),)
    signals: ClassVar[Mapping[str, pa.DataType]] = {"spam_lines": pa.int64()}
    max_spam: int = Field(3, description="lines")

    def measure(self, docs: Batch, ctx: Context) -> Signals:
        lines = [sum("spam" in line for line in t.split("\n")) for t in docs.text.to_pylist()]
        return {"spam_lines": pa.array(lines, pa.int64())}

    def edits(self) -> bool:
        return True

    def edit(self, docs: Batch, ctx: Context) -> pa.Array:
        kept = ["\n".join(x for x in t.split("\n") if "spam" not in x) for t in docs.text.to_pylist()]
        return pa.array(kept, pa.large_string())


@pytest.fixture
def no_spam(monkeypatch: pytest.MonkeyPatch) -> None:
    """The filter above, known by name in this process."""
    monkeypatch.setitem(registry._registry, NoSpam.name, NoSpam)


def write_documents(folder: Path) -> None:
    """Two inputs in which rules are broken alone and together."""
    spam = [*(prose(90) + "\nspam" * n for n in range(8)), "spam\n" * 2 + "short", "spam and\n" * 40]
    texts = [t for pair in itertools.zip_longest(TEXTS, spam) for t in pair if t is not None]
    rows = [{"id": f"d{i}", "text": t, "source": "ab"[i % 2]} for i, t in enumerate(texts)]
    for name, part in (("one", rows[: len(rows) // 2]), ("two", rows[len(rows) // 2 :])):
        lines = [json.dumps(r) for r in part] + ["no JSON"]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")


def branched(*, edits: bool = False) -> list[dict[str, Any]]:
    """Two sources, a chain, a branch, a join, and what no audit reaches."""
    return [
        step("one", "read.jsonl", paths=["one.jsonl"]),
        *([step("spam", "filter.no_spam")] if edits else []),
        step("rules", "filter.massivetext", max_symbol_ratio=0.02),
        step("two", "read.jsonl", paths=["two.jsonl"]),
        step("code", "filter.code_rules", max_line_chars=90),
        step("sig", "signals.text", "rules", of=["filter.massivetext"]),
        step("few", "select.where", "sig", column="sig.words", at_most=150),
        step("labels", "label.contrast", ["rules", "code"], positive=["a"], negative=["nothing"]),
        step("unique", "dedup.exact", "labels"),
        step("late", "filter.massivetext", "unique"),
        step("out", "write.text", "late"),
    ]


def plan_of(folder: Path, steps: list[dict[str, Any]]) -> Plan:
    """A recipe's plan."""
    return make_plan(load_recipe(write(folder / "r.yaml", steps)))


def audit(plan: Plan, **how: Any) -> Audit:
    """In this process."""
    with Runner(0) as runner:
        return Auditor(plan, **how).run(runner)


# -- the twin ------------------------------------------------------------------------------------------------


def fates(
    plan: Plan, source: str, wanted: list[str], drops: bool
) -> Iterator[tuple[dict[str, list[str]], dict[str, bool]]]:
    """For each document of a source: by step the rules that it breaks, and whether it reaches the step in a run."""
    stage = plan.steps[source].stage
    assert isinstance(stage, Source)
    for split in stage.splits(plan.recipe.path.parent, Unhashed(), 1 << 30):
        for item in stage.read(split, source):
            if isinstance(item, SetAside):
                continue
            for i in range(item.num_rows):
                rows, stays = {source: item.slice(i, 1)}, {source: True}
                broken: dict[str, list[str]] = {}
                arrives: dict[str, bool] = {}
                for name in wanted:
                    (before,) = [b for b in plan.steps[name].inputs if b in rows] or [None]
                    if before is None:
                        continue
                    each = plan.steps[name].stage
                    assert isinstance(each, Filter)
                    signals = each.measure(Batch(rows[before]), Context(name, None))
                    broken[name] = [reason for reason, goes in each.rules(signals) if goes[0].as_py()]
                    arrives[name] = stays[before]
                    stays[name] = not drops or (stays[before] and not broken[name])
                    after = rows[before]
                    for column, kind in each.adds().items():
                        after = after.append_column(f"{name}.{column}", signals[column].cast(kind))
                    if each.edits():
                        text = each.edit(Batch(rows[before]), Context(name, None))
                        after = after.set_column(after.schema.get_field_index("text"), "text", text)
                    rows[name] = after
                yield broken, arrives


def twin(plan: Plan, wanted: list[str], counted: list[str], *, drops: bool = True) -> dict[str, Any]:
    """The audit's numbers, document by document."""
    found: dict[str, Any] = {"documents": 0, "broken": 0}
    steps: dict[str, Counter[str]] = {name: Counter() for name in counted}
    rules: dict[tuple[str, str], Counter[str]] = {}
    pairs: Counter[tuple[tuple[str, str], tuple[str, str]]] = Counter()
    for source in (s.id for s in plan.steps.values() if isinstance(s.stage, Source)):
        for broken, arrives in fates(plan, source, wanted, drops):
            if not set(broken) & set(counted):
                continue
            every = [(name, reason) for name in broken if name in counted for reason in broken[name]]
            found["documents"] += 1
            found["broken"] += bool(every)
            for name, reasons in broken.items():
                if name in counted:
                    sums = steps[name]
                    sums.update(documents=1, broken=bool(reasons), arrived=arrives[name])
                    sums.update(dropped=arrives[name] and bool(reasons))
                    if reasons and arrives[name]:
                        rules.setdefault((name, reasons[0]), Counter()).update(first=1)
            for rule in every:
                rules.setdefault(rule, Counter()).update(broken=1, only=len(every) == 1)
            pairs.update(itertools.combinations(every, 2))
    return {**found, "steps": steps, "rules": rules, "pairs": pairs}


def compare(found: Audit, expected: dict[str, Any]) -> None:
    """All numbers of both."""
    assert (found.documents, found.broken) == (expected["documents"], expected["broken"])
    names = ("documents", "broken", "arrived", "dropped")
    assert {s.step: {n: getattr(s, n) for n in names} for s in found.steps} == {
        step: {n: sums[n] for n in names} for step, sums in expected["steps"].items()
    }
    for rule in found.rules:
        sums = expected["rules"].pop((rule.step, rule.reason), Counter())
        assert (rule.broken, rule.only, rule.first) == (sums["broken"], sums["only"], sums["first"]), rule
    assert not expected["rules"]
    assert {(p.one, p.other): p.both for p in found.pairs} == expected["pairs"]


WANTED = ["spam", "rules", "code", "sig", "few", "labels"]


@pytest.mark.parametrize("edits", [False, True])
def test_numbers_are_those_of_the_twin(tmp_path: Path, no_spam: None, edits: bool) -> None:
    """Every count of every rule, of pairs and of steps, through chains, branches, joins and edits of the text."""
    write_documents(tmp_path)
    plan = plan_of(tmp_path, branched(edits=edits))
    wanted = WANTED if edits else WANTED[1:]
    found = audit(plan)
    compare(found, twin(plan, wanted, wanted))
    assert found.set_aside == 2
    assert found.left_out == {"unique": "compares documents with each other", "late": "comes after 'unique'"}
    assert [s.step for s in found.steps] == wanted
    assert any(p.one[0] != p.other[0] for p in found.pairs), "also rules of different steps go together"
    if edits:
        assert found.steps[0].bytes_out < found.steps[0].bytes_in


def test_one_step_alone(tmp_path: Path, no_spam: None) -> None:
    """Its rules only, on all documents, but on the text and the columns that steps above it make."""
    write_documents(tmp_path)
    plan = plan_of(tmp_path, branched(edits=True))
    for name in ("rules", "few", "labels"):
        found = audit(plan, only=name)
        compare(found, twin(plan, WANTED, [name], drops=False))
        assert [s.step for s in found.steps] == [name] and found.left_out == {}


def test_first_is_what_a_run_drops(curate: Curate, tmp_path: Path) -> None:
    """On the same sample the column 'in a run' is a run's own counts."""
    write_documents(tmp_path)
    recipe = write(tmp_path / "r.yaml", branched()[:8])
    found = json.loads(curate("audit", recipe, "--sample", 0.6, "--json").ok().out)
    curate.run(recipe, tmp_path / "run", "--sample", 0.6).ok()
    made = manifest(tmp_path / "run")["steps"]
    assert 0 < found["documents"] < 100
    for each in found["steps"]:
        firsts = {r["reason"]: r["first"] for r in found["rules"] if r["step"] == each["step"] and r["first"]}
        assert firsts == made[each["step"]]["reasons"], each
        assert each["arrived"] == made[each["step"]]["rows_in"]


def test_workers_change_nothing(curate: Curate, tmp_path: Path) -> None:
    """On Dask as in one process; and no file is left behind, beside the recipe or in a run's folder."""
    write_documents(tmp_path)
    recipe = write(tmp_path / "r.yaml", branched())
    here = curate("audit", recipe, "--json", "--workers", 0, cwd=tmp_path).ok().out
    there = curate("audit", recipe, "--json", "--workers", 1, cwd=tmp_path).ok().out
    assert here == there
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one.jsonl", "r.yaml", "two.jsonl"]


def test_limit_takes_the_first_of_each_source(tmp_path: Path) -> None:
    """As many documents of each source, those that a run with --limit reads."""
    write_documents(tmp_path)
    found = audit(plan_of(tmp_path, branched()), limit=10)
    assert found.documents == 20 and found.limit == 10
    assert found.sample == 1.0


def test_receipts_add_up_in_any_order(tmp_path: Path) -> None:
    """Counts of two tasks, one way and the other."""
    write_documents(tmp_path)
    plan = plan_of(tmp_path, branched())
    whole = audit(plan)
    receipts = []
    for name in ("one", "two"):
        counts = AuditCounts()
        auditor = Auditor(plan)
        for tree in auditor._trees:
            if tree.source.id == name:
                task = auditor._task(None, tree, auditor._splits[name][0], None)
                counts.merge(json.loads(json.dumps(task.work())))
        receipts.append(counts.receipt())
    for order in (receipts, receipts[::-1]):
        counts = AuditCounts()
        for receipt in order:
            counts.merge(receipt)
        assert dataclasses.asdict(auditor._found(counts)) == dataclasses.asdict(whole)


def test_what_a_person_sees(curate: Curate, tmp_path: Path) -> None:
    """Rules with what they compare, shares that fit the counts, pairs, and what was not audited."""
    write_documents(tmp_path)
    recipe = write(tmp_path / "r.yaml", branched())
    out = curate("audit", recipe).ok().out
    found = json.loads(curate("audit", recipe, "--json").ok().out)
    short = next(r for r in found["rules"] if (r["step"], r["reason"]) == ("rules", "too_short"))
    documents = found["steps"][0]["documents"]
    line = re.search(
        r"^  too_short +words < 50 +(\d+) +([\d.]+)% +(\d+) +([\d.]+)% +(\d+) +([\d.]+)%$", out, re.MULTILINE
    )
    assert line
    assert [int(line[i]) for i in (1, 3, 5)] == [short["broken"], short["only"], short["first"]]
    assert float(line[2]) == pytest.approx(100 * short["broken"] / documents, abs=0.051)
    assert re.search(r"chars > 1,000,000 or .*\n +lines > 100,000$", out, re.MULTILINE)
    assert "unique (dedup.exact): it compares documents with each other" in out
    assert "sig " not in out, "a step without rules has no place in the table"
    assert max(map(len, out.splitlines())) <= 100
    for columns in (80, 120):
        shown = re.sub(
            r"\x1b\[[0-9;?]*[a-zA-Z]", "", curate.on_terminal("audit", recipe, columns=columns, NO_COLOR="1")
        )
        lines = shown[shown.index("test: ") :].splitlines()
        assert [x for x in lines if len(x) > columns] == [] and "…" not in shown


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("--step", "unique"), "step 'unique' can't be audited: it compares documents with each other; these can be"),
        (("--step", "late"), "it comes after 'unique'"),
        (("--step", "one"), "it is no filter"),
        (("--step", "nope"), "the recipe has no step 'nope'; it has: one, rules"),
        (("--sample", 0), "--sample must be more than 0"),
    ],
)
def test_mistakes_are_one_line(curate: Curate, tmp_path: Path, argv: tuple, said: str) -> None:
    """Exit code 2 and what can be audited."""
    write_documents(tmp_path)
    done = curate("audit", write(tmp_path / "r.yaml", branched()), *argv)
    assert done.code == 2 and said in done.line


def test_nothing_to_audit(curate: Curate, tmp_path: Path) -> None:
    """No filter at all; no such file: what is wrong, and where."""
    write_documents(tmp_path)
    only = [step("one", "read.jsonl", paths=["one.jsonl"]), step("out", "write.text")]
    assert "no filter comes" in curate("audit", write(tmp_path / "r.yaml", only)).line
    missing = [step("one", "read.jsonl", paths=["no.jsonl"]), step("rules", "filter.massivetext")]
    done = curate("audit", write(tmp_path / "r.yaml", missing))
    assert done.code == 3 and "r.yaml:4" in done.line


def test_a_null_condition_breaks_no_rule() -> None:
    """As in a run."""
    from curate.run.audit_task import _flags

    assert _flags(pc.less(pa.array([1, None, 3]), 2)).tolist() == [True, False, False]
    assert _flags(pa.array([], pa.bool_())).dtype == np.bool_


@given(st.lists(st.lists(st.booleans(), min_size=4, max_size=4), min_size=1, max_size=30))
def test_counting_together(rows: list[list[bool]]) -> None:
    """Only it, pairs and any, for whatever documents break."""
    names = [("s", reason) for reason in "abcd"]
    counts = AuditCounts()
    counts._together(names, np.array(rows, bool).T)
    assert counts.broken == sum(map(any, rows))
    for i, name in enumerate(names):
        assert counts.rules[name]["only"] == sum(row[i] and sum(row) == 1 for row in rows)
    expected = {(names[i], names[j]): sum(r[i] and r[j] for r in rows) for i, j in itertools.combinations(range(4), 2)}
    assert counts.pairs == {pair: both for pair, both in expected.items() if both}
