"""What a model's answer must be cleaned of before it can be text, shared by the stages that generate.

Chat models think aloud, open with "Sure! Here is ...", wrap the whole answer in a fence, close with "I hope this helps!",
stop in the middle of a sentence at the limit, refuse, or repeat themselves. Each is either cut off or a reason to reject.
The phrases are in ``phrases``, in several languages; the forms (blocks of code, JSON, lists) in ``forms``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from curate.stages.forms import code_blocks
from curate.stages.phrases import LANGUAGES

__all__ = [
    "LEAKED",
    "REFUSED",
    "RUN",
    "TRUNCATED",
    "code_blocks",
    "copied",
    "excerpt",
    "folded",
    "leaked",
    "plain",
    "quoted",
    "refused",
    "shown",
    "unique_words",
    "unwrap",
    "whole_sentences",
    "without_thoughts",
]

RUN: Final = 8
"""Words in a row that count as copied."""
REFUSED: Final = "the model declined, or a content filter stopped it"
LEAKED: Final = "marks of the quotation, or eight words in a row of what the model was told, are in the answer"
TRUNCATED: Final = "the answer was cut at max_tokens and too little of it is whole"

_MARKS: Final = re.compile(r"</?document [0-9a-f]{6}>")
_QUOTED: Final = re.compile(r"<document ([0-9a-f]{6})>\n(.*)\n</document \1>", re.DOTALL)
"""As ``material.quoted`` writes it."""
_HARDLY_MORE: Final = 80
"""Bytes of UTF-8: an answer that begins with a regret and is no longer has nothing but the regret."""
_LOOKED_AT: Final = 400
"""Characters of an answer in which it is told how it begins."""


def _any(part: str) -> str:
    return "|".join(f"(?:{getattr(phrases, part)})" for phrases in LANGUAGES.values())


_BUT: Final = r"(?:but|however|aber|doch|mais|pero|ma|però|mas|porém|но|однако|但是?|不过|ですが|が|하지만)"
_REGRET: Final = re.compile(rf"\W{{0,4}}(?:{_any('regrets')})")
_DECLINE: Final = re.compile(
    # "Unfortunately", an apology (with what it is for) and "but" may stand before it.
    rf"\W{{0,4}}(?:(?:{_any('regrets')}|unfortunately|regrettably|leider|malheureusement|lamentablemente|desafortunadamente"
    rf"|purtroppo|infelizmente|к сожалению)[^.!?\n。！？]{{0,60}}?[\s,.!;:。，！、–—-]{{0,3}}(?:{_BUT}[\s,，、]{{0,2}})?(?:that |dass )?)?"
    rf"(?<!\w)(?:{_any('declines')})"
)
_SPEECH: Final = re.compile(
    r"(?:said|says|asked|asks|cried|whispered|replied|answered|murmured|shouted|sighed|sobbed|told|thought|sagte|fragte|rief|dit|dit-il"
    r"|dit-elle|répondit|murmura|dijo|respondió|susurró|disse|rispose|respondeu|сказал|сказала|ответил|прошептал)\b|[说說道问問][，,：:]|と(?:言|い)"
)
"""Who speaks: an answer that tells it at its beginning is a story's."""
_QUOTES: Final = tuple("\"'“”„«»‚‘’「『")
_AGREES: Final = re.compile(
    rf"[¡\W]{{0,2}}(?:{_any('agrees')})[ ]?(?:[.!:。！：~]+[ \t]*\n*|[,，、](?:[ \t]+|(?<=[，、]))(?=(?:{_any('presents')})|here\b|below\b|i\b|let me\b))"
)
_PRESENTS: Final = re.compile(rf"(?:{_any('presents')})[^\n]{{0,200}}[:：][ \t*_]*(?:\n+|$)")
_SENTENCE: Final = re.compile(
    r"(?:here(?:'s| is)|below is)\b[^\n]{0,40}\b(?:section|passage|exercise|text|version)\b[^\n]{0,120}[.!][ \t]*\n+"
    rf"|(?:{_any('presents')})[^\n:：]{{0,60}}?(?:{_any('remakes')})[^\n:：]{{0,120}}?[.!。！][ \t]*\n+"
)
_REMAKES: Final = re.compile(
    rf"(?:{_any('presents')})[^\n:：]{{0,80}}?(?:{_any('remakes')})[^\n:：]{{0,120}}[:：][ \t*_]*\n*"
)
_LABEL: Final = re.compile(
    rf"[#*_ \t]{{0,6}}(?:the )?(?:{_any('remakes')})(?: (?:text|version|passage|document|extract|texte|texto|testo|fassung))?[ \t]?[*_]{{0,3}}[:：][ \t*_]*\n*"
)
_CLOSES: Final = re.compile(rf"\n+[*_(\[]{{0,3}}(?:{_any('closes')})[^\n]*\s*\Z")
_THOUGHT: Final = re.compile(r"\s*<(think|thinking|reasoning)>.*?(?:</\1>|\Z)", re.DOTALL | re.IGNORECASE)
_WRAPPED: Final = re.compile(r"(`{3,})(?:markdown|md|text|txt|plaintext)[ \t]*\n(.*?)\n?\1\s*\Z", re.DOTALL)
_RULE: Final = re.compile(r"\A\s*(?:-{3,}|\*{3,})[ \t]*\n")
_WORD: Final = re.compile(r"\w+")
_SENTENCE_END: Final = re.compile(r"[.!?][\"')\]*_`»”]{0,3}(?=\s|\Z)|[。！？][」』”]?")
_CURLY: Final = str.maketrans("’‘´`", "''''")


def plain(text: str) -> str:
    """Valid UTF-8 with LF line ends, without what the model thought aloud before it: lone surrogates and NUL are replaced,
    outer white space goes."""
    text = text.encode("utf-8", "replace").decode("utf-8").replace("\x00", "\ufffd")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return without_thoughts(text).strip()


def without_thoughts(text: str) -> str:
    """What a model said without what it thought aloud before it, ``<think>...</think>``; of thoughts without an end nothing is left."""
    thought = _THOUGHT.match(text)
    return text[thought.end() :].lstrip() if thought else text


def refused(text: str, finish_reason: str) -> bool:
    """Whether the answer is a refusal: by how it begins (openings stripped), or by the server's own word."""
    if finish_reason in {"content_filter", "refusal"}:
        return True
    start = _lower(text[:_LOOKED_AT])
    if text.startswith(_QUOTES):
        return False
    # A story's speech has its speaker in the sentence, or behind the closing mark.
    if _SPEECH.search(start[:160]):
        return False
    if _DECLINE.match(start):
        return True
    return len(text.encode()) <= _HARDLY_MORE and _REGRET.match(start) is not None and not _says_more(text)


def _says_more(text: str) -> bool:
    """Whether a short text goes on after its first line, as a poem does."""
    return len([line for line in text.split("\n") if line.strip()]) > 2


def _lower(text: str) -> str:
    # Lower case of the same length, so that places in it are places in the text.
    lower = text.lower()
    return (
        lower if len(lower) == len(text) else "".join(c.lower() if len(c.lower()) == 1 else c for c in text)
    ).translate(_CURLY)


def unwrap(text: str) -> str:
    """The answer without a fence around all of it, without boilerplate at its start and end."""
    for _ in range(4):
        before = text
        if match := _WRAPPED.match(text):
            text = match[2]
        for opening in (_AGREES, _PRESENTS, _SENTENCE, _REMAKES, _LABEL):
            if match := opening.match(_lower(text[:_LOOKED_AT])):
                text = text[match.end() :]
        text = _RULE.sub("", text).strip("\n")
        if text == before:
            break
    for _ in range(2):
        if match := _CLOSES.search(_lower(text[-_LOOKED_AT:])):
            text = text[: max(len(text) - _LOOKED_AT, 0) + match.start()]
    return re.sub(r"\n+(?:-{3,}|\*{3,})\s*\Z", "", text).strip()


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


def folded(text: str) -> str:
    """Its words in lower case, with a space between two."""
    return " ".join(_WORD.findall(text.lower()))


def quoted(text: str, told: Iterable[str], said: str = "") -> str:
    """The first eight words in a row, of what a model was told and nobody should see, that stand in its answer, whatever their
    case and the signs between them; empty where there are none.

    Args:
        told: texts, as system messages.
        said: what it was shown beside them, and may quote.
    """
    found, shown = f" {folded(text)} ", f" {folded(said)} "
    for message in told:
        words = folded(message).split()
        for at in range(len(words) - RUN + 1):
            run = f" {' '.join(words[at : at + RUN])} "
            if run in found and run not in shown:
                return run.strip()
    return ""


def shown(messages: Iterable[Mapping[str, str]]) -> str:
    """The documents that messages quote (``material.quoted``), without their marks."""
    return "\n\n".join(found[2] for message in messages for found in _QUOTED.finditer(message["content"]))


def leaked(text: str, messages: Sequence[Mapping[str, str]], told: Iterable[str] | None = None) -> str:
    """What in an answer shows how it was asked for: marks of a quotation, or eight words in a row of what the model was told;
    empty where nothing does.

    Args:
        messages: those that asked, without corrections of an earlier answer. What they quote is no order, and may be said.
        told: what of them may not be said, as a prompt without the topic that was filled in; None: all but what they quote.
    """
    if bare := _MARKS.search(text):
        return bare[0]
    quotes = [found for message in messages for found in _QUOTED.finditer(message["content"])]
    if mark := next((found[1] for found in quotes if found[1] in text and found[1] not in found[2]), ""):
        return mark
    if told is None:
        told = [_QUOTED.sub("\n", message["content"]) for message in messages]
    return quoted(text, told, shown(messages))


def copied(text: str, document: str) -> float:
    """Share of the text's runs of eight words that are in the document, too; 0.0 for a shorter text."""
    words, others = (folded(t).split() for t in (text, document))
    runs = {tuple(others[i : i + RUN]) for i in range(len(others) - RUN + 1)}
    own = [tuple(words[i : i + RUN]) for i in range(len(words) - RUN + 1)]
    return sum(run in runs for run in own) / len(own) if own else 0.0


def excerpt(text: str, limit: int = 80) -> str:
    """The beginning of a text on one line, for a rejection's detail."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 3] + "..."
