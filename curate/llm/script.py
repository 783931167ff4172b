"""What a scripted teacher answers: a function of the request, so that what it does can be repeated anywhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from curate.fingerprint import fingerprint

__all__ = ["TROUBLES", "Call", "Say", "Script", "default_script", "repeating", "troubled"]

Fault = Literal["", "drop", "cut_body", "drip", "html", "garbage", "no_choices"]


@dataclass(frozen=True)
class Call:
    """A request as the server sees it.

    Attributes:
        key: the X-Client-Request-Id that curate sends (its journal's key), else 32 hex digits of the body without
            its limit: equal for a retry.
        nth: how many requests with this key came before.
        body: the JSON body.
        embeddings: whether it was sent to ``/v1/embeddings``.
        authorization: the header, to test that keys go where they should, and nowhere else.
    """

    key: str
    nth: int
    body: Mapping[str, Any]
    authorization: str
    embeddings: bool = False

    @property
    def texts(self) -> list[str]:
        """The texts to embed."""
        given = self.body.get("input", "")
        return [str(text) for text in given] if isinstance(given, list) else [str(given)]

    @property
    def prompt(self) -> str:
        if self.embeddings:
            return "\n".join(self.texts)
        return "\n".join(str(m.get("content", "")) for m in self.body.get("messages", []))

    @property
    def max_tokens(self) -> int:
        return int(self.body.get("max_tokens") or self.body.get("max_completion_tokens") or 1024)


@dataclass(frozen=True)
class Say:
    """What to answer. Words stand for tokens: an answer is cut after ``max_tokens`` of them.

    To a request for embeddings the answer is a vector of each text (see ``bag_of_words``), whatever ``text`` is.

    Attributes:
        status: of HTTP; other than 200 it comes with ``text`` as the error's message.
        latency: seconds before anything is sent.
        fault: ``drop`` resets the connection, ``cut_body`` ends it early, ``drip`` sends a byte every tenth of a second,
            ``html`` is a page with status 200, ``garbage`` is no JSON, ``no_choices`` is JSON of another shape.
        raw: a body to send as it is, with status 200.
        vectors: in place of those that the texts would get.
    """

    text: str = ""
    finish_reason: str = "stop"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    latency: float = 0.0
    fault: Fault = ""
    raw: bytes = b""
    code: str | None = None
    usage: bool = True
    refusal: bool = False
    vectors: Sequence[Sequence[float]] | None = None


Script = Callable[[Call], Say]


# -- scripts made of others ----------------------------------------------------------------------------------------

_NULL: Final = (
    b'{"choices": [{"message": {"role": "assistant", "content": null}, "finish_reason": "stop"}], "usage": {}}'
)

TROUBLES: Final[Mapping[str, Say]] = {
    "rate_limited": Say("slow down", status=429, headers={"retry-after-ms": "200"}),
    "unavailable": Say("overloaded", status=503, headers={"retry-after": "1"}),
    "server_error": Say("internal error", status=500),
    "drop": Say(fault="drop"),
    "cut_body": Say("half of this never arrives", fault="cut_body"),
    "html": Say(fault="html"),
    "garbage": Say(fault="garbage"),
    "no_choices": Say(fault="no_choices"),
    "null": Say(raw=_NULL),
    "refusal": Say("I'm sorry, but I can't help with that.", refusal=True),
}
"""What can be had in place of an answer, by name."""


def troubled(script: Script, rates: Mapping[str, float]) -> Script:
    """A script with troubles: each name of TROUBLES, or ``truncated`` (the answer, cut in the middle), ``no_usage`` (not
    counted) or ``slow`` (a second later), befalls such a share of the requests. Which ones is decided by key and try, so a
    request that is sent again may fare better. Raises ValueError for a name that is none of these."""
    if unknown := rates.keys() - TROUBLES.keys() - {"truncated", "no_usage", "slow"}:
        raise ValueError(f"no trouble is called {min(unknown)}; there are: {', '.join(TROUBLES)}, truncated, ...")

    def say(call: Call) -> Say:
        left = int(fingerprint("trouble", call.key, call.nth)[:12], 16) / 16**12
        for name, share in rates.items():
            left -= share
            if left < 0:
                return TROUBLES[name] if name in TROUBLES else _changed(name, script(call))
        return script(call)

    return say


def _changed(name: str, say: Say) -> Say:
    if name == "truncated":
        return replace(say, text=say.text[: len(say.text) // 2], finish_reason="length")
    return replace(say, usage=False) if name == "no_usage" else replace(say, latency=say.latency + 1.0)


def repeating(script: Script, distinct: int) -> Script:
    """A script that knows only so many answers to each prompt, as a teacher that collapses."""

    def say(call: Call) -> Say:
        number = int(fingerprint(call.key)[:12], 16) % distinct
        return script(replace(call, key=fingerprint("repeating", call.prompt[:200], number)))

    return say


# -- the default script ------------------------------------------------------------------------------------------

# (name, signature, docstring, body, a body that is wrong, asserts)
_EXERCISES: Sequence[tuple[str, str, str, str, str, Sequence[str]]] = (
    ("count_over", "numbers, limit", "how many of `numbers` are greater than `limit`",
     "return sum(1 for number in numbers if number > limit)", "return len(numbers)",
     ("{f}([1, 5, 9], 4) == 2", "{f}([], {n}) == 0", "{f}([{n}], {n}) == 0")),
    ("shift_all", "numbers", "a list with {n} added to each of `numbers`",
     "return [number + {n} for number in numbers]", "return [number + {n} + 1 for number in numbers]",
     ("{f}([0, 1]) == [{n}, {n} + 1]", "{f}([]) == []")),
    ("every_other", "text", "every second character of `text`, from the first",
     "return text[::2]", "return text[1::2]",
     ("{f}('abcde') == 'ace'", "{f}('') == ''", "{f}('x') == 'x'")),
    ("longest_word", "sentence", "the longest word of `sentence`, the first of equals",
     "return max(sentence.split(), key=len, default='')", "return min(sentence.split(), key=len, default='')",
     ("{f}('a bird sings') == 'sings'", "{f}('') == ''", "{f}('one two') == 'one'")),
)  # fmt: skip


def default_script(call: Call) -> Say:
    """Plausible answers by what the prompt asks for: a score, an exercise, else a passage."""
    if call.embeddings:
        return Say()
    prompt = call.prompt.lower()
    # The key, not the prompt: draws of one prompt get different answers, as they would from a model.
    dice = int(fingerprint(call.key)[:12], 16)
    if "score" in prompt or "rate " in prompt:
        return Say(f"The extract was read with a student in mind.\n\nEducational score: {dice % 6}")
    if dice % 23 == 0:
        return Say("I'm sorry, but I can't help with that.", refusal=dice % 2 == 0)
    if "exercise" in prompt or "function" in prompt:
        asked = re.findall(r"function `(\w+)`", call.prompt)
        return _exercise(dice, asked[-1] if asked else "")
    return Say(_passage(call.prompt, dice))


def _exercise(dice: int, asked: str) -> Say:
    base, arguments, what, right, wrong, asserts = _EXERCISES[dice % len(_EXERCISES)]
    number = 2 + dice // 7 % 90
    name, variant = asked or f"{base}_{number}", dice // 11 % 10
    code = f'def {name}({arguments}):\n    """Return {what}."""\n    {wrong if variant == 0 else right}\n\n'
    code += "assert True\n" if variant == 1 else "".join(f"assert {line}\n" for line in asserts)
    # {f} and {n} only: other braces in the templates would be Python's own.
    code = code.replace("{f}", name).replace("{n}", str(number))
    if variant == 2:
        return Say(f"```python\n{code[: len(code) // 2]}", finish_reason="length")
    return Say(f"{'Sure! Here it is.' if variant == 3 else ''}\n```python\n{code}```\n".lstrip())


def _passage(prompt: str, dice: int) -> str:
    words = [w.strip(".,:;!?\"'`") for w in prompt.split() if len(w) > 4] or ["programming"]
    topic = words[dice % len(words)]
    name = f"value_{dice % 97}"
    return (
        f"# About {topic}\n\nA program is easier to read when each part has one task. Take {topic} as an example: we "
        f"give the idea a name, say what goes in and what comes out, and only then write it down.\n\n"
        f"```python\n{name} = [n * {dice % 9 + 2} for n in range({dice % 5 + 3})]\nprint({name})\n```\n\n"
        f"The list above is built in one line. Change the factor, predict the result, then run it: a wrong guess about "
        f"{topic} teaches more than a right one.\n"
    )
