"""The prompts of a judge, made of a rubric's blocks, and what is read in its answers."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from curate.errors import InputError

Output = Literal["text", "json"]
Order = Literal["", "reversed", "after"]
"""How the rubric stands: as it is, with its points in reverse order, or behind the document."""

SCALE: Final = 5
"""Scores are 0 to 5."""

_BLOCK: Final = re.compile(r"^```prompt (\w+)\n(.*?)\n```$", re.DOTALL | re.MULTILINE)
_SCORE: Final = re.compile(r"\bscore\W{0,6}([0-9]+)(?![0-9]|[.,][0-9]|\s*(?:[-–]|to\b)\s*[0-9])", re.IGNORECASE)
_REASONS_CHARS: Final = 240
_FORMAT: Final[Mapping[str, Any]] = {
    "type": "json_schema",
    "json_schema": {
        "name": "grade",
        "strict": True,
        "schema": {
            "type": "object",
            # In this order, so that the score follows from the reasons.
            "properties": {
                "reasons": {"type": "string", "maxLength": _REASONS_CHARS},
                "score": {"type": "integer", "minimum": 0, "maximum": SCALE},
            },
            "required": ["reasons", "score"],
            "additionalProperties": False,
        },
    },
}


@dataclass(frozen=True)
class Rubric:
    """A rubric's blocks.

    Attributes:
        system: the system message.
        frame: what the points are put into, for ``{points}``.
        points: for ``prose`` and ``code``, the points in their order.
        asks: for ``text`` and ``json``, what is asked for at the end.
    """

    system: str
    frame: str
    points: Mapping[str, tuple[str, ...]]
    asks: Mapping[str, str]

    def messages(
        self, kind: str, document: str, mark: str, output: Output, order: Order = ""
    ) -> tuple[Mapping[str, str], ...]:
        """The chat about one document, quoted between delimiters that carry ``mark``."""
        points = self.points[kind][::-1] if order == "reversed" else self.points[kind]
        rubric = self.frame.replace("{points}", "; ".join(points))
        quoted = f"<document {mark}>\n{document}\n</document {mark}>"
        parts = [quoted, rubric] if order == "after" else [rubric, quoted]
        content = "\n".join([*parts, self.asks[output]])
        return ({"role": "system", "content": self.system}, {"role": "user", "content": content})


def read_rubric(path: Path) -> Rubric:
    """The blocks of a ``rubric.md``; raises InputError that names the one that is missing or says nothing."""
    try:
        blocks = {match[1]: match[2].strip() for match in _BLOCK.finditer(path.read_text(encoding="utf-8"))}
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"no rubric: {error}", place=str(path)) from None
    for name in ("system", "points", "prose", "code", "text", "json"):
        if not blocks.get(name):
            raise InputError(
                f"the rubric has no block '```prompt {name}'",
                place=str(path),
                cure="see classifiers/textbook-value/rubric.md for all blocks",
            )
    if "{points}" not in blocks["points"]:
        raise InputError("block 'points' of the rubric has no {points}", place=str(path))
    lines = {
        kind: tuple(line.strip() for line in blocks[kind].splitlines() if line.strip()) for kind in ("prose", "code")
    }
    return Rubric(blocks["system"], blocks["points"], lines, {"text": blocks["text"], "json": blocks["json"]})


def sampling(output: Output, temperature: float) -> dict[str, Any]:
    """What is sent beside the messages: with ``json`` the schema of the answer (OpenAI's ``response_format``)."""
    return {"temperature": temperature, **({"response_format": _FORMAT} if output == "json" else {})}


def mark_of(document: str, key: int) -> str:
    """Six hex digits for a document's delimiters that its author can not know, from a keyed hash of its id."""
    return hashlib.blake2b(document.encode(), digest_size=3, key=key.to_bytes(8, "little")).hexdigest()


def parse_score(text: str, *, cut: bool = False) -> int | None:
    """The score in an answer: of a JSON object, else the last that is stated (``Educational score: 3``, ``score: 4/5``).

    Ranges (``0-5``) and fractions (``3.5``) are no scores; in a text that was cut, neither is a number at its very end.
    """
    stated = _object(text).get("score")
    if isinstance(stated, int) and not isinstance(stated, bool):
        return stated if stated >= 0 else None
    found = list(_SCORE.finditer(text))
    if not found or (cut and found[-1].end() == len(text)):
        return None
    return int(found[-1][1][:4])


def _object(text: str) -> dict[str, Any]:
    """The JSON object that an answer is, perhaps in a fence; empty when it is none."""
    start, stop = text.find("{"), text.rfind("}")
    if start < 0 or text[:start].strip(" \n`").lower() not in {"", "json"}:
        return {}
    try:
        value = json.loads(text[start : stop + 1])
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
