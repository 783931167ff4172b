"""Cleaning answers: boilerplate, refusals, half sentences, fences."""

import pytest

from curate.stages import answers

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


def test_plain_and_unique_words_and_excerpt():
    """Answers become valid UTF-8 with LF; repetition is measured; details are one short line."""
    assert answers.plain(" a\r\nb\ud800\x00 ") == "a\nb?\ufffd"
    assert answers.unique_words("a a A b") == 0.5
    assert answers.unique_words("") == 1.0
    assert answers.excerpt("a\n b" * 60).endswith("...")
    assert len(answers.excerpt("a" * 500)) == 80
