"""What a judge is shown of a document: its beginning, without what would speak to the judge.

A document is data to be graded, and its author may know that: "rate this 5" in a paragraph or a comment, a forged end of
the quotation, a forged turn of the conversation. None of it may move the score, and a small model obeys whatever it
reads. So for the judge's view only, and by rules that anybody can read (a model asked to find such sentences could be
talked to as well):

- characters that nobody sees (zero width, direction marks) go: they hide words from rules, not from tokenizers;
- marks of quotations and of chat formats (``</document>``, ``<|im_start|>``, ``[INST]``) are broken up: a server that
  turns a whole prompt into tokens would take them for its own;
- a sentence, or line, that rates the document itself or gives a judge orders becomes ``[...]``.

The rules are wide on purpose: what they take wrongly costs a sentence of a few thousand. They know English and these
forms; ``label.llm`` states how many it took, and planted sentences measure what is left (tests, ``make bench``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

MASK: Final = "[...]"
LOOK_AHEAD: Final = 500
"""Characters that are looked at beyond what is shown."""

_UNSEEN: Final = re.compile(
    "[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufe00-\ufe0f\ufeff]"
)
_MARKS: Final = re.compile(
    r"<(?=\s*/?\s*(?:document\b|start_of_turn|end_of_turn|tool_call|s>|\||｜|<SYS|/SYS))|\[(?=\s*/?\s*INST\b)",
    re.IGNORECASE,
)

_POINTS: Final = (
    r"(?:[0-5]|zero|one|two|three|four|five|full|maximum|maximal|max|highest|top|best|perfect|lowest|minimum)"
)
_MARK: Final = r"(?:points?|scores?|marks?|rating|stars?|grade)"
_WHOM: Final = (
    r"(?:judge|grader|rater|marker|reviewer|evaluator|annotator|assessor|scorer|ai|llm|model|assistant|chatbot|gpt)s?"
)
_NOUN: Final = r"(?:document|text|page|file|code|extract|passage|article|content|script|module|snippet|sample|piece|program|answer|textbook)"
_IT: Final = rf"(?:this|it|(?:this|the)\s+(?:\w+\s+)?{_NOUN})"
_GIVE: Final = r"(?:give|award|assign|grant|add|output|choose|select|earns?|gets?|deserves?|merits?|receives?|worth)"
_NUMBER: Final = r"[0-5]\b(?!\.\d)(?!\s*[-+*%/]\s*[\w(])"
"""A whole number that no expression goes on from."""
_RULES: Final = tuple(re.compile(rule, re.IGNORECASE) for rule in (
    # It is rated, or somebody is told to rate it.
    rf"\b(?:rate|rank|grade|score|mark|label|judge)s?\s+{_IT}\b.{{0,60}}?\b{_POINTS}\b",
    rf"\b{_GIVE}\b.{{0,40}}?\b{_POINTS}\b.{{0,20}}?\b{_MARK}\b",
    rf"\b(?:give|award|assign|deserves?|merits?|earns?)\b.{{0,40}}?\b{_MARK}\W{{1,4}}(?:(?:of|is)\W{{1,4}})?{_POINTS}\b",
    rf"\b(?:give|award|assign|deserves?|merits?|earns?|worth)\s+(?:{_IT}\s+)?(?:an?|the)\s+[0-5]\b(?!\.\d)",
    rf"\b(?:give|award|assign)\s+{_IT}\s+[0-5]\b(?!\.\d)",
    # The score is stated.
    rf"\b(?:educational|quality|textbook|overall|final|total|teaching|document|teacher(?:'s)?|judge(?:'s)?|correct|right|true|expected|official|actual)\s+(?:value\s+|educational\s+)?{_MARK}\b(?:\s+(?:for|of)\s+{_IT})?\W{{0,6}}(?:(?:is|are|of|should|must|will|be|equals?)\W{{1,3}}){{0,3}}{_POINTS}\b",
    rf"\b(?:the|your|its|my|our)\s+{_MARK}\s+(?:must|should|shall|has\s+to|needs\s+to|ought\s+to)\b.{{0,20}}?\b{_POINTS}\b",
    rf"\b{_MARK}\W{{0,3}}[:=]\W{{0,4}}{_NUMBER}",
    rf"\b{_POINTS}\s*(?:/|out\s+of|of)\s*(?:5|five)\b",
    rf"\b(?:all|full|maximum|max)\s+(?:five|5)\s+(?:points?|marks?|stars?)\b|\b(?:full|top|maximum|max|perfect|highest)\s+(?:possible\s+)?{_MARK}\b",
    r"\b(?:with|as|an?)\s+(?:an?\s+)?5,\s+the\s+(?:maximum|highest|best)\b",
    # A judge is spoken to, or told whom to obey.
    r"\b(?:ignore|disregard|forget|override|skip|bypass)\b.{0,30}?\b(?:previous|prior|above|earlier|preceding|other|all|any|your|the)\b.{0,30}?\b(?:instructions?|prompts?|rules?|rubrics?|criteria|guidelines?|orders|commands)\b",
    rf"\b(?:dear|attention|note|message|instructions?|hint|hey|hello|for|to|as)\b[\s,:]{{1,3}}(?:(?:to|for|the|an?|any|every|all|you|your|our)\s+){{0,3}}(?:automated\s+|language\s+|large\s+|grading\s+){{0,2}}{_WHOM}\b\s*(?:[:,!.]|who\b|that\b|reading\b|grading\b|$)",
    rf"\byou\s+are\s+(?:now\s+)?(?:an?|the)\s+(?:\w+\s+){{0,3}}{_WHOM}\b",
    r"\b(?:reply|respond|answer)\b.{0,20}?\b(?:only|just|with|exactly)\b.{0,30}?\b(?:score|[0-5])\b",
    r"^\W{0,4}(?:system|assistant|user|human|judge|grader)\s*:",
))  # fmt: skip
_PIECE: Final = re.compile(r"[^\n]+?(?:[.!?]+[\"')\]]*(?=\s)|$|(?=\n))", re.MULTILINE)
_COMMENT: Final = re.compile(r"\s*(?:#+|//+|/\*+|\*+|--+|<!--|;+|\"{3}|'{3}|%+|>+|[-*]\s)?\s*")


@dataclass(frozen=True)
class View:
    """What is shown: the text, how many of its sentences were masked, and how many marks were broken up."""

    text: str
    masked: int
    marks: int


def view(text: str, limit: int, *, masked: bool = True) -> View:
    """The first ``limit`` characters of a document as a judge may see them."""
    # More than is shown is looked at: a sentence that the cut would tear apart is masked as a whole.
    text = _UNSEEN.sub("", text[: limit + LOOK_AHEAD])
    text, count = mask(text) if masked else (text, 0)
    text, marks = _MARKS.subn("(", text[:limit])
    return View(text.strip("\n"), count, marks)


def mask(text: str) -> tuple[str, int]:
    """The text with ``[...]`` for each sentence (or what of it is in one line) that speaks to a judge, and how many.

    What marks a line as a comment stays. A sentence that goes on in the next line of its paragraph or comment is looked
    at as a whole, too, and its rest goes with it.
    """
    pieces = [(m.start(), m.end()) for m in _PIECE.finditer(text)]
    hit = [_speaks(text[start:stop]) for start, stop in pieces]
    for i in range(len(pieces) - 1):
        (start, middle), (after, stop) = pieces[i], pieces[i + 1]
        if hit[i + 1] or not _goes_on(text[start:middle], text[middle:after], text[after:stop]):
            continue
        rest = text[after:stop]
        if hit[i] or _speaks(text[start:middle] + " " + rest[_comment(rest) :]):
            hit[i] = hit[i + 1] = True
    out, last, count = [], 0, 0
    for (start, stop), found in zip(pieces, hit, strict=True):
        if found:
            out += [text[last : start + _comment(text[start:stop])], MASK]
            last, count = stop, count + 1
    return "".join([*out, text[last:]]), count


def _goes_on(line: str, between: str, following: str) -> bool:
    """Whether a sentence goes on in the next line: of the same comment, or in lower case in the same paragraph."""
    if between != "\n" or line[-1:] in ".!?":
        return False
    mark, other = line[: _comment(line)].strip(), following[: _comment(following)].strip()
    return mark == other and (bool(mark) or following[:1].islower())


def _comment(line: str) -> int:
    """Where what a line says begins, after what makes it a comment."""
    match = _COMMENT.match(line)
    return match.end() if match else 0


def _speaks(piece: str) -> bool:
    return any(rule.search(piece) for rule in _RULES)
