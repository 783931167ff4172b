"""Real documents, and items pasted into them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from curate.stages import generate_exercises
from tests.peers.environment import SAMPLES, texts

KINDS: Final = ("code file", "Markdown page", "web text", "exercise")
LONGEST: Final = 4000
"""Characters of a document that an item is pasted into."""


def _blocks(text: str) -> list[str]:
    """Parts between blank lines, those of code that begin within a function joined to the part before."""
    parts: list[str] = []
    for part in text.split("\n\n"):
        if parts and part.lstrip("\n")[:1] in (" ", "\t", ""):
            parts[-1] += "\n\n" + part
        else:
            parts.append(part)
    return parts


def _suited(found: Iterable[str], count: int = 16) -> list[list[str]]:
    """Blocks of the first documents of fit length that have several."""
    some = (_blocks(text) for text in found if 500 <= len(text) <= LONGEST and '"""\n\n"""' not in text)
    return [blocks for blocks in some if len(blocks) >= 4][:count]


@lru_cache(maxsize=1)
def documents() -> dict[str, list[list[str]]]:
    """Blocks of the documents of each kind, from the project's samples."""
    web = [text for text in texts(SAMPLES[0]) if "def " not in text]
    exercise = generate_exercises._EXAMPLE[1].removeprefix("```python\n").removesuffix("```")
    return {
        "code file": _suited(texts(SAMPLES[1])),
        "Markdown page": _suited(text for text in web if "\n## " in text),
        "web text": _suited(text for text in web if "\n#" not in text),
        "exercise": [["from typing import *", exercise.strip("\n")]],
    }


def pasted(text: str, kind: str, number: int, *, code: bool) -> str:
    """A document of a kind with a text in its middle; which document, and after which block, the number says."""
    some = documents()[kind]
    blocks = list(some[number % len(some)])
    if kind == "Markdown page":
        text = f"```python\n{text.rstrip()}\n```" if code else textwrap.indent(text, "> ")
    elif kind == "code file" and not code:
        text = textwrap.indent(text, "# ")
    elif kind == "exercise" and not code:
        text = f'"""\n{text}\n"""'
    at = 1 + number % (len(blocks) - 1)
    return "\n\n".join([*blocks[:at], text, *blocks[at:]])
