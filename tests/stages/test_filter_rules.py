"""filter.text_rules: each rule fires on what it is for, good documents pass all."""

from __future__ import annotations

import pytest
from exchange import CONTEXT, batch

from curate.stages.filter_text_rules import TextRules

PROSE = "\n".join(
    f"The sum of {n} numbers can be found with a loop that walks over them, and it has to be done in order."
    for n in "abcdefgh"
)

TEXTS = {
    None: PROSE,
    "too_short": "The end of the story.",
    "too_long": "the cat and dog be good to me. " * 20_000,
    "word_length": "a b the be of to c d . " * 20,
    "symbols": PROSE.replace("numbers", "#numbers#").replace("loop", "#loop"),
    "few_alpha_words": PROSE + " 12345 ++ ---- == 333" * 40,
    "mostly_digits": "The table of and with " + "a12345678b " * 60,
    "no_stop_words": "eins zwei drei vier fuenf sechs sieben acht neun zehn elf\n" * 9,
    "bullets": "\n".join(f"- the item number {i} of the list and its name, to be read." for i in range(20)),
    "ellipsis_lines": "\n".join(f"The story of number {i} and how it came to be read..." for i in range(20)),
    "duplicate_lines": (PROSE.split("\n")[0] + "\n") * 5,
    "short_lines": "\n".join(f"link to the page and {i}." for i in range(40)),
    "unended_lines": "\n".join(
        f"The headline of article number {i} and what is to be said about it" for i in range(20)
    ),
    "shouting": PROSE.upper(),
}


@pytest.mark.parametrize("reason", TEXTS)
def test_text_rules(reason):
    """The one rule that a document breaks is its reason."""
    stage = TextRules()
    assert stage.decide(stage.measure(batch([TEXTS[reason]]), CONTEXT)).to_pylist() == [reason]


def test_every_reason_is_documented_and_has_an_example():
    """Reasons in the documentation are those that occur, in order; all settings but names are thresholds."""
    assert list(TextRules.reasons) == [r for r in TEXTS if r]
    assert TextRules.decide_settings == set(TextRules.model_fields)


def test_empty_null_and_no_rows():
    """Rows without text are too short; no rows give no reasons."""
    stage = TextRules()
    assert stage.decide(stage.measure(batch(["", None]), CONTEXT)).to_pylist() == ["too_short"] * 2
    assert stage.decide(stage.measure(batch([]), CONTEXT)).to_pylist() == []
