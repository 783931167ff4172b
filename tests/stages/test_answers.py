"""Cleaning answers: boilerplate, refusals, half sentences, fences."""

import json

import pytest
from answer_table import BODY as BODIES
from answer_table import INNOCENT, LOOKS_WRAPPED, REFUSALS, WRAPPINGS
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.stages import answers, forms
from curate.stages.phrases import LANGUAGES

BODY = "# Lists\n\nA list keeps things in order."


@pytest.mark.parametrize("wrapped", [
    "Sure! Here is a short section on lists:\n\n" + BODY,
    "Certainly! Here's the passage you asked for.\n\n" + BODY,
    "Sure, here is a section:\n\n" + BODY,
    "Here is a short textbook section:\n" + BODY,
    "Of course.\n" + BODY,
    BODY + "\n\nI hope this helps! Let me know if you have questions.",
    "```markdown\n" + BODY + "\n```",
    "Sure!\n\n```markdown\n" + BODY + "\n```\n",
])  # fmt: skip
def test_boilerplate_goes(wrapped):
    """What a chat model says around a text is no part of it."""
    assert answers.unwrap(answers.plain(wrapped)) == BODY


@pytest.mark.parametrize("text", [
    "Here is the key: a list is a sequence.",
    "Sure-footed goats climb.",
    "Okay is a word that people use.",
    "Greater numbers come last.",
    "Certain words matter.",
    BODY,
])  # fmt: skip
def test_texts_that_only_look_like_it_stay(text):
    """A first sentence that begins like boilerplate is kept."""
    assert answers.unwrap(text) == text


@pytest.mark.parametrize("text", ["I'm sorry, but I can't help.", "I cannot do that", "As an AI language model, I", "Sorry, no.",
                                  "I’m sorry", "Unfortunately, I can't", "I am unable to", "I apologize, but"])  # fmt: skip
def test_refusals_are_known(text):
    """By their first words, or by the server's finish_reason."""
    assert answers.refused(text, "stop")
    assert answers.refused("anything", "content_filter")
    assert answers.refused("This is against our policy.", "refusal")


@pytest.mark.parametrize("text", ["I can explain lists.", "Sorry is not a keyword.", BODY, "I amount to a sum."])
def test_ordinary_text_is_no_refusal(text):
    """Words that a refusal also has do not make one."""
    assert not answers.refused(text, "stop")


def is_refused(text):
    """As stages ask: of the answer and of what is left without its openings."""
    given = answers.plain(text)
    return answers.refused(given, "stop") or answers.refused(answers.unwrap(given), "stop")


def test_refusals_in_ten_languages():
    """Planted truth: of 84 refusals and 61 texts that begin alike at least 97 % each are told right; each language has some."""
    found = [is_refused(text) for _, text in REFUSALS]
    wrongly = [text for _, text in INNOCENT if is_refused(text)]
    recall, precision = sum(found) / len(REFUSALS), sum(found) / (sum(found) + len(wrongly))
    assert recall >= 0.97, [text for (_, text), there in zip(REFUSALS, found, strict=True) if not there]
    assert precision >= 0.97, wrongly
    assert {language for language, _ in REFUSALS} == {language for language, _ in INNOCENT} == set(LANGUAGES)


def test_a_long_story_that_begins_with_an_apology_is_none():
    """What only regrets is a refusal where there is hardly anything else."""
    assert answers.refused("I'm sorry.", "stop")
    assert not answers.refused("I'm sorry. " + BODIES["en"] * 3, "stop")


@pytest.mark.parametrize(("language", "wrapping"), WRAPPINGS)
def test_what_is_said_around_a_text_goes(language, wrapping):
    """Openings, labels, thoughts, closings; in ten languages."""
    assert answers.unwrap(answers.plain(wrapping.replace("{}", BODIES[language]))) == BODIES[language]


@pytest.mark.parametrize("text", LOOKS_WRAPPED)
def test_what_only_looks_like_a_wrapping_stays(text):
    """First and last sentences of real texts."""
    assert answers.unwrap(text) == text


def test_thoughts_go():
    """What reasoning models think before they answer; an answer that was cut while it thought is empty."""
    assert answers.plain("<think>Hm.\nWell.</think>\nA list.") == "A list."
    assert answers.plain("<think>Hm. And th") == ""
    assert answers.plain("A tag <think> in HTML.") == "A tag <think> in HTML."


@given(st.text(max_size=300))
@settings(max_examples=50)
def test_cleaning_is_total_and_settles(text):
    """Whatever a model says: no error, and what was cleaned is clean."""
    once = answers.unwrap(answers.plain(text))
    answers.refused(once, "stop")
    forms.json_value(text), forms.pairs(text), forms.entries(text), forms.table_rows(text), forms.code_blocks(text)
    assert once in answers.plain(text)


@pytest.mark.parametrize(("text", "whole"), [
    ("One. Two. Thr", "One. Two."),
    ("No end here", ""),
    ("Before.\n```python\nx = 1.\ny =", "Before."),
    ("Before.\n```python\nx = 1\n```\nAfter is cu", "Before.\n```python\nx = 1\n```"),
    ("Before.\n```python\nx = 1\n```\nAfter. And cu", "Before.\n```python\nx = 1\n```\nAfter."),
    ("Before.\n```python\nx = 1\n```", "Before.\n```python\nx = 1\n```"),
    ('He said "stop." Then', 'He said "stop."'),
    ("Version 3.11 is", ""),
])  # fmt: skip
def test_cut_answers_keep_whole_sentences(text, whole):
    """A half sentence and an open fence go; a closed block stays."""
    assert answers.whole_sentences(text) == whole


def test_code_blocks():
    """Closed Python blocks and the open one; other languages are none."""
    text = "a\n```python\nx = 1\n```\nb\n```bash\nls\n```\n```\ny = 2\n```\n```py\nz ="
    assert answers.code_blocks(text) == (["x = 1\n", "y = 2\n"], "z =")
    assert answers.code_blocks("no code") == ([], None)


@pytest.mark.parametrize(("text", "found"), [
    ("```python\nx = 1\n```", [("python", "x = 1\n", True)]),
    ("~~~\nx\n```\n~~~", [("", "x\n```\n", True)]),
    ("````\n```py\nx\n```\n````", [("", "```py\nx\n```\n", True)]),
    ("```markdown\na\n```python\nx\n```\nb\n```", [("markdown", "a\n```python\nx\n```\nb\n", True)]),
    ("```python\nx = 1\n```python\ny = 2\n```", [("python", "x = 1\n", True), ("python", "y = 2\n", True)]),
    ("```python\nx = 1", [("python", "x = 1", False)]),
    ("``` {.python}\nx\n```", [("python", "x\n", True)]),
    ("inline ``` is none", []),
])  # fmt: skip
def test_fenced_blocks(text, found):
    """Longer fences hold shorter ones, Markdown holds code; one that was never closed ends where another begins."""
    assert [(b.tag, b.content, b.closed) for b in forms.blocks(text)] == found


def test_python_under_another_tag_is_python():
    """And what is something else under a tag of something else is not."""
    code = "def f(x):\n    return x\n"
    for tag in ("javascript", "text", "java", "Python3", "py3"):
        assert answers.code_blocks(f"```{tag}\n{code}```") == ([code], None)
    assert answers.code_blocks("```javascript\nfunction f(x) { return x }\n```") == ([], None)
    assert answers.code_blocks(f"```markdown\n# F\n```python\n{code}```\n```")[0] == [code]


@pytest.mark.parametrize(("text", "value"), [
    ('{"a": [1, 2]}', {"a": [1, 2]}),
    ('Sure!\n```json\n["a", "b",]\n```\nDone.', ["a", "b"]),
    ('The topics are ["a", "b"], as you see.', ["a", "b"]),
    ('```\n[{"t": "a"}, {"t": "b"}, {"t": "c', [{"t": "a"}, {"t": "b"}]),
    ('["a", "b, c", "d', ["a", "b, c"]),
    ('{"title": "x", "sections": [{"title": "y", "about": "z"}, {"ti', {"title": "x", "sections": [{"title": "y", "about": "z"}]}),
    ('{"a": "br}ace"}', {"a": "br}ace"}),
    ("no JSON", None),
    ("[1, 2", [1]),
    ("[" * 5000, None),
    ("{'a': 1}", None),
])  # fmt: skip
def test_json_is_read_generously(text, value):
    """In a fence of any tag, among words, with a comma too many, cut off."""
    assert forms.json_value(text) == value


@given(
    st.recursive(st.integers() | st.text(max_size=5), lambda s: st.lists(s) | st.dictionaries(st.text(max_size=3), s), max_leaves=8),
    st.integers(0, 200),
)  # fmt: skip
@settings(max_examples=50)
def test_json_that_was_cut_keeps_what_was_whole(value, at):
    """Whole JSON is read as it is; of a list that was cut, its first whole entries."""
    value = [value, "x"]
    text = json.dumps(value)
    assert forms.json_value(text) == value
    found = forms.json_value(text[: min(at, len(text) - 1)])
    assert found is None or isinstance(found, list)


def test_lists_tables_and_questions():
    """Marks go; a table needs its rule; questions are told by their labels, else by their marks."""
    assert forms.entries("Here:\n1. **Atoms**\n2) Bonds\n- `Salts`\n") == ["Atoms", "Bonds", "Salts"]
    assert forms.entries("Atoms\nBonds") == ["Atoms", "Bonds"]
    assert forms.table_rows("| a | b |\n|---|:--|\n| 1 | 2 |\n| 3 | 4 |\n\nx") == 2
    assert forms.table_rows("| a | b |\n| 1 | 2 |") == 0
    assert forms.pairs("Question: Why?\nAnswer: So.\n\nQuestion 2: How?\nAnswer: Thus\nit is.") == [
        ("Why?", "So."),
        ("How?", "Thus\nit is."),
    ]
    assert forms.pairs("**Q1:** Why\n**A1:** So.") == [("Why", "So.")]
    assert forms.pairs("### What is it?\n\nA list.\n\n### And then?\n") == [("What is it?", "A list.")]


def test_plain_and_unique_words_and_excerpt():
    """Answers become valid UTF-8 with LF; repetition is measured; details are one short line."""
    assert answers.plain(" a\r\nb\ud800\x00 ") == "a\nb?\ufffd"
    assert answers.unique_words("a a A b") == 0.5
    assert answers.unique_words("") == 1.0
    assert answers.excerpt("a\n b" * 60).endswith("...")
    assert len(answers.excerpt("a" * 500)) == 80


def test_copied():
    """Runs of eight words; nothing of a short text."""
    words = [f"w{i}" for i in range(40)]
    assert answers.copied(" ".join(words), " ".join(words)) == 1.0
    assert answers.copied(" ".join(words[:20] + [f"x{i}" for i in range(20)]), " ".join(words)) == pytest.approx(
        13 / 33
    )
    assert answers.copied("short", "short") == 0.0


def test_what_shows_how_it_was_asked():
    """Marks of a quotation and eight words in a row of what was told, whatever case and signs; not what the quotation says, nor
    what is no part of what may not be said."""
    told = "Let the extract suggest the setting, and never mention that there is one."
    document = "One two three four five six seven eight nine ten."
    messages = [
        {"role": "system", "content": "You write textbooks for those who begin and know nothing yet."},
        {"role": "user", "content": f"<document 0a1b2c>\n{document}\n</document 0a1b2c>\n\n{told} Topic: how the moon pulls at the sea, twice each day"},
    ]  # fmt: skip
    assert answers.leaked("A sea. LET THE EXTRACT: suggest the setting and never, ever.", messages) == (
        "let the extract suggest the setting and never"
    )
    assert answers.leaked("You write textbooks for those who begin and know.", messages)
    assert answers.leaked("As 0a1b2c says.", messages) == "0a1b2c"
    assert answers.leaked("</document ffffff>", messages) == "</document ffffff>"
    assert answers.leaked(f"Let the extract suggest the setting. {document}", messages) == ""
    moon = "We see how the moon pulls at the sea twice each day."
    assert answers.leaked(moon, messages)
    assert answers.leaked(moon, messages, [told]) == ""
    assert answers.leaked(told, messages, [told]) and answers.leaked("As 0a1b2c says.", messages, [])
    assert answers.shown(messages) == document
