"""docs/security.md and the tests hold each other: every line names tests that exist, every test of this folder is named."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LINE = re.compile(r"^- \*\*([A-Z]\d+)\. (.+?)\*\*(.*?)(?=^- \*\*|^#|\Z)", re.MULTILINE | re.DOTALL)
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def lines() -> dict[str, str]:
    """The numbered lines of the page, with all that stands under each."""
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    found = LINE.findall(text)
    numbers = [number for number, _, _ in found]
    assert len(set(numbers)) == len(numbers)
    assert len(numbers) == len(re.findall(r"^- ", text, re.MULTILINE)), "a line without a number"
    return {number: f"{title} {rest}" for number, title, rest in found}


def names_of_tests(path: Path) -> set[str]:
    """Names of a file's tests."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_every_line_names_tests_that_exist() -> None:
    """A threat without a test is a hope; a test that was renamed is missed here."""
    found = lines()
    assert len(found) > 30
    missing = [
        f"{number}: {path}::{name}"
        for number, text in found.items()
        for path, name in TEST.findall(text)
        if not (ROOT / path).is_file() or name not in names_of_tests(ROOT / path)
    ]
    assert missing == []
    assert [number for number, text in found.items() if not TEST.search(text)] == []
    # Numbers of a section follow each other.
    for letter in {number[0] for number in found}:
        own = [int(number[1:]) for number in found if number[0] == letter]
        assert own == list(range(1, len(own) + 1)), letter


def test_every_test_of_this_folder_stands_for_a_line() -> None:
    """What is tested for safety's sake is said on the page."""
    named = {(path, name) for text in lines().values() for path, name in TEST.findall(text)}
    here = {
        (path.relative_to(ROOT).as_posix(), name)
        for path in Path(__file__).parent.glob("test_*.py")
        for name in names_of_tests(path)
    }
    assert {name for path, name in here - named if path != f"tests/security/{Path(__file__).name}"} == set()


def test_lines_that_handle_nothing_say_so() -> None:
    """A line whose only tests are those of the page itself handles nothing, and has to say that."""
    for number, text in lines().items():
        paths = {path for path, _ in TEST.findall(text)}
        if paths == {f"tests/security/{Path(__file__).name}"}:
            assert "*Not handled*" in text, number
