"""Forms that answers have: fenced blocks, JSON, lists, tables, questions with answers. Read as generously as is safe.

Models forget to close a fence, tag it with another language, put fences into fences, write prose around JSON, leave a comma
too many, or are cut in the middle. None of that makes an answer useless.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["Block", "blocks", "code_blocks", "entries", "json_value", "pairs", "table_rows"]

_FENCE: Final = re.compile(r"[ \t]*(`{3,}|~{3,})[ \t]*([^\s`]*)[^`\n]*$")
_PYTHON: Final = frozenset({"", "python", "py", "python3", "py3", "ipython", "pycon", "python-repl"})
_HOLDERS: Final = frozenset({"markdown", "md", "text", "txt", "plaintext"})
_IS_PYTHON: Final = re.compile(r"^(?:async[ \t]+)?def[ \t]+\w+[ \t]*\([^\n]*:[ \t]*(?:#[^\n]*)?$", re.MULTILINE)
_MOST_JSON: Final = 200_000
_TRAILING_COMMA: Final = re.compile(r",(?=\s*[\]}])")
_ENTRY: Final = re.compile(r"[ \t]*(?:[-*•–]|\(?\d{1,3}[.):、]|[a-z][.)])[ \t]+(.+)")
_EMPHASIS: Final = re.compile(r"^[*_`\"“]+|[*_`\"”]+$")
_ROW: Final = re.compile(r"^[ \t]*\|.*\|[ \t]*$")
_RULE: Final = re.compile(r"^[ \t]*\|?(?:[ \t]*:?-{2,}:?[ \t]*\|)+[ \t]*(?::?-{2,}:?[ \t]*)?\|?[ \t]*$")
_QUESTION: Final = re.compile(
    r"[ \t]*(?:#{1,6}[ \t]+|[-*•][ \t]+)?(?:\d{1,3}[.)][ \t]*)?[*_]{0,3}(?:(?:question|frage|pregunta|domanda|pergunta|вопрос|问题?|質問|q)[ \t]*\d{0,3}[*_]{0,3}[ \t]*[:：.)-]+)[ \t*_]*(.*)",
    re.IGNORECASE,
)
_ANSWER: Final = re.compile(
    r"[ \t]*(?:#{1,6}[ \t]+|[-*•][ \t]+)?[*_]{0,3}(?:(?:answer|antwort|réponse|respuesta|risposta|resposta|ответ|答案?|回答|a)[ \t]*\d{0,3}[*_]{0,3}[ \t]*[:：.)-]+)[ \t*_]*(.*)",
    re.IGNORECASE,
)
_ASKS: Final = re.compile(
    r"[ \t]*(?:#{1,6}[ \t]+|\d{1,3}[.)][ \t]*|[-*•][ \t]+)?[*_]{0,3}([^\n]*[?？])[*_]{0,3}[ \t]*$"
)


@dataclass(frozen=True)
class Block:
    """A fenced block: its tag in lower case, its content, and whether its fence was closed."""

    tag: str
    content: str
    closed: bool


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a text, outermost ones, in order.

    A fence closes with one of its kind that is at least as long and has no tag. A tagged fence inside a block of Markdown
    or text opens one within it; inside any other block it says that the block before was never closed.
    """
    found: list[Block] = []
    fence, tag, depth = "", "", 0
    lines: list[str] = []

    def close(*, whole: bool) -> None:
        found.append(Block(tag, "".join(lines), whole))
        lines.clear()

    for line in text.splitlines(keepends=True):
        match = _FENCE.match(line.rstrip("\n"))
        if not fence:
            if match:
                fence, tag, depth = match[1], match[2].lower().strip("{.}"), 0
            continue
        if match and match[1][0] == fence[0] and len(match[1]) >= len(fence):
            if match[2] and tag not in _HOLDERS:
                close(whole=True)
                fence, tag = match[1], match[2].lower().strip("{.}")
                continue
            if match[2]:
                depth += 1
            elif depth:
                depth -= 1
            else:
                close(whole=True)
                fence = ""
                continue
        lines.append(line)
    if fence:
        close(whole=False)
    return found


def code_blocks(text: str) -> tuple[list[str], str | None]:
    """The contents of the closed fenced blocks of Python, and of one that was still open at the end, if any.

    Python is what is tagged so or not at all, and what defines a function as Python does under another tag; blocks within a
    block of Markdown count, too.
    """
    closed: list[str] = []
    rest: str | None = None
    for block in _flat(text):
        if block.tag not in _PYTHON and not _IS_PYTHON.search(block.content):
            continue
        if block.closed:
            closed.append(block.content)
        else:
            rest = block.content
    return closed, rest


def _flat(text: str) -> Iterator[Block]:
    for block in blocks(text):
        inner = blocks(block.content) if block.tag in _HOLDERS else []
        if inner:
            yield from inner
        else:
            yield block


def json_value(text: str) -> Any | None:
    """The JSON object or array that an answer is or holds: in a fence, with words around it, with a comma too many, or cut.

    Of one that was cut, what was whole by then: the last entry that is half a one goes. None where there is none.
    """
    candidates = [block.content for block in blocks(text)] + [text]
    for candidate in candidates:
        start = min((at for at in (candidate.find("{"), candidate.find("[")) if at >= 0), default=-1)
        if start < 0:
            continue
        body = candidate[start : start + _MOST_JSON]
        for form in (body, _TRAILING_COMMA.sub("", body)):
            try:
                value, _ = json.JSONDecoder().raw_decode(form)
            except (ValueError, RecursionError):
                continue
            if isinstance(value, dict | list):
                return value
        if (value := _cut_json(_TRAILING_COMMA.sub("", body))) is not None:
            return value
    return None


def _cut_json(text: str) -> Any | None:
    """What was whole of a value that was cut: up to a comma or an opening at which it could have ended."""
    closers: list[str] = []
    ends: list[tuple[int, str]] = []
    inside = escaped = False
    for at, char in enumerate(text):
        if inside:
            if escaped:
                escaped = False
            elif char == "\\":
                escaped = True
            elif char == '"':
                inside = False
        elif char == '"':
            inside = True
        elif char in "{[":
            closers.append("}" if char == "{" else "]")
        elif char in "}]":
            if not closers or closers.pop() != char:
                return None
            ends.append((at + 1, "".join(reversed(closers))))
        elif char == ",":
            ends.append((at, "".join(reversed(closers))))
    for at, rest in reversed(ends[-50:]):
        try:
            value = json.loads(text[:at] + rest)
        except (ValueError, RecursionError):
            continue
        return value if isinstance(value, dict | list) else None
    return None


def entries(text: str) -> list[str]:
    """The entries of a list in plain text, without numbers, bullets and emphasis; without any such mark, its lines."""
    lines = [line for line in text.split("\n") if line.strip()]
    marked = [match[1] for line in lines if (match := _ENTRY.match(line))]
    return [e for one in (marked or lines) if (e := _EMPHASIS.sub("", one.strip()).strip())]


def table_rows(text: str) -> int:
    """Rows of the longest Markdown table of a text, without its head; 0 where there is no table."""
    most = 0
    lines = text.split("\n")
    for at, line in enumerate(lines):
        if _RULE.match(line) and at and "|" in lines[at - 1]:
            count = 0
            while at + 1 + count < len(lines) and _ROW.match(lines[at + 1 + count]):
                count += 1
            most = max(most, count)
    return most


def pairs(text: str) -> list[tuple[str, str]]:
    """Questions with their answers: ``Question: ... Answer: ...`` (or Q, A, in several languages), else each line that ends
    with a question mark, with what follows it."""
    found: list[tuple[str, list[str]]] = []
    labelled = any(_QUESTION.match(line) for line in text.split("\n"))
    for line in text.split("\n"):
        asked = _QUESTION.match(line) if labelled else _ASKS.match(line)
        if asked:
            found.append((asked[1].strip(" *_"), []))
        elif found:
            answered = _ANSWER.match(line)
            found[-1][1].append(answered[1] if answered else line)
    return [(question, answer) for question, lines in found if question and (answer := "\n".join(lines).strip(" \n*_"))]
