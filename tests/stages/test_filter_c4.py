"""filter.c4: a planted text for each reason and each rule on lines, and what is left of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from curate.stages.base import Context
from curate.stages.filter_c4 import C4
from curate.text.batch import Batch

GOOD = [
    "The cat sat on the mat all day long.",
    'It said "hello" to the old dog!',
    "Did the dog answer in the end?",
    "No, it went to sleep again.",
    'She called it "a very good dog"',
]
CONTEXT = Context("step", None)


def batch(*texts: str) -> Batch:
    return Batch(pa.RecordBatch.from_arrays([pa.array(texts, pa.large_string())], ["text"]))


def run(text: str, context: Context = CONTEXT, **settings: Any) -> tuple[str | None, str, dict[str, int]]:
    """(reason, what is left, signals) of one text."""
    stage = C4(**settings)
    signals = stage.measure(batch(text), context)
    assert {name: column.type for name, column in signals.items()} == dict(stage.signals)
    reason = stage.decide(signals)[0].as_py()
    return reason, stage.edit(batch(text), context)[0].as_py(), {k: v[0].as_py() for k, v in signals.items()}


@pytest.mark.parametrize(
    ("line", "signal", "setting"),
    [
        ("A line of a menu without an end", "unended_chars", {"terminal_punctuation": False}),
        ("A line that goes on and on...", "unended_chars", {"terminal_punctuation": False}),
        ("Only four words here.", "short_line_chars", {"min_line_words": 4}),
        ("One word is too long: " + "x" * 1001 + ".", "long_word_chars", {"max_word_chars": 1002}),
        ("You have to turn JavaScript on for this.", "javascript_chars", {"javascript": False}),
        ("By staying here you accept our Terms of Use.", "policy_chars", {"policy": False}),
        ("We have a new Privacy Policy for you all.", "policy_chars", {"policy": False}),
        ("This page says in what way it uses cookies.", "policy_chars", {"policy": False}),
        ("Our use of cookies is a thing to know.", "policy_chars", {"policy": False}),
        ("This page may use coo\u212aies as it likes.", "policy_chars", {"policy": False}),
    ],
)
def test_a_line_goes(line: str, signal: str, setting: dict[str, Any]) -> None:
    """Each rule on lines removes its line and counts its characters; without the rule the line stays."""
    text = "\n".join([*GOOD[:2], line, *GOOD[2:]])
    reason, left, signals = run(text)
    assert reason is None
    assert left == "\n".join(GOOD)
    assert signals[signal] == signals["removed_chars"] == len(line)
    assert (signals["lines"], signals["removed_lines"]) == (6, 1)
    assert run(text, **setting)[1] == text


def test_citations_are_cut_out() -> None:
    """Their characters are counted; what stands behind them is the end of the line."""
    text = "\n".join([*GOOD, "As it is said,[12] so it is done here.[citation needed]"])
    _, left, signals = run(text)
    assert left.splitlines()[-1] == "As it is said, so it is done here."
    assert signals["citation_chars"] == signals["removed_chars"] == len("[12][citation needed]")
    assert run(text, citations=False)[1] == "\n".join(GOOD)


def test_an_edited_text_stays_as_it_is() -> None:
    """Removing lines twice is removing them once."""
    text = "Menu\n" + "\n".join(GOOD) + "\n\n  A line with white space around it, as it is.  \r\nthe end"
    for counting in ("paper", "datatrove", "dolma"):
        left = run(text, counting=counting)[1]
        assert left != text
        assert run(left, counting=counting)[1] == left


def test_each_reason(tmp_path: Path) -> None:
    """A planted text for each reason, tried in order, and the setting that lets it pass."""
    good = "\n".join(GOOD)
    bad = tmp_path / "bad.txt"
    bad.write_text("old dog\n\n  Mat \nno such\n")
    context = Context("step", None, {"bad_words": bad})
    cases: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
        "lorem_ipsum": (good + "\nThe text is Lorem Ipsum and nothing else.", {}, {"lorem_ipsum": False}),
        "javascript": (good + "\njavascript", {"counting": "dolma"}, {"javascript": False}),
        "curly_bracket": (good + "\nThis is how a { block } begins here.", {}, {"curly_bracket": False}),
        "too_few_sentences": ("\n".join(GOOD[:2]), {}, {"min_sentences": 2}),
        "too_few_paragraphs": (good, {"min_paragraphs": 3}, {"paragraph_chars": 25}),
        "bad_words": (good, {"bad_words": str(bad)}, {"bad_words": None}),
        "empty": ("Menu\nMore", {"min_sentences": 0}, {"terminal_punctuation": False, "min_line_words": 0}),
    }
    assert list(cases) == list(C4.reasons)
    for reason, (text, settings, cure) in cases.items():
        assert run(text, context, **settings)[0] == reason
        assert run(text, context, **{**settings, **cure})[0] is None, reason


def test_bad_words_touch_no_letter(tmp_path: Path) -> None:
    """As in C4: an entry within a word is none; signs and accented letters around it are what Python says."""
    bad = tmp_path / "bad.txt"
    bad.write_text("cat\nc++\n")
    context = Context("step", None, {"bad_words": bad})
    given = {"counting": "datatrove", "bad_words": str(bad), "min_sentences": 0}
    for text, found in {
        "The Cat sat on a mat.": 1,
        "The category is on a mat.": 0,
        "The cat_ sat on a mat.": 0,
        "The \u00e9cat sat on a mat.": 0,
        "A (cat)-like thing is here.": 1,
        "We write it in C++, not in C.": 1,
        "A cat\nThe end of the text is here.": 0,
    }.items():
        assert run(text, context, **given)[2]["bad_words"] == found, text


def test_ways_of_counting_differ() -> None:
    """What makes them other filters, one text each."""
    three = "\n".join(["Three words here."] * 5)
    assert [run(three, counting=c)[2]["short_line_chars"] for c in ("paper", "datatrove", "dolma")] == [85, 0, 0]
    quote = "it ends in an apostrophe'"
    assert [run(quote, counting=c)[2]["unended_chars"] for c in ("paper", "datatrove", "dolma")] == [25, 0, 25]
    dots = "it goes on and on..."
    assert [run(dots, counting=c)[2]["unended_chars"] for c in ("paper", "datatrove", "dolma")] == [20, 20, 0]
    cited = "It is what [12] it is."
    assert [run(cited, counting=c, min_line_words=6)[2]["short_line_chars"] for c in ("paper", "datatrove")] == [18, 0]
    assert run("  Stays as it is here.  \r\nno\n", counting="dolma")[1] == "  Stays as it is here.  \r\n"


def test_thresholds_are_decided_later() -> None:
    """Settings that only rules read do not change what is measured."""
    one, other = C4(), C4(min_sentences=9, lorem_ipsum=False, min_paragraphs=2)
    assert one.measure_fingerprint() == other.measure_fingerprint()
    assert one.measure_fingerprint() != C4(counting="datatrove").measure_fingerprint()
