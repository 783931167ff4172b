"""The maths profile: layout folds, meaning never does."""

from __future__ import annotations

import re

import pyarrow as pa
import pytest
import twins
from hypothesis import given
from hypothesis import strategies as st

from curate.text import unicode
from curate.text.maths import LAYOUT, SIGNS, SIZED, VARIANTS, maths_profile
from curate.text.normal import canonical, code_profile, prose_profile

WHITE = "\t\n\v\f\r \x85\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
BLANK = (r"\,", r"\;", r"\:", r"\!", r"\>")
TOKEN = re.compile(rf"\\[A-Za-z]+|\\(?=[{WHITE}])|\\?[^{WHITE}]|[{WHITE}]", re.DOTALL)


def profile(*texts: str) -> list[str]:
    return maths_profile(pa.array(texts, pa.large_string())).to_pylist()


def twin(text: str) -> str:
    """Token by token, as the table in curate/text/maths.py says."""
    text = canonical(pa.array([text], pa.large_string()))[0].as_py()
    out, last, gap, line = "", "start", False, False
    for match in TOKEN.finditer(text):
        token, after = match[0], text[match.end() :][:1]
        name = token[1:] if re.fullmatch(r"\\[A-Za-z]+", token) else None
        if token[0] in WHITE or name in LAYOUT or (token == "\\" and after) or token in BLANK:
            gap, line = True, line or token == "\n"
            continue
        token = SIGNS.get(name or "", VARIANTS.get(token, token))
        token = {r"\(": "$", r"\)": "$", r"\[": "$$", r"\]": "$$"}.get(token, token)
        token = "\\" + token[2:] if name in SIZED else token
        if token[0] == "\\":
            kind = "command" if name else "operator"
        elif token[0] in "([{":
            kind = "open"
        elif token[0] in ")]}":
            kind = "close"
        elif token[0] in "+-*/=<>^_&|$" or token in SIGNS.values():
            kind = "operator"
        else:
            kind = "word" if unicode.kinds()[ord(token)] & unicode.WORD else "other"
        signed = token in "+-" and after not in (*WHITE, "")
        if gap and last != "start":
            if line:
                stays = True
            elif last in ("operator", "open") or kind in ("close", "command"):
                stays = False
            elif kind == "operator":
                stays = signed
            else:
                stays = last != "command" or (token.isascii() and token.isalpha())
            out += " " * stays
        out, last, gap, line = out + token, kind, False, False
    return out


VISIBLE = r"""
    \ \\ \, \; \! \( \) \[ \] \{ \} \| \% \$ $ $$ \quad \left \right \bigl \leftx \le \leq \alpha
    \frac \dfrac \tfrac \dbinom \times \in \to \cdot \displaystyle \é x X a b 12 3 4.5 . , : ! + - *
    / = < > ^ _ & | ( ) [ ] { } é 中 𝑥 α × ≤
"""
PIECES = (
    *(" ", "  ", "\n", "\r\n", "\t", "\xa0", "\u2003", "\\ ", "\x1c"),
    *("e\u0301", "\u2212", "\u22c5", "\u2a7d", "\u2215", "\x00"),
    *VISIBLE.split(),
)


@given(
    st.lists(
        st.lists(st.sampled_from(PIECES), max_size=14).map("".join).filter(lambda t: twins.judged(t.encode())),
        max_size=6,
    )
)
def test_profile_is_its_twin(texts):
    """The kernel over a batch gives what the table says of each row."""
    assert profile(*texts) == [twin(text) for text in texts]


@given(st.lists(st.binary(max_size=24), max_size=6))
def test_any_bytes(rows):
    """No bytes stop it, and it never makes a row longer than its canonical form."""
    array = pa.array(rows, pa.large_binary())
    _, offsets, data = array.buffers()
    text = pa.LargeStringArray.from_buffers(len(rows), offsets, data or pa.py_buffer(b""))
    got = maths_profile(text).cast(pa.large_binary())
    plain = canonical(text).cast(pa.large_binary()).to_pylist()
    assert all(len(g.as_py()) <= len(p) for g, p in zip(got, plain, strict=True))


@pytest.mark.parametrize(
    "same",
    [
        [r"\left( x + 1 \right) \le \dfrac {a}{b}", r"(x+1)\leq\frac{a}{b}", "(x + 1) \u2264 \\tfrac{a}{b}"],
        ["$3 + 4$", "$3+4$", r"\( 3+4 \)", "$ 3 +\u00a04 $"],
        [r"\[ y = x \, \]", "$$y=x$$"],
        ["x \u2212 1", "x - 1", "x-1"],
        [r"a \times b", "a\u00d7b", "a \u00d7 b"],
        [r"\alpha 2", r"\alpha2"],
        ["caf\u00e9 x", "cafe\u0301\n\nx "],
    ],
)
def test_layout_is_folded(same):
    """The same formula, set otherwise."""
    assert len(set(profile(*same))) == 1


@pytest.mark.parametrize(
    "others",
    [
        ["What is 3+4? Answer: 7.", "What is 5-70? Answer: 65."],
        ["x = a[i] + b", "x = a(i) - b", "x = a{i} + b", "x = A[i] + b"],
        ["x^2", "x_2", "x2", "x 2"],
        ["3. 5", "3.5", "3,5", "3, 5", "35", "3 5"],
        ["3 -4", "3-4", "34"],
        ["- 3\n- 4", "-3-4"],
        [r"\alpha x", r"\alphax", r"\alpha"],
        [r"a \\ b", r"a \ b", r"a \b"],
        [r"\frac{a}{b}", r"\frac{b}{a}", "a/b", r"\binom{a}{b}"],
        ["1/2", "1\u20442", "12"],
        ["10^{-3}", "10^{3}", "10^-3"],
        ["x < y", "x > y", r"x \le y", r"x \lt y"],
        ["f'(x)", "f(x)", 'f"(x)'],
        [r"\phi", r"\varphi"],
    ],
)
def test_meaning_is_never_folded(others):
    """What differs in a digit, sign, bracket, script or letter stays different, in every profile."""
    for fold in (maths_profile, prose_profile, code_profile):
        if fold is not prose_profile or not any("\n" in text for text in others):
            assert len(set(fold(pa.array(others, pa.large_string())).to_pylist())) == len(others)
