"""Prompts as files: what is filled in, and how a mistake in one is said."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate import assets
from curate.errors import InputError
from curate.stages.prompts import fill, read_prompt

GOOD = """---
name: tale
version: 3
about: A tale.
system: You tell tales for {audience}.
variables:
  audience: for whom
  words: words that it uses
clauses:
  words: " It uses {words}."
examples:
  - values: {audience: cats}
    answer: Meow.
parameters: {temperature: 0.5, max_tokens: 90}
shown: Tell a tale.
---

Tell {audience} a tale.{words} Say {{audience}} and {"json": {"a": 1}}.
"""


@pytest.fixture
def read(tmp_path):
    def of(text, gives=("audience", "words", "topic")):
        path = tmp_path / "p.md"
        path.write_text(text, encoding="utf-8")
        return read_prompt(path, gives)

    return of


def test_a_prompt_becomes_a_chat(read):
    """System message, turn of example, body; doubled braces and those of JSON stay; an empty value takes its clause along."""
    prompt = read(GOOD)
    assert (prompt.name, prompt.version, prompt.parameters["max_tokens"]) == ("tale", 3, 90)
    said = prompt.messages({"audience": "dogs", "words": "bone"})
    assert said == (
        {"role": "system", "content": "You tell tales for dogs."},
        {"role": "user", "content": 'Tell cats a tale. Say {audience} and {"json": {"a": 1}}.'},
        {"role": "assistant", "content": "Meow."},
        {"role": "user", "content": 'Tell dogs a tale. It uses bone. Say {audience} and {"json": {"a": 1}}.'},
    )
    assert prompt.messages({"audience": "dogs", "words": ""})[-1]["content"].startswith("Tell dogs a tale. Say")
    assert prompt.shows({"audience": "dogs", "words": ""}) == "Tell a tale."


@given(value=st.text(alphabet="{}abc_ \n"), other=st.text(alphabet="{}ab"))
@settings(max_examples=30)
def test_values_are_never_looked_at_again(value, other):
    """A value that looks like a placeholder is text."""
    assert fill("<{a}|{b}>", {"a": value, "b": other}) == f"<{value}|{other}>"


def test_levels_are_families(read):
    """Each level its own name and text; an unknown one is said with the nearest."""
    prompt = read(
        "---\nname: task\nversion: 1\nabout: A task.\nlevels: {easy: with one step, hard: with three}\n---\nA task {level}.\n"
    )
    families = prompt.at_levels()
    assert [f.name for f in families] == ["task-easy", "task-hard"]
    assert [f.messages({})[0]["content"] for f in families] == ["A task with one step.", "A task with three."]
    assert [f.name for f in prompt.at_levels(["hard"])] == ["task-hard"]
    with pytest.raises(InputError, match="no level 'hrd'") as caught:
        prompt.at_levels(["hrd"])
    assert "did you mean 'hard'?" in caught.value.cure


@pytest.mark.parametrize(("old", "new", "line", "why"), [
    ("---\nname", "name", 1, "no front matter: the first line"),
    ("---\n\nTell", "Tell", 1, "the front matter has no end"),
    ("about: A tale.", "about: [", 5, "no YAML"),
    ("version: 3", "version: new", 3, "version"),
    ("version: 3", "version: 3\nverison: 3", 4, "no such field: verison"),
    ("Tell {audience}", "Tell {audiense}", 18, "{audiense} is no variable"),
    ("a tale.{words}", "a tale.", 8, "declared and not used"),
    ("tales for {audience}", "tales for {me}", 5, "{me} is no variable of the prompt, in 'system'"),
    ("It uses {words}", "It uses {audience}", 10, "clause 'words'"),
    ("  words: words", "  color: a color\n  words: words", 8, "no value for the variable 'color'"),
    ("values: {audience: cats}", "values: {audience: cats, x: y}", None, "gives 'x'"),
])  # fmt: skip
def test_mistakes_have_a_line(read, old, new, line, why):
    """File, line, cause and cure."""
    assert old in GOOD
    with pytest.raises(InputError) as caught:
        read(GOOD.replace(old, new, 1))
    assert why in caught.value.cause
    assert caught.value.cure
    if line is not None:
        assert caught.value.place.endswith(f"p.md:{line}")


def test_a_prompt_without_a_body_or_a_file(read, tmp_path):
    """Both are said."""
    with pytest.raises(InputError, match="says nothing"):
        read(GOOD[: GOOD.rindex("---") + 4].replace("  audience: for whom\n", "").replace("{audience}", "all"))
    with pytest.raises(InputError, match="no prompt"):
        read_prompt(tmp_path / "none.md", ())


def test_shipped_prompts_have_names_of_their_own():
    """Each file can be read, is called as its file, and no two families have one name."""
    names = []
    for path in sorted((assets.ROOT / "data/prompts").glob("*.md")):
        text = path.read_text(encoding="utf-8")
        # Each declares what it uses: what a stage gives is that stage's test.
        declared = [line.strip().split(":")[0] for line in text.split("---")[1].splitlines() if line.startswith("  ")]
        prompt = read_prompt(path, declared)
        assert prompt.name == path.stem
        names += [family.name for family in prompt.at_levels()]
    assert len(names) == len(set(names)) >= 2
