"""signals.text: columns are the filters' own measurements; their names, their identity, their thresholds."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from command import Curate, manifest, record
from exchange import CONTEXT, batch
from pydantic import ValidationError
from recipes import step, write
from rule_breakers import TEXTS

from curate.stages import load_all
from curate.stages.filter_code_rules import CodeRules
from curate.stages.filter_fineweb import FineWeb
from curate.stages.filter_massivetext import MassiveText
from curate.stages.signals_text import PROSE, SignalsText
from curate.store.files import Store
from curate.store.parts import read_part
from curate.store.records import Part

load_all()
STAGES = (MassiveText, FineWeb, CodeRules)
THREE = ["filter.massivetext", "filter.fineweb", "filter.code_rules"]


def test_one_filter_gives_its_own_names() -> None:
    """Exactly what the filter measures, by the same names."""
    docs = batch([*TEXTS, None])
    stage = SignalsText(of=["filter.massivetext"])
    assert dict(stage.measure(docs, CONTEXT)) == dict(MassiveText().measure(docs, CONTEXT))
    assert stage.adds() == MassiveText.signals
    assert stage.decide(stage.measure(docs, CONTEXT)).null_count == len(docs)


def test_names_that_two_filters_share_carry_the_filters_names() -> None:
    """Each signal once, under a name that says whose it is; those of one filter alone stay short."""
    docs = batch(list(TEXTS))
    found = SignalsText(of=THREE).measure(docs, CONTEXT)
    every = [(each.name.removeprefix("filter."), each().measure(docs, CONTEXT)) for each in STAGES]
    shared = {s for (_, one), (_, other) in itertools.combinations(every, 2) for s in set(one) & set(other)}
    assert shared == {"words", "lines"}
    expected = {f"{name}_{s}" if s in shared else s: v for name, signals in every for s, v in signals.items()}
    del expected["extension"]  # a text is no column
    assert dict(found) == expected


def test_defaults_are_filters_that_exist() -> None:
    """What is measured unless the recipe says otherwise can be measured."""
    assert SignalsText().of == list(PROSE)
    assert SignalsText().adds()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"of": ["filter.massivetex"]}, "did you mean 'filter.massivetext'?"),
        ({"of": ["filter.massivetext"] * 2}, "names a filter twice"),
        ({"of": ["dedup.exact"]}, "dedup.exact is no filter that measures text"),
        ({"of": ["signals.text"]}, "signals.text is no filter that measures text"),
        ({"of": ["score.classifier"]}, "'classifier'"),
        ({"of": ["decontaminate"], "settings": {"decontaminate": {"against": ["humaneval"]}}}, "make it a step"),
        (
            {"of": THREE, "settings": {"filter.massivetext": {"min_word": 1}}},
            "filter.massivetext has no setting 'min_word'",
        ),
        ({"settings": {"filter.code_rules": {}}}, "settings for 'filter.code_rules', which is not in 'of'"),
        ({"of": []}, "at least 1"),
    ],
)
def test_what_it_refuses(settings: dict, said: str) -> None:
    """A wrong name, a stage that is no such filter, settings of nobody: said in a user's words."""
    with pytest.raises(ValidationError) as error:
        SignalsText.model_validate(settings)
    assert said in str(error.value)


def test_identity_is_that_of_what_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thresholds change nothing, another order or a filter's new revision does."""
    one = SignalsText(of=THREE).fingerprint()
    assert SignalsText(of=THREE, settings={"filter.massivetext": {"min_words": 3}}).fingerprint() == one
    assert SignalsText(of=THREE[::-1]).fingerprint() != one
    monkeypatch.setattr(MassiveText, "revision", MassiveText.revision + 1)
    assert SignalsText(of=THREE).fingerprint() != one


def test_thresholds_are_those_of_the_filters() -> None:
    """By column: the defaults, or the settings given."""
    stage = SignalsText(of=THREE, settings={"filter.massivetext": {"min_words": 3}})
    found = {(t.signal, t.op, t.value) for t in stage.thresholds()}
    assert {("massivetext_words", "<", 3), ("digits", ">", 0.3)} <= found


def test_a_run_cuts_on_a_signal(curate: Curate, tmp_path: Path) -> None:
    """Columns in the rows, numbers and flags; select.where reads both; the column is what the filter measured."""
    rows = [{"id": str(i), "text": text} for i, text in enumerate(TEXTS)]
    (tmp_path / "docs.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    steps = [
        step("docs", "read.jsonl", paths=["docs.jsonl"]),
        step("sig", "signals.text", of=THREE),
        step("handmade", "select.where", column="sig.generated", at_most=0),
        step("long", "select.where", column="sig.massivetext_words", at_least=40),
    ]
    curate.run(write(tmp_path / "r.yaml", steps), tmp_path / "run").ok()
    made = manifest(tmp_path / "run")["steps"]
    words = [len(r["text"].split()) for r in rows if "GENERATED" not in r["text"]]
    assert made["sig"]["rows_out"] == len(rows)
    assert made["long"]["reasons"] == {"below_threshold": sum(n < 40 for n in words)}
    assert made["handmade"]["reasons"] == {"above_threshold": 1}
    (part,) = [Part.load(p) for p in record(tmp_path / "run", "long")["parts"]]
    for visible in read_part(Store(tmp_path / "run"), part):
        for row in visible.rows.to_pylist():
            assert row["sig.massivetext_words"] == row["sig.fineweb_words"] == len(row["text"].split())
            assert row["sig.generated"] is False
