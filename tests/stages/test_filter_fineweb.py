"""filter.fineweb: a planted text for each reason."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from curate.stages.base import Context
from curate.stages.filter_fineweb import FineWeb
from curate.text.batch import Batch

LONG = [f"This is line number {i} of a text about cats and dogs." for i in range(10)]


def run(text: str, **settings: Any) -> tuple[str | None, dict[str, float]]:
    """(reason, signals) of one text."""
    stage = FineWeb(**settings)
    docs = Batch(pa.RecordBatch.from_arrays([pa.array([text], pa.large_string())], ["text"]))
    signals = stage.measure(docs, Context("step", None))
    assert {name: column.type for name, column in signals.items()} == dict(stage.signals)
    return stage.decide(signals)[0].as_py(), {k: v[0].as_py() for k, v in signals.items()}


def test_each_reason() -> None:
    """A planted text for each reason, tried in order, and the setting that lets it pass."""
    cases: dict[str, tuple[str, dict[str, Any]]] = {
        "empty": (" \n\n\t\u3000\n", {}),
        "line_punct_ratio": ("\n".join(line.rstrip(".") for line in LONG), {"min_ended_lines": 0}),
        "short_line_ratio": ("\n".join([*LONG[:3], *(f"Item {i}." for i in range(7))]), {"max_short_lines": 0.7}),
        "char_dup_ratio": ("\n".join([*LONG, LONG[0]]), {"max_duplicate_chars": 0.2}),
        "list_ratio": ("\n\n\n\n\n\n".join(LONG), {"max_newlines": 0.6}),
    }
    assert list(cases) == list(FineWeb.reasons)
    assert run("\n".join(LONG))[0] is None
    for reason, (text, cure) in cases.items():
        assert run(text)[0] == reason
        if cure:
            assert run(text, **cure)[0] is None, reason


def test_lines_are_as_they_are() -> None:
    """White space behind a full stop is the end of the line; a line of it alone is none."""
    text = "The end. \nThe end.\r\nThe end.\n \nThe end\u3002"
    signals = run(text)[1]
    assert signals["lines"] == 4
    assert signals["ended_lines"] == 0.5
    assert run(text, line_ends=".")[1]["ended_lines"] == 0.25


def test_no_ended_line_may_pass() -> None:
    """FineWeb-2's exception is for none at all, not for few."""
    none = "\n".join(line.rstrip(".") for line in LONG)
    few = "\n".join([*(line.rstrip(".") for line in LONG), "The end of the text is this line here."])
    assert run(none, allow_no_ended_line=True)[0] is None
    assert run(few, allow_no_ended_line=True)[0] == "line_punct_ratio"


def test_shares_have_the_stated_bases() -> None:
    """Duplicate characters over all but line ends; line ends over words."""
    signals = run("abcd\nabcd\nab\n")[1]
    assert signals["duplicate_chars"] == 4 / 10
    assert signals["newlines"] == 3 / 3
    assert signals["short_lines"] == 1
