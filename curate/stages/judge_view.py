"""What a judge is shown of a document: its beginning, without what speaks to the judge.

A document is data to be graded, and its author may know that: "rate this 5" in a paragraph or a comment, a forged end of
the quotation, a forged turn of the conversation. None of it may move the score, and a small model obeys whatever it
reads (the local 0.5B one gave a 5 to two planted documents of three). So for the judge's view only, and by rules that
anybody can read (a model asked to find such sentences could be talked to as well):

- characters that nobody sees (zero width, direction marks) go: they hide words from rules, not from tokenizers;
- marks of quotations and of chat formats (``</document>``, ``<|im_start|>``, ``[INST]``) go: a server that turns a whole
  prompt into tokens would take them for its own;
- a sentence, or what of it is in one line, that rates the document itself or gives a judge orders goes.

What goes leaves nothing behind, no line and no sign: a judge sees the document as if nothing had been planted. The rules
are wide on purpose: what they take wrongly costs a sentence of a few thousand. They know English and these forms;
``label.llm`` states how many it took, and planted sentences measure what is left (tests, ``python -m tests.bench.judge``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

LOOK_AHEAD: Final = 500
"""Characters that are looked at beyond what is shown."""

_UNSEEN: Final = re.compile(
    "[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufe00-\ufe0f\ufeff]"
)
_MARKS: Final = re.compile(
    r"<\s*/?\s*document\b[^<>\n]{0,40}>?|<[|｜]\w{1,40}[|｜]>(?:system|user|assistant)?|</?(?:start|end)_of_turn>(?:user|model)?"
    r"|</?s>|</?tool_call>|<</?SYS>>|\[/?INST\]",
    re.IGNORECASE,
)
_OPENINGS: Final = re.compile(r"<(?=\s*/?\s*document\b|[|｜])", re.IGNORECASE)
"""What could still begin such a mark once another has gone out of its middle."""

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
_RATING: Final = r"(?:scor(?:e[sd]?|ing)|rat(?:e[sd]?|ing)|grad(?:e[sd]?|ing|er|ers)|evaluat(?:e[sd]?|ing|ion|or|ors)|assess(?:ed|ing|ment)?|judge[sd]?|judging|rubric|marking)"
_TOP: Final = r"(?:(?<![-+*/%=<>(\[])(?<![-+*/%=<>(\[]\s)[45](?![.,]?\d|\s*[-+*%/=<>\]):])|four|five|maximum|highest|perfect|excellent|top\s+(?:of|score|mark|grade|value))"
_NUMBER: Final = r"[0-5]\b(?!\.\d)(?!\s*[-+*%/]\s*[\w(])"
"""A whole number that no expression goes on from."""
_RATINGS: Final = tuple(re.compile(rule, re.IGNORECASE) for rule in (
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
    rf"\b{_GIVE}\b.{{0,30}}?\b(?:every|all|each)\s+(?:of\s+)?(?:(?:the|these|five|5|single|possible)\s+){{0,2}}(?:points?|marks?|stars?)\b",
    rf"\b(?:all|full|maximum|max)\s+(?:five|5)\s+(?:points?|marks?|stars?)\b|\b(?:full|top|maximum|max|perfect|highest)\s+(?:possible\s+)?{_MARK}\b",
    r"\b(?:with|as|an?)\s+(?:an?\s+)?5,\s+the\s+(?:maximum|highest|best)\b",
    rf"\b{_RATING}\b.{{0,50}}?\b{_TOP}\b|\b{_TOP}\b.{{0,40}}?\b{_RATING}\b",
    r"\b(?:points?|marks?|stars?)\b(?:\s+\w+){0,3}\s*(?::|=|\bis\b|\bare\b)\s*(?:[45](?![.,]?\d|\s*[-+*%/])|five)\b|\b(?:5|five)\s+(?:points?|marks?)(?=[.,;!]|$)",
    r"\b(?:educational|teaching|instructional|pedagogical)\s+(?:value|quality|worth)\b.{0,30}?(?:\b[0-5]\b|\b(?:five|full|maximum|max|highest|top|perfect|excellent|outstanding|superb)\b)",
    r"\b(?:answer|result|verdict|outcome|conclusion|grading)\b.{0,30}?:\W{0,3}(?:[0-5]|five)\W{0,3}$",
    r"\b(?:an?\s+(?:five|5)|(?:5|five)\s+is\s+(?:the|an?|what|my|your|right|correct|fair))(?:\W{0,3}$|\s+(?:only|right|correct|fair|best|true|proper|honest|score|result|answer|grade|mark)\b|[,.;])",
    r"\b(?:just|simply|only|always|must|should|please|to|and|kindly|now)\s+(?:say|put|write|answer|print|type|state|report|give|choose|pick|select|enter|use|mark|output|respond|reply)\b.{0,20}?\b(?:[45]|five|top|highest|maximum)\b\W{0,3}$",
    # What would earn the points is claimed, or may not be denied.
    r"\b(?:every|all|each)\s+(?:single\s+)?(?:of\s+)?(?:the\s+|these\s+)?(?:criteri\w+|points?|requirements?|conditions?|boxes)\b.{0,20}?\b(?:met|satisfied|fulfil\w*|earned|ticked|awarded|granted|given)\b",
    r"\b(?:subtract|deduct|withhold|take\s+off|take\s+away|remove|deny|lower|reduce)\b.{0,30}?\b(?:points?|marks?|score|grade|rating)\b",
    r"\btreat\b.{0,40}?\bas\s+(?:an?\s+)?(?:perfect|excellent|ideal|outstanding|top|model)\b",
    r"\b(?:reply|respond|answer)\b.{0,20}?\b(?:only|just|with|exactly)\b.{0,30}?\b(?:score|[0-5])\b",
))  # fmt: skip
_ORDERS: Final = tuple(re.compile(rule, re.IGNORECASE) for rule in (
    # A model is spoken to, or told whom to obey.
    r"\b(?:ignore|disregard|forget|override|skip|bypass)\b.{0,30}?\b(?:previous|prior|above|earlier|preceding|other|all|any|your|the)\b.{0,30}?\b(?:instructions?|prompts?|rules?|rubrics?|criteria|guidelines?|orders|commands)\b",
    rf"\b(?:dear|attention|note|message|instructions?|hint|hey|hello|for|to|as)\b[\s,:]{{1,3}}(?:(?:to|for|the|an?|any|every|all|you|your|our)\s+){{0,3}}(?:automated\s+|language\s+|large\s+|grading\s+){{0,2}}{_WHOM}\b\s*(?:[:,!]|who\b|reading\b|grading\b|scoring\b|evaluating\b)",
    rf"\byou\s+are\s+(?:now\s+)?(?:an?|the)\s+(?:\w+\s+){{0,3}}{_WHOM}\b",
    r"^\W{0,4}(?:system|assistant|user|human|judge|grader)\s*:",
))  # fmt: skip
_LINE: Final = re.compile(r"[^\n]+")
_END: Final = re.compile(r"[.!?]+[\"')\]]*")
_COMMENT_ENDS: Final = " \t\r*/->\"'"
_COMMENT: Final = re.compile(r"\s*(?:#+|//+|/\*+|\*+|--+|<!--|;+|\"{3}|'{3}|%+|>+|[-*]\s)?\s*")


@dataclass(frozen=True)
class View:
    """What is shown: the text, and how many sentences and marks are not in it."""

    text: str
    masked: int


def view(
    text: str, limit: int, *, masked: bool = True, ratings: bool = True, more: Sequence[re.Pattern[str]] = ()
) -> View:
    """The first ``limit`` characters of a document as a model may see them; marks go whether ``masked`` or not.

    ``ratings``: whether sentences that rate the document go, too: to a model that does not grade it they say nothing.
    ``more``: rules beside those of scores, for a judge who is asked something else.
    """
    # More than is shown is looked at: what goes makes room, and a sentence is not torn apart by the cut.
    text = _UNSEEN.sub("", text[: limit + LOOK_AHEAD])
    text, marks = _without(text, [m.span() for m in _MARKS.finditer(text)])
    text, count = mask(text, more, ratings=ratings) if masked else (text, 0)
    return View(_OPENINGS.sub("(", text)[:limit].strip("\n"), count + marks)


def mask(text: str, more: Sequence[re.Pattern[str]] = (), *, ratings: bool = True) -> tuple[str, int]:
    """The text without sentences (or what of them is in one line) that speak to a model, and how many those are.

    A sentence that goes on in the next line of its paragraph or comment is looked at as a whole, too, and its rest goes
    with it.
    """
    rules = (*(_RATINGS if ratings else ()), *_ORDERS, *more)
    pieces = list(_pieces(text))
    hit = [_speaks(text[start:stop], rules) for start, stop in pieces]
    for i in range(len(pieces) - 1):
        (start, middle), (after, stop) = pieces[i], pieces[i + 1]
        if hit[i + 1] or not _goes_on(text[start:middle], text[middle:after], text[after:stop]):
            continue
        rest = text[after:stop]
        if hit[i] or _speaks(text[start:middle] + " " + rest[_comment(rest) :], rules):
            hit[i] = hit[i + 1] = True
    return _without(text, [piece for piece, found in zip(pieces, hit, strict=True) if found])


def _pieces(text: str) -> Iterator[tuple[int, int]]:
    """Sentences, or what of one is in one line: up to marks with white space behind them, or to the line's end.

    One expression would go back for every mark of a run (leaders of dots cost their length squared), or need possessive
    repetition, which Python 3.11 got right in 3.11.5 only.
    """
    for line in _LINE.finditer(text):
        start, stop = line.span()
        for marks in _END.finditer(text, start, stop):
            end = marks.end()
            # A sentence has something before its marks, if only another mark.
            own = marks.start() > start or text[start + 1 : start + 2] in tuple(".!?")
            if end < stop and own and text[end].isspace():
                yield start, end
                start = end
        if start < stop:
            yield start, stop


def _without(text: str, spans: list[tuple[int, int]]) -> tuple[str, int]:
    """The text without some spans, each within a line, and without the lines of which nothing but a comment's mark is
    left; and the number of spans."""
    out, last = [], 0
    for start, stop in _whole_lines(text, spans):
        out.append(text[last:start])
        last = stop
    return "".join([*out, text[last:]]), len(spans)


def _whole_lines(text: str, spans: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Spans, those of one line together and with the line and its end where nothing else is in it."""
    at = 0
    while at < len(spans):
        begin = text.rfind("\n", 0, spans[at][0]) + 1
        end = text.find("\n", spans[at][0])
        end = len(text) if end < 0 else end
        here = [span for span in spans[at:] if span[0] < end]
        at += len(here)
        ends = [begin, *(stop for _, stop in here)]
        kept = "".join(text[a:b] for a, b in zip(ends, [*(start for start, _ in here), end], strict=True))
        if not kept[_comment(kept) :].strip(_COMMENT_ENDS):
            yield begin, min(end + 1, len(text))
        else:
            yield from here


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


def _speaks(piece: str, rules: Sequence[re.Pattern[str]]) -> bool:
    return any(rule.search(piece) for rule in rules)
