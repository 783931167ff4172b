# ruff: noqa: ARG001 - checks are called alike, whether or not they look at all that they are given
"""What personal data looks like: each kind as a check of the bytes around a place where it may stand; numbers are next door.

Sources: RFC 2606 (names reserved for examples), the IBAN registry and ISO 7064 (mod 97), and the published prefixes of API keys (as
gitleaks and detect-secrets list them).

A check is given a text's bytes and a place in them, and gives the span that it is, or None. Nothing looks further than a few hundred
bytes, but for keys and tokens: those are read to their end, and nothing twice that could be told at once.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable
from functools import lru_cache
from typing import Final

__all__ = [
    "IBAN_SIZES",
    "SECRET_PREFIXES",
    "SECRET_RUNS",
    "Span",
    "email",
    "iban",
    "private_key",
    "secret",
    "url_password",
]

Span = tuple[str, int, int]
"""Kind, and the bytes from and to which it stands."""

WORDS: Final = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")

# -- e-mail -------------------------------------------------------------------------------------------------

_LETTER: Final = (
    rb"(?:[A-Za-z0-9]|\xc3[\x80-\x96\x98-\xb6\xb8-\xbf]|[\xc4-\xc8\xce\xcf-\xd3][\x80-\xbf]|\xc9[\x80-\x8f]|\xcc[\x80-\xbf]|"
    rb"\xcd[\x80-\xaf\xb0-\xbd\xbf]|\xd4[\x80-\xaf]|\xe1[\xb8-\xbf][\x80-\xbf])"
)
"""A letter or digit of ASCII; in UTF-8 one of Latin, Greek or Cyrillic, or an accent that stands apart. Chinese or Japanese, which has no
spaces, stands before an address without being a part of it."""
_BEHIND: Final = rb"(?![A-Za-z0-9_(]|-[A-Za-z0-9]|\.[A-Za-z0-9])"
_LOCAL: Final = re.compile(rb"[A-Za-z0-9](?:[A-Za-z0-9_%+'-]|\.(?!\.)){0,63}\Z")
_LOCAL_WIDE: Final = re.compile(_LETTER + rb"(?:" + _LETTER + rb"|[_%+'-]|\.(?!\.)){0,63}\Z")
_DOMAIN: Final = re.compile(rb"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,6}([A-Za-z]{2,12})" + _BEHIND)
_DOMAIN_WIDE: Final = re.compile(
    rb"(?:" + _LETTER + rb"(?:-{0,2}" + _LETTER + rb"){0,61}\.){1,6}([A-Za-z]{2,12}|\xd1\x80\xd1\x84)" + _BEHIND
)
_TOP: Final = frozenset(
    b"ac ad ae af ag ai al am ao aq ar as at au aw ax az ba bb bd be bf bg bh bi bj bm bn bo br bs bt bw by bz ca cc cd cf cg "
    b"ch ci ck cl cm cn co cr cu cv cw cx cy cz de dj dk dm do dz ec ee eg er es et eu fi fj fk fm fo fr ga gb gd ge gf gg gh gi "
    b"gl gm gn gp gq gr gs gt gu gw gy hk hm hn hr ht hu id ie il im in io iq ir is it je jm jo jp ke kg kh ki km kn kp kr kw ky "
    b"kz la lb lc li lk lr ls lt lu lv ly ma mc md me mg mh mk ml mm mn mo mp mq mr ms mt mu mv mw mx my mz na nc ne nf ng ni nl "
    b"no np nr nu nz om pa pe pf pg ph pk pl pm pn pr ps pt pw py qa re ro rs ru rw sa sb sc sd se sg sh si sk sl sm sn so sr ss "
    b"st su sv sx sy sz tc td tf tg th tj tk tl tm tn to tr tt tv tw tz ua ug uk us uy uz va vc ve vg vi vn vu wf ws ye yt za zm "
    b"zw com org net edu gov mil int info biz name pro mobi jobs travel museum coop aero asia cat tel post xxx "
    b"app dev page blog shop store online site website xyz club live life world today email cloud tech digital agency group team "
    b"work works company solutions services systems network media news press studio design art photography fitness health care "
    b"clinic dental law legal finance bank insurance money capital fund ventures energy green eco bio science education academy "
    b"school university institute training consulting engineering software codes games game fun ink wiki zone center space earth "
    b"one plus vip top win bid link click host global international foundation ngo ong church community social chat family "
    b"london berlin paris wien amsterdam hamburg koeln nyc tokyo sydney melbourne quebec scot wales irish swiss \xd1\x80\xd1\x84".split()
)
"""Country codes, and the names that most addresses have: `a @ b.shape`, `2x.png` and versions end otherwise."""
_NOBODYS: Final = re.compile(
    rb"(?i)@(?:[a-z0-9-]+\.)*(?:example\.(?:com|org|net|edu)|[a-z0-9-]+\.(?:example|test|invalid|localhost))\Z|"
    rb"\A(?:noreply|no-reply|donotreply|git|postmaster|mailer-daemon)@"
)


def email(data: bytes, at: int, reserved: bool) -> Span | None:
    """The address around an ``@``."""
    window = data[max(0, at - 64) : at]
    local = (_LOCAL if window.isascii() else _LOCAL_WIDE).search(window)
    domain = _DOMAIN.match(data, at + 1, at + 256) or _DOMAIN_WIDE.match(data, at + 1, at + 256)
    if local is None or domain is None or domain[1].lower() not in _TOP or local[0].endswith(b"."):
        return None
    begin, end = at - len(local[0]), domain.end()
    if not reserved and _NOBODYS.search(data[begin:end]):
        return None
    return "email", begin, end


_PLACEHOLDERS: Final = re.compile(
    rb"(?:\{.*\}|\[.*\]|\(.*\)|[$#]\{.*\}|\$\(.*\)|\$[A-Z_]+|\$(?i:\w*(?:pass|pwd|secret|token)\w*)|%\w+%|%\(\w+\)s|%[sdv]|"
    rb"(?i:\*+|x+|\.+|change[-_]?me|your[-_].*|"
    rb"(?:my|your|the|some)?[-_]?(?:secret|db|user|super)?[-_]?(?:pass(?:word|wd)?|pwd|secret|token)))\Z"
)
"""A variable, a template's field, a mask, or the word for it."""
_CREDENTIALS: Final = re.compile(rb"[A-Za-z0-9._%+~!$&*-]{0,64}:([^\s:@/\"'<>`]{1,128})@")


def url_password(data: bytes, at: int, reserved: bool) -> Span | None:
    """The password in ``://user:password@``, ``at`` its colon."""
    found = _CREDENTIALS.match(data, at + 3, at + 256)
    if found is None or (not reserved and _PLACEHOLDERS.match(found[1])):
        return None
    return "secret", *found.span(1)


# -- secrets ------------------------------------------------------------------------------------------------

_B64: Final = rb"[A-Za-z0-9_-]"
_SECRETS: Final = tuple(
    re.compile(pattern)
    for pattern in (
        rb"(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{16,}",
        rb"sk-(?:proj-|ant-|svcacct-|or-v1-)?" + _B64 + rb"{20,}",
        rb"(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}(?![A-Za-z0-9])",
        rb"gh[pousr]_[A-Za-z0-9]{36,}",
        rb"github_pat_[A-Za-z0-9_]{36,}",
        rb"glpat-" + _B64 + rb"{20,}",
        rb"xox[abeoprs]-[A-Za-z0-9-]{16,}",
        rb"AIza" + _B64 + rb"{35}(?![A-Za-z0-9_-])",
        rb"hf_[A-Za-z]{34,}",
        rb"npm_[A-Za-z0-9]{36}(?![A-Za-z0-9])",
        rb"pypi-AgE" + _B64 + rb"{50,}",
        rb"SG\." + _B64 + rb"{22}\." + _B64 + rb"{43}",
        rb"do[opr]_v1_[a-f0-9]{64}",
        rb"eyJ" + _B64 + rb"{8,}\.eyJ" + _B64 + rb"{8,}\." + _B64 + rb"*",
        rb"(?:aws_secret_access_key|AWS_SECRET_ACCESS_KEY|[Ss]ecretAccessKey)[\"' ]{0,3}[:=][\"' ]{0,3}(?P<value>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+])",
    )
)
SECRET_PREFIXES: Final = (
    *(b"sk-", b"sk_live_", b"sk_test_", b"rk_live_", b"rk_test_", b"AKIA", b"ASIA", b"ABIA", b"ACCA"),
    *(b"xoxa-", b"xoxb-", b"xoxe-", b"xoxo-", b"xoxp-", b"xoxr-", b"xoxs-"),
    *(
        b"ghp_",
        b"gho_",
        b"ghu_",
        b"ghs_",
        b"ghr_",
        b"github_pat_",
        b"glpat-",
        b"AIza",
        b"hf_",
        b"npm_",
        b"pypi-AgE",
    ),
    *(
        b"SG.",
        b"dop_v1_",
        b"doo_v1_",
        b"dor_v1_",
        b"eyJ",
        b"aws_secret_access_key",
        b"AWS_SECRET_ACCESS_KEY",
        b"SecretAccessKey",
    ),
    b"secretAccessKey",
)
"""What begins a secret, at the beginning of a word."""
SECRET_RUNS: Final = {
    **dict.fromkeys((b"sk-", b"glpat-", b"pypi-AgE", b"eyJ"), b"_-"),
    **{prefix: b"-" for prefix in SECRET_PREFIXES if prefix.startswith(b"xox")},
}
"""Those of them whose secret goes on as far as letters, digits and these signs do, so that the same prefix may stand in it again: what
the first of them is not, no later one is. To try each would be to read such a run as often as the prefix stands in it."""

_AGAIN: Final = re.compile(rb"(?<![A-Za-z0-9_])(?:" + b"|".join(map(re.escape, SECRET_RUNS)) + rb")")


def secret(data: bytes, at: int, reserved: bool) -> Span | None:
    """A key or token that begins with one of SECRET_PREFIXES."""
    return _secret(data, at, len(data), reserved)


def _secret(data: bytes, at: int, stop: int, reserved: bool) -> Span | None:
    for pattern in _SECRETS:
        found = pattern.match(data, at, stop)
        if found is None:
            continue
        where = found.span("value") if "value" in pattern.groupindex else found.span()
        value = data[where[0] : where[1]]
        if not reserved and (example := value.rfind(b"EXAMPLE")) >= 0:
            # AWS's own, and what is named so. Of a run that goes on a key may stand behind it: no later place in the run is tried.
            again = _AGAIN.search(data, where[0] + example, where[1])
            return None if again is None else _secret(data, again.start(), where[1], reserved)
        # A name in lower case and hyphens, as of a class of a style sheet, is no key; nor is a row of one letter.
        if not reserved and len(set(value)) < 10:
            return None
        if value.startswith(b"sk-") and not any(48 <= byte <= 57 for byte in value):
            return None
        return "secret", *where
    return None


_KEY_BEGINS: Final = re.compile(rb"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_KEY_ENDS: Final = re.compile(rb"-----END (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_KEY_BYTES: Final = 1 << 16
_KEY_LINES: Final = re.compile(rb"(?:(?:\s|\\n)*+[A-Za-z0-9+/=:,.-][A-Za-z0-9+/=:, .-]{15,79}(?=\s|\\n|\Z|\")){0,200}+")


@lru_cache(maxsize=1)
def _key_ends(data: bytes) -> tuple[list[int], list[int]]:
    """Where the last lines of private keys begin and end in a text: looked for once, not behind each first line."""
    found = [match.span() for match in _KEY_ENDS.finditer(data)]
    return [begin for begin, _ in found], [end for _, end in found]


def private_key(data: bytes, at: int, reserved: bool) -> Span | None:
    """A private key's block, from its first line to its last; of one that is cut off what looks like it."""
    begins = _KEY_BEGINS.match(data, at)
    if begins is None:
        return None
    first, last = _key_ends(data)
    place = bisect_left(first, begins.end())
    if place < len(last) and last[place] <= begins.end() + _KEY_BYTES:
        return "secret", at, last[place]
    lines = _KEY_LINES.match(data, begins.end(), begins.end() + _KEY_BYTES)
    return "secret", at, lines.end() if lines is not None else begins.end()


# -- accounts -----------------------------------------------------------------------------------------------

IBAN_SIZES: Final = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BR": 29, "BY": 28, "CH": 21,
    "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18, "FO": 18, "FR": 27,
    "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26,
    "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "MC": 27, "MD": 24,
    "ME": 22, "MK": 19, "MR": 27, "MT": 31, "MU": 30, "NL": 18, "NO": 15, "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29,
    "RO": 24, "RS": 22, "SA": 24, "SC": 31, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "TN": 24, "TR": 26, "UA": 29, "VA": 22,
    "VG": 24, "XK": 20,
}  # fmt: skip
"""Letters and digits of an IBAN, by country (SWIFT's registry)."""
_IBAN_EXAMPLES: Final = frozenset(
    {b"DE89370400440532013000", b"GB29NWBK60161331926819", b"FR1420041010050500013M02606"}
)

_SPACE: Final = re.compile(rb" |\xc2\xa0|\xe2\x80[\x87\x89\xaf]")


def iban(data: bytes, at: int, reserved: bool) -> Span | None:
    """An account's number that begins with a country and two digits; single spaces, also such as do not break, may stand in it."""
    size = IBAN_SIZES.get(data[at : at + 2].decode("ascii", "replace"), 0)
    found, place = bytearray(), at
    while place < len(data) and len(found) < size:
        byte = data[place]
        if 48 <= byte <= 57 or 65 <= byte <= 90:
            found.append(byte)
        else:
            space = _SPACE.match(data, place)
            if space is None or len(found) % 4 or data[place - 1] not in WORDS:
                return None
            place = space.end() - 1
        place += 1
    if not size or len(found) < size or (place < len(data) and data[place] in WORDS):
        return None
    digits = "".join(str(int(chr(byte), 36)) for byte in found[4:] + found[:4])
    if int(digits) % 97 != 1 or (not reserved and bytes(found) in _IBAN_EXAMPLES):
        return None
    return "iban", at, place


Check = Callable[[bytes, int, bool], Span | None]
