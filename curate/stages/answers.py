"""What a model's answer must be cleaned of before it can be text, shared by the stages that generate.

Small chat models open with "Sure! Here is ...", wrap the whole answer in a fence, close with "I hope this helps!", stop
in the middle of a sentence at the limit, refuse, or repeat themselves. Each is either cut off or a reason to reject.
"""

from __future__ import annotations

import re
from typing import Final

REFUSED: Final = "the model declined, or a content filter stopped it"
TRUNCATED: Final = "the answer was cut at max_tokens and too little of it is whole"

_OPENINGS: Final = (
    re.compile(
        r"(?:sure(?: thing)?|certainly|of course|absolutely|okay|ok|great(?: question)?|got it)[ ]?"
        r"(?:[.!:]+[ \t]*\n*|,[ \t]+(?=here\b|below\b|i\b|let me\b))",
        re.IGNORECASE,
    ),
    re.compile(r"(?:here(?:'s|’s| is| are)|below (?:is|are))\b[^\n]{0,200}:[ \t]*(?:\n+|$)", re.IGNORECASE),
    re.compile(r"(?:here(?:'s|’s| is)|below is)\b[^\n]{0,40}\b(?:section|passage|exercise|text|version)\b[^\n]{0,120}[.!][ \t]*\n+", re.IGNORECASE),
)  # fmt: skip
_CLOSING: Final = re.compile(
    r"\n+(?:i hope|hope this|let me know|feel free|please let me|if you have any|happy coding)\b[^\n]*\s*\Z",
    re.IGNORECASE,
)
_REFUSAL: Final = re.compile(
    r"\W*(?:i(?:'|’)?m (?:really |very )?sorry|sorry,|i apologi[sz]e|i (?:can(?:no|')?t|can’t|am unable|am not able|won't)\b"
    r"|i'm (?:unable|not able)|as an ai\b|unfortunately, i\b)",
    re.IGNORECASE,
)
_WRAPPED: Final = re.compile(r"```(?:markdown|md|text)[ \t]*\n(.*?)\n?```\s*\Z", re.DOTALL)
_WORD: Final = re.compile(r"\w+")
_SENTENCE_END: Final = re.compile(r"[.!?][\"')\]*_`]{0,3}(?=\s|\Z)")
_BLOCK: Final = re.compile(r"^[ \t]*```[ \t]*([\w+-]*)[^\n]*\n(.*?)^[ \t]*```[ \t]*$", re.DOTALL | re.MULTILINE)
_OPEN_BLOCK: Final = re.compile(r"^[ \t]*```[ \t]*([\w+-]*)[^\n]*\n(.*)\Z", re.DOTALL | re.MULTILINE)


def plain(text: str) -> str:
    """Valid UTF-8 with LF line ends: lone surrogates and NUL are replaced, outer white space goes."""
    text = text.encode("utf-8", "replace").decode("utf-8").replace("\x00", "\ufffd")
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()


def refused(text: str, finish_reason: str) -> bool:
    """Whether the answer is a refusal: by its first words (openings stripped), or by the server's own word."""
    return finish_reason in {"content_filter", "refusal"} or _REFUSAL.match(text) is not None


def unwrap(text: str) -> str:
    """The answer without a fence around all of it, without boilerplate at its start and end."""
    for _ in range(3):
        before = text
        if match := _WRAPPED.match(text):
            text = match[1]
        for opening in _OPENINGS:
            if match := opening.match(text):
                text = text[match.end() :]
        text = text.strip("\n")
        if text == before:
            break
    return _CLOSING.sub("", text).strip()


def whole_sentences(text: str) -> str:
    """The text up to its last whole sentence, list or code block: what is left of an answer that was cut.

    A fenced block that was not closed goes as a whole; text without the end of a sentence is empty.
    """
    fences = [m.start() for m in re.finditer(r"^[ \t]*```", text, re.MULTILINE)]
    if len(fences) % 2:
        text = text[: fences[-1]]
        fences.pop()
    closed = text.find("\n", fences[-1]) if fences else -1
    after_block = (len(text) if closed < 0 else closed) if fences else 0
    ends = [m.end() for m in _SENTENCE_END.finditer(text, after_block)]
    return text[: ends[-1] if ends else after_block].rstrip()


def unique_words(text: str) -> float:
    """Distinct words over words, lower case; 1.0 for a text without words."""
    words = _WORD.findall(text.lower())
    return len(set(words)) / len(words) if words else 1.0


def code_blocks(text: str) -> tuple[list[str], str | None]:
    """The contents of the closed fenced blocks, and of one that was still open at the end, if any."""
    closed = [m[2] for m in _BLOCK.finditer(text) if m[1].lower() in {"", "python", "py", "python3"}]
    rest = _BLOCK.sub("", text)
    match = _OPEN_BLOCK.search(rest)
    return closed, match[2] if match else None


def excerpt(text: str, limit: int = 80) -> str:
    """The beginning of a text on one line, for a rejection's detail."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 3] + "..."
