"""Slow, obvious Python version of ``curate.text.tokens``, for one string at a time: spaCy's rules restated."""

from __future__ import annotations

import re

from curate.text import token_tables as tables
from curate.text.token_exceptions import CUT, SIGNED, SIGNED_CUT, WHOLE

CASES = {word: [word] for word in (WHOLE + SIGNED).split()}
CASES |= {word.replace("|", ""): word.split("|") for word in (CUT + SIGNED_CUT).split()}
UNITS = sorted(tables.UNITS.split(), key=len, reverse=True)
LABEL = "A-Za-z0-9\u0080-\U0010ffff"
HOST = re.compile(
    rf"((?:[{LABEL}][{LABEL}_-]{{0,62}})?[{LABEL}]\.)+(?P<top>[^.:/?#]{{2,63}})(:[0-9]{{2,5}})?([/?#].*)?", re.DOTALL
)
NUMBERS = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+(:[0-9]{2,5})?([/?#].*)?", re.DOTALL)


def bits(char: str) -> int:
    return int(tables.characters()[ord(char)]) if char else 0


def digit(char: str) -> bool:
    return char != "" and char in "0123456789"


def prefix(s: str) -> int:
    if s.startswith(".."):
        return len(s) - len(s.lstrip("."))
    if s[0] == "+":
        return 0 if digit(s[1:2]) else 1
    return 1 if bits(s[0]) & tables.PREFIX else 0


def dot_comes_off(left: str) -> bool:
    last = left[-1:]
    if not last:
        return False
    if digit(last) or last in "%²-+" or bits(last) & tables.LOWER:
        return True
    if bits(last) & tables.SUFFIX and not bits(last) & tables.ICON and last not in "–—":
        return True
    return bool(bits(last) & tables.UPPER and bits(left[-2:-1]) & tables.UPPER)


def suffix(s: str) -> int:
    if s.endswith(".."):
        return len(s) - len(s.rstrip("."))
    if s[-1] == ".":
        return int(dot_comes_off(s[:-1]))
    if s[-2:] in ("'s", "'S", "’s", "’S"):
        return 2
    if bits(s[-1]) & tables.SUFFIX:
        return 1
    if digit(s[-2:-1]) and (s[-1] == "+" or bits(s[-1]) & tables.CURRENCY):
        return 1
    for unit in UNITS:
        if s.endswith(unit) and digit(s[: -len(unit)][-1:]):
            return len(unit)
    return 0


def infix(s: str, at: int) -> int:
    c = s[at]
    if s[at : at + 2] == "..":
        return len(s[at:]) - len(s[at:].lstrip("."))
    if bits(c) & tables.ICON or c == "…":
        return 1
    before, behind = s[at - 1 : at], s[at + 1 : at + 2]
    left, right = bits(before), bits(behind)
    alnum = left & tables.ALPHA or digit(before)
    if c in "+-*^" and digit(before) and (digit(behind) or behind == "-"):
        return 1
    if c == ".":
        return int(bool(left & (tables.LOWER | tables.QUOTE) and right & (tables.UPPER | tables.QUOTE)))
    if c == ",":
        return int(bool(left & tables.ALPHA and right & tables.ALPHA))
    if c in ":<>=/":
        return int(bool(alnum and right & tables.ALPHA))
    for hyphen in ("-", "–", "—", "--", "---", "——", "~"):
        if alnum and s.startswith(hyphen, at) and bits(s[at + len(hyphen) :][:1]) & tables.ALPHA:
            return len(hyphen)
    return 0


def host(s: str) -> bool:
    found = HOST.fullmatch(s)
    if found and all(bits(c) & tables.LOWER for c in found["top"]):
        return True
    return bool(NUMBERS.fullmatch(s))


def url(s: str) -> bool:
    if "." not in s:
        return False
    starts = [0]
    for found in re.finditer("//|@", s):
        scheme = found.group() == "//" and re.fullmatch(rf"[{LABEL}+._-]{{2,}}:", s[: found.start()])
        # Someone stands before an @: "@a-b.org" is no address.
        if found.start() and s[found.end() :] and (scheme or (found.group() == "@" and len(starts) < 5)):
            starts.append(found.end())
    return any(host(s[at:]) for at in starts if s[at:])


def middle(s: str) -> list[str]:
    if s in CASES:
        return CASES[s]
    if url(s):
        return [s]
    out, at, offset = [], 0, 0
    while at < len(s):
        width = infix(s, at)
        if width and at:
            out += [s[offset:at], s[at : at + width]]
            offset = at + width
        at += width or 1
    return [part for part in [*out, s[offset:]] if part]


def joins(s: str) -> bool:
    """An exception that the other rules would cut."""
    return s in CASES and bool(prefix(s) or suffix(s) or any(infix(s, at) for at in range(1, len(s))))


def cut(s: str) -> list[str]:
    front: list[str] = []
    back: list[str] = []
    while s and s not in CASES:
        a = prefix(s)
        if a and s[a:] in CASES:
            front.append(s[:a])
            s = s[a:]
            break
        b = suffix(s)
        if b and s[:-b] in CASES:
            back.append(s[-b:])
            s = s[:-b]
            break
        if not a and not b:
            break
        if a and a + b > len(s):
            b = 0
        if a:
            front.append(s[:a])
        if b:
            back.append(s[-b:])
        s = s[a : len(s) - b]
    found = front + (middle(s) if s else []) + back[::-1]
    out, at = [], 0
    while at < len(found):
        last = next((k for k in range(min(at + 4, len(found)), at, -1) if joins("".join(found[at:k]))), None)
        out += CASES["".join(found[at:last])] if last else [found[at]]
        at = last or at + 1
    return out


def tokens(text: str) -> list[str]:
    return [token for word in text.split() for token in cut(word)]
