"""Slow, obvious Python versions of the kernels on lines, on one row of bytes at a time."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import strategies as st
from twins import judged

from curate.text.capitals import capitals
from curate.text.line_corrections import COUNTED
from curate.text.line_shapes import TERMINAL_POINTS
from curate.text.sentences import ABBREVIATIONS
from curate.text.unicode import kinds

POLICIES = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")
CITATION = re.compile(r"\[\d*]|\[edit]|\[citation needed]")

PIECES = (
    *(
        "lorem ipsum",
        "Lorem Ipsum",
        "lorem\u0130psum",
        "JavaScript",
        "javascript",
        "xjavascripty",
        "java[1]script",
        "{",
    ),
    *(
        "Terms of Use",
        "PRIVACY POLICY",
        "Cookie policy",
        "uses cookies",
        "use of cooKies",
        "use coo\u212aies",
        "cookies",
    ),
    *(
        "use",
        " use ",
        "coo",
        "privacy",
        " policy",
        "[1]",
        "[]",
        "[edit]",
        "[citation needed]",
        "[[2]3]",
        "[x]",
        "[\u0663]",
    ),
    *(
        "end.",
        "end!",
        "end?",
        'end"',
        "end'",
        "end...",
        "..",
        ".",
        "!?",
        "?! ",
        '."',
        ".)",
        ". ",
        "? ",
        "! ",
        "\u3002",
        "\uff01",
    ),
    *(
        "Mr. ",
        "e.g. ",
        "(etc.) ",
        "a. ",
        "U.S. ",
        "USA. ",
        "C. ",
        "it's. ",
        "3.5. ",
        "x.Y",
        "/. ",
        "St. ",
        "Messrs. ",
        "Ph.D. ",
    ),
    *("\n", "\n", "\n", "\r\n", "\r", "\v", "\f", "\x1c", "\x1e", "\x1f", "\x85", "\u2028", "\u2029", "\n\n", "\n \n"),
    *(
        " ",
        "  ",
        "\t",
        "\xa0",
        "\u2003",
        "\u3000",
        "\u1680",
        "\u205f",
        "\u200b",
        "word ",
        "Two words ",
        "a b c d e f g h ",
    ),
    *(
        "A normal line of text, as it is. ",
        "UPPER CASE",
        "\u00c9\u00c8",
        "12345",
        "\u0662\u0663",
        "\u4f60\u597d",
        "\u0e44\u0e17\u0e22",
    ),
    *(
        "3 likes",
        "1,234 Comments",
        "1.2K views",
        "(5m  shares)",
        "7 x",
        "4 likesx",
        "Sign-in ",
        "sign-in",
        "Read more...",
        "read MORE...",
    ),
    *(
        "items in cart",
        " Items in Cart",
        "items in cartitems in cart",
        "e\u0301",
        "\u00bd",
        "_",
        "x" * 40,
        "bad",
        "Bad word",
        "b\u00e4d",
    ),
)
BYTES = (b"\xff", b"\x80", b"\xc2", b"\xe2\x80", b"\xe2", b"\xed\xa0\x80", b"\xf0\x9f", b"\x00", b"\xc0\x80")
ROW = (
    st.lists(
        st.one_of(
            st.sampled_from([p.encode() for p in PIECES]), st.sampled_from(BYTES), st.text(max_size=4).map(str.encode)
        ),
        max_size=40,
    )
    .map(b"".join)
    .filter(judged)
)
ROWS = st.lists(ROW, max_size=6)


def text_of(row: bytes) -> str:
    return row.decode("utf-8", "surrogateescape")


def bytes_of(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def size(text: str) -> int:
    """Characters as the kernels count them: a byte that is no valid UTF-8 counts unless it could continue one."""
    return sum(byte & 0xC0 != 0x80 for byte in bytes_of(text))


def _ascii_lower(text: str) -> str:
    return "".join(c.lower() if c.isascii() else c for c in text)


def _kind(char: str) -> int:
    return 0 if 0xD800 <= ord(char) <= 0xDFFF else int(kinds()[ord(char)])


# -- sentences ------------------------------------------------------------------------------------------------


def _closes(line: str, i: int) -> bool:
    used = 0
    for char in line[i : i + 33]:
        if used >= 32:
            return False
        if char.isspace():
            return True
        if char.isascii():
            if char.isalnum() or char in "-/@\\|~+=^$%":
                return False
        elif not _kind(char) & 8:
            return False
        used += len(bytes_of(char))
    return True


def _opens(line: str, i: int) -> bool:
    for used, char in enumerate(reversed(line[max(0, i - 33) : i])):
        if used >= 32:
            return False
        if char.isascii() and char.isspace():
            return True
        if not char.isascii() or char.isalnum():
            return False
    return True


def _full_stop(line: str, i: int) -> bool:
    left, right = line[i - 1 : i] if i else "", line[i + 1 : i + 2]
    small = "a" <= left <= "z"
    if "." in (left, right):
        return False
    if small and "A" <= right <= "Z":
        return True
    if not _closes(line, i + 1):
        return False
    if "A" <= left <= "Z":
        return i >= 2 and "A" <= line[i - 2] <= "Z"
    if left and left in "/=@$|~^\\":
        return False
    word = re.search(r"[A-Za-z.]*$", line[max(0, i - 20) : i]).group()  # type: ignore[union-attr]
    abbreviated = word in ABBREVIATIONS.split() or len(word) == 1
    return not (small and abbreviated and _opens(line, i - len(word)))


def sentences(line: str) -> int:
    count, ended = 1, False
    for i, char in enumerate(line):
        if char == ".":
            ended |= _full_stop(line, i)
        elif char in "!?":
            ended |= _closes(line, i + 1) or _opens(line, i)
        elif char in "\u3002\uff01\uff1f":
            ended |= _closes(line, i + 1)
        elif ended and ((char.isalnum() or char in "$+<=>^`|~") if char.isascii() else not _kind(char) & 12):
            count += 1
            ended = False
    return count


# -- C4 -------------------------------------------------------------------------------------------------------


def c4(row: bytes, counting: str, **given: Any) -> tuple[bytes, dict[str, int]]:
    """What is left of a row, and its counts, as ``filter.c4`` counts them."""
    asked = {
        "terminal": True,
        "citations": True,
        "javascript": True,
        "policy": True,
        "min_words": 5 if counting == "paper" else 3,
        "max_word_chars": 1000,
        "paragraph_chars": 200,
        **given,
    }
    names = (
        "lines removed_lines removed_chars long_word_chars citation_chars unended_chars short_line_chars "
        "javascript_chars policy_chars sentences paragraphs lorem_ipsum javascript curly_brackets"
    )
    n = dict.fromkeys(names.split(), 0)
    if counting == "dolma":
        return _c4_dolma(row, asked, n)
    kept = []
    ends = (".", "?", "!", '"') if counting == "paper" else (".", "?", "!", '"', "'")
    for line in text_of(row).splitlines():
        line = line.strip()
        words = line.split()
        n["lines"] += line != ""
        goes = None
        cut = line
        if any(size(word) > asked["max_word_chars"] for word in words):
            goes = "long_word_chars"
        else:
            cut = CITATION.sub("", line) if asked["citations"] else line
            n["citation_chars"] += size(line) - size(cut)
            count = len(cut.split()) if counting == "paper" else len(words)
            lower = cut.lower()
            if asked["terminal"] and (not cut.endswith(ends) or cut.endswith("...")):
                goes = "unended_chars"
            elif count < asked["min_words"]:
                goes = "short_line_chars"
            else:
                n["lorem_ipsum"] += "lorem ipsum" in lower
                n["javascript"] += "javascript" in lower
                if asked["javascript"] and "javascript" in lower:
                    goes = "javascript_chars"
                else:
                    n["curly_brackets"] += "{" in cut
                    if asked["policy"] and any(policy in lower for policy in POLICIES):
                        goes = "policy_chars"
        if goes:
            n[goes] += size(cut)
            n["removed_lines"] += line != ""
            n["removed_chars"] += size(cut)
            continue
        kept.append(cut)
        n["sentences"] += sentences(cut)
        n["paragraphs"] += size(cut) >= asked["paragraph_chars"]
    n["removed_chars"] += n["citation_chars"]
    return bytes_of("\n".join(kept).strip()), n


def _c4_dolma(row: bytes, asked: dict[str, Any], n: dict[str, int]) -> tuple[bytes, dict[str, int]]:
    kept = []
    for raw in re.findall(r"[^\n]*\n|[^\n]+", text_of(row)):
        line = raw.strip()
        n["lines"] += line != ""
        n["lorem_ipsum"] += "lorem ipsum" in line.lower()
        n["javascript"] += "javascript" in line.lower()
        n["curly_brackets"] += "{" in line
        goes = None
        if asked["terminal"] and not line.endswith((".", "?", "!", '"')):
            goes = "unended_chars"
        elif len(line.split()) < asked["min_words"]:
            goes = "short_line_chars"
        if goes:
            n[goes] += size(line)
            n["removed_lines"] += line != ""
            n["removed_chars"] += size(line)
            continue
        kept.append(raw)
        n["sentences"] += sentences(line) if line else 0
        n["paragraphs"] += size(line) >= asked["paragraph_chars"]
    return bytes_of("".join(kept)), n


def bad_words(row: bytes, entries: list[str]) -> bool:
    """Whether a row holds an entry: C4's expression, but only ASCII in lower case."""
    lower = [_ascii_lower(entry.strip()) for entry in entries if entry.strip()]
    if not lower:
        return False
    pattern = r"(?:\W|^)({})(?:\W|$)".format("|".join(map(re.escape, lower)))
    # A dollar sign of Python's would also stand before a line end, which is no word character either.
    return re.search(pattern, _ascii_lower(text_of(row))) is not None


# -- FineWeb --------------------------------------------------------------------------------------------------


def shapes(row: bytes, short: int, ends: tuple[int, ...] = TERMINAL_POINTS) -> dict[str, int]:
    """What line_shapes counts."""
    text = text_of(row)
    lines = [line for line in text.split("\n") if line.strip()]
    seen: set[str] = set()
    repeats = [line for line in lines if line in seen or seen.add(line)]  # type: ignore[func-returns-value]
    return {
        "chars": size(text.replace("\n", "")),
        "newlines": text.count("\n"),
        "lines": len(lines),
        "ended_lines": sum(line.endswith(tuple(map(chr, ends))) for line in lines),
        "short_lines": sum(size(line) <= short for line in lines),
        "duplicate_lines": len(repeats),
        "duplicate_chars": sum(map(size, repeats)),
    }


# -- RefinedWeb -----------------------------------------------------------------------------------------------


def _named(words: list[str]) -> int:
    return sum(_kind(word[0]) & 129 == 1 for word in words)


def _cut(line: str, phrase: str, place: str) -> str:
    pattern = {"anywhere": r"\s?{}", "end": r"\s?{}\Z", "begin": r"\A{}\s?"}[place].format(
        re.escape(_ascii_lower(phrase))
    )
    out, last = [], 0
    for match in re.finditer(pattern, _ascii_lower(line)):
        out.append(line[last : match.start()])
        last = match.end()
    return "".join([*out, line[last:]])


def corrected(
    row: bytes,
    max_upper: float = 0.5,
    max_numeric: float = 0.999999,
    short_words: int = 10,
    anywhere: tuple[str, ...] = ("items in cart",),
    end: tuple[str, ...] = ("read more...",),
    begin: tuple[str, ...] = ("sign-in",),
) -> tuple[bytes, dict[str, int]]:
    """What is left of a row after RefinedWeb's corrections, and its counts."""
    names = (
        "words removed_words lines removed_lines removed_chars uppercase_chars numeric_chars counter_chars one_word_chars "
        "phrase_chars"
    )
    n = dict.fromkeys(names.split(), 0)
    counter = re.compile(r"^\W*[0-9][0-9,.]*[kmb]?\s+(?:{})\W*$".format("|".join(COUNTED.split())))
    kept = []
    for line in text_of(row).split("\n"):
        words = line.split()
        inner = line.strip()
        points = [ord(char) for char in line]
        upper = sum(point < 0x20000 and bool(capitals()[point]) for point in points)
        digits = sum(_kind(char) & 64 != 0 for char in line)
        n["words"] += _named(words)
        n["lines"] += bool(words)
        goes = None
        if line and upper / len(line) > max_upper:
            goes = "uppercase_chars"
        elif line and digits / len(line) > max_numeric:
            goes = "numeric_chars"
        elif counter.search(_ascii_lower(line)):
            goes = "counter_chars"
        elif line and len(words) < 2:
            goes = "one_word_chars"
        elif words and len(words) <= short_words:
            cut = inner
            for place, phrases in (("anywhere", anywhere), ("end", end), ("begin", begin)):
                for phrase in phrases:
                    cut = _cut(cut, phrase, place) if phrase else cut
            if cut != inner:
                if not cut.split():
                    goes = "phrase_chars"
                else:
                    n["phrase_chars"] += size(inner) - size(cut)
                    n["removed_chars"] += size(inner) - size(cut)
                    n["removed_words"] += _named(words) - _named(cut.split())
                    line = cut
        if goes:
            n[goes] += size(inner)
            n["removed_chars"] += size(inner)
            n["removed_lines"] += bool(words)
            n["removed_words"] += _named(words)
            continue
        kept.append(line)
    return bytes_of("\n".join(kept).strip()), n
