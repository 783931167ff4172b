"""Real documents, and items pasted into them."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import pairwise
from typing import Final

from tests.peers.environment import SAMPLES, texts

KINDS: Final = ("code file", "Markdown page", "web text", "exercise")
LONGEST: Final = 4000
"""Characters of a document that an item is pasted into."""


def _paragraphs(text: str) -> list[str]:
    return text.split("\n\n")


def _statements(text: str) -> list[str]:
    """The parts of a Python file, each from a statement at its top level to the next; none where it doesn't parse."""
    try:
        starts = [
            min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
            for node in ast.parse(text).body
        ]
    except SyntaxError:
        return []
    lines = text.split("\n")
    return ["\n".join(lines[a - 1 : b - 1]).rstrip("\n") for a, b in pairwise([1, *starts[1:], len(lines) + 1])]


EXERCISE: Final = '''
def letters_in(text: str) -> int:
    """Return how many characters of the text are letters."""
    return sum(1 for c in text if c.isalpha())


assert letters_in("a1b2") == 2
assert letters_in("42") == 0
assert letters_in("") == 0
'''
"""What generate.exercises gives."""


def _suited(found: Iterable[str], split: Callable[[str], list[str]], count: int = 16) -> list[list[str]]:
    """Parts of the first documents of fit length that have several."""
    parts = (split(text) for text in found if 500 <= len(text) <= LONGEST)
    return [some for some in parts if len(some) >= 4][:count]


@lru_cache(maxsize=1)
def documents() -> dict[str, list[list[str]]]:
    """Parts of the documents of each kind, from the project's samples."""
    web = [text for text in texts(SAMPLES[0]) if "def " not in text]
    return {
        "code file": _suited(texts(SAMPLES[1]), _statements),
        "Markdown page": _suited((text for text in web if "\n## " in text), _paragraphs),
        "web text": _suited((text for text in web if "\n#" not in text), _paragraphs),
        "exercise": [["from typing import *", EXERCISE.strip("\n")]],
    }


def pasted(text: str, kind: str, number: int, *, code: bool) -> str:
    """A document of a kind with a text in its middle; which document, and after which part, the number says."""
    some = documents()[kind]
    parts = list(some[number % len(some)])
    if kind == "Markdown page":
        text = f"```python\n{text.rstrip()}\n```" if code else textwrap.indent(text, "> ")
    elif kind == "code file" and not code:
        text = textwrap.indent(text, "# ")
    elif kind == "exercise" and not code:
        text = f'"""\n{text}\n"""'
    at = 1 + number % (len(parts) - 1)
    return "\n\n".join([*parts[:at], text, *parts[at:]])
