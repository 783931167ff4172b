"""Personal data that is numbers: addresses of machines, telephones, cards, US social security numbers.

Sources: RFC 5737 and 3849 (what is reserved for examples), ITU E.164 (country codes), the North American, French, British and German
numbering plans and what they set apart for fiction, ISO/IEC 7812 and Luhn (cards), the SSA's rules for numbers never given out.
"""

from __future__ import annotations

import ipaddress
import re
from bisect import bisect_left
from collections.abc import Iterator
from typing import Final

from curate.text.personal_kinds import WORDS, Span

__all__ = ["ip6", "number"]

# -- addresses of machines ----------------------------------------------------------------------------------

_IP6: Final = re.compile(rb"[0-9A-Fa-f]{4}(?::[0-9A-Fa-f]{0,4}){2,7}")
_IP4: Final = re.compile(rb"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?!\d|\.\d)")
_RESOLVERS: Final = frozenset(
    [
        "8.8.4.4",
        "8.8.8.8",
        "1.1.1.1",
        "1.0.0.1",
        "9.9.9.9",
        "208.67.222.222",
        "208.67.220.220",
        "2001:4860:4860::8888",
        "2001:4860:4860::8844",
    ]
)
_OBJECTS: Final = (b"1.2.", b"1.3.", b"2.5.", b"2.16.")
_VERSION: Final = re.compile(
    rb"(?i)(?:\b(?:v|ver|rev|build|section|sec|chapter|rfc)(?:[ .:=\n(]|\xc2\xa0){0,3}|(?:versions?|release)(?:[ .:=\n\"'>(]|\xc2\xa0){0,4}|"
    rb"\xc2\xa7 ?|[=<>~!]= ?|[~^] ?|[-_]|[A-Za-z0-9_.+)-]/)\Z"
)
"""A word for it, or a comparison, or it is a part of a name. A scheme's ``://``, an assignment and a tag are in front of addresses, too."""
_VERSION_BYTES: Final = 16


def ip6(data: bytes, at: int, reserved: bool) -> Span | None:
    """An address of the sixth version that is somebody's: a global one."""
    found = _IP6.match(data, at, at + 40)
    if found is None:
        return None
    end = found.end()
    while data[end - 1] == 58 and data[end - 2] != 58:
        end -= 1
    if end < len(data) and data[end] in WORDS:
        return None
    return ("ip", at, end) if _somebodys(data[at:end], reserved) else None


def _somebodys(raw: bytes, reserved: bool) -> bool:
    try:
        address = ipaddress.ip_address(raw.decode("ascii"))
    except ValueError:
        return False
    if reserved:
        return True
    shared = address.is_multicast or str(address) in _RESOLVERS
    return address.is_global and not shared


# -- numbers ------------------------------------------------------------------------------------------------

_CARD: Final = re.compile(
    rb"(?<![\d.-])(?:\d{4}([ -]?)\d{4}\1\d{4}\1\d{4}|3[47]\d\d([ -]?)\d{6}\2\d{5}|3[068]\d\d([ -]?)\d{6}\3\d{4})(?![\d-]|\.\d)"
)
_TEST_CARDS: Final = frozenset(
    b"4111111111111111 4242424242424242 4000056655665556 5555555555554444 5105105105105100 2223003122003222 378282246310005 "
    b"371449635398431 6011111111111117 6011000990139424 3056930009020004 30569309025904 38520000023237 3530111333300000 "
    b"4012888888881881".split()
)
_SSN: Final = re.compile(rb"(?<![\d-])(\d{3})-(\d{2})-(\d{4})(?![\d-])")
_NANP: Final = re.compile(
    rb"(?<!\d)(?<!\d[-.])(?:1[ .-])?(?:\(([2-9]\d\d)\)[ .-]?|([2-9]\d\d)([-.]))([2-9]\d\d)(?(3)\3|[ .-])(\d{4})(?![\d-]|\.\d)"
)
_PAIRS: Final = re.compile(rb"(?<![\d.-])0[1-9]([ .-])\d\d(?:\1\d\d){3}(?![\d-]|[ .]\d)")
_MOBILE: Final = re.compile(
    rb"(?<![\d.-])(?:(?:\(07\d{3}\)|07\d{3})[ -]\d{3}[ -]?\d{3}|(?:\(01[567]\d{1,2}\)|01[567]\d{1,2})[ /-]\d{3,4}[ -]?\d{2,5})(?![\d-]|[ .]\d)"
)
_NO_HEX: Final = rb"(?:a[bd]|be|c[ae]|d[ae]|ed|fa|cafe|face)\b"
_HEX: Final = rb"(?!" + _NO_HEX + rb")(?=[0-9]*[a-f])(?:[0-9a-f]{2}){1,2}\b"
_DUMPED: Final = (
    re.compile(rb"(?i)(?:(?:\b[0-9a-f]{2}[ -]{1,2}){2}|\b" + _HEX + rb"[ -]{1,2}|\b0{3}[0-9a-f]{4,5}:? {1,2})\Z"),
    re.compile(rb"(?i)-[0-9a-f]{2}\b|(?:[ .-]{1,2}" + _NO_HEX + rb"){0,3}[ .-]{1,2}" + _HEX),
)
"""Before and behind digits that are bytes of a dump: bytes in hexadecimal (words that are such do not tell), its offset."""
_ABROAD: Final = re.compile(rb"[1-9]\d{0,3}(?:[ .-]?\(0\)|[ .-]?\(\d{1,5}\)|[ ./-]?\d{1,12}){1,8}")
_OPENED: Final = re.compile(
    rb"\(0\d{1,4}\)[ -]?\d{3,8}(?:[ -]\d{2,5})?(?![\d-]|[ .]\d)|(?<![\d.-])0[789]0-\d{4}-\d{4}(?![\d-])"
)
"""An area in parentheses, as most countries of Europe write it; a mobile number as Japan does."""
_EXTENSION: Final = re.compile(rb"(?: ?[xX]| ext\.? ?)\d{1,6}(?![A-Za-z0-9_])")
_MOST_DIGITS: Final = 15
"""E.164."""
_TOLD: Final = re.compile(
    rb"(?<!\d)(?:\(\d{1,5}\))?[ ./-]?\d(?:(?!\. )[ .()/-]{0,2}\d){6,14}(?!\d)|\(\d{2,5}\)(?:(?!\. )[ ./-]{0,2}\d){4,11}(?!\d)"
)
_CALLED: Final = re.compile(
    rb"(?i)(?:\b(?:tel|telephone|telefon|telefono|phone|phones|mobile|mobil|cell|cellphone|handy|fax|whatsapp|sms|hotline|"
    rb"call (?:me|us|him|her|them)|text me|reach (?:me|us|him|her|them)|ring me)|t\xc3\xa9l(?:\xc3\xa9phone)?)\b[^\n\d]{0,24}\Z"
)
_GLUED: Final = WORDS | frozenset(b")+")
_DATE: Final = re.compile(rb"(?:\d{4}([-./])\d{1,2}\1\d{1,2}|\d{1,2}([-./])\d{1,2}\2\d{2,4})(?![-./]?\d)")
_DAY: Final = re.compile(rb"20\d\d([-./])(?:0?[1-9]|1[0-2])\1(?:[0-2]?\d|3[01])(?!\d)")
"""Also with more behind it; 20 is Egypt, too."""
_DECIMAL: Final = re.compile(rb"\d{1,3}\.(?:\d{4,}(?![-./]?\d)|\d+[ -]\d+\.\d+(?![.\d]))")
"""One alone, or two."""
_CODES: Final = (
    "1 7 20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 62 63 64 65 66 81 82 84 "
    "86 90 91 92 93 94 95 98 211 212 213 216 218 220 221 222 223 224 225 226 227 228 229 230 231 232 233 234 235 236 "
    "237 238 239 240 241 242 243 244 245 246 248 249 250 251 252 253 254 255 256 257 258 260 261 262 263 264 265 266 "
    "267 268 269 290 291 297 298 299 350 351 352 353 354 355 356 357 358 359 370 371 372 373 374 375 376 377 378 380 "
    "381 382 383 385 386 387 389 420 421 423 500 501 502 503 504 505 506 507 508 509 590 591 592 593 594 595 596 597 "
    "598 599 670 672 673 674 675 676 677 678 679 680 681 682 683 685 686 687 688 689 690 691 692 850 852 853 855 856 "
    "880 886 960 961 962 963 964 965 966 967 968 970 971 972 973 974 975 976 977 992 993 994 995 996 998 "
)
_COUNTRIES: Final = frozenset(_CODES.split())
"""Country codes of E.164."""
_LATITUDE: Final = re.compile(rb"(?:\d{4}-\d{5}|\d{6}-\d{7})\Z")
"""Of a place, and its longitude (ISO 6709)."""
_FICTION: Final = re.compile(
    rb"(?:1?[2-9]\d\d555(?:01\d\d|1212)|(?:44|0)7700900\d{3}|(?:44|0)207946\d{4}|(?:33|0)(?:19900|26191|35301|46571|53649|63998)\d{4})\Z"
)


_SIGNS: Final = re.compile(rb"\xc2\xa0|\xe2\x80[\x87\x89\x90-\x93\xaf]")
"""Spaces that do not break or are thin, hyphens, the dashes of a figure and of en: what typesetting puts between digits."""
_AROUND: Final = 64
"""Bytes beside a run that checks may look at."""


def number(data: bytes, at: int, end: int, reserved: bool) -> Iterator[Span]:
    """What stands in a run of digits with signs between them, from its first digit to behind its last one."""
    if data[at:end].isascii():
        yield from _number(data, at, end, reserved)
        return
    said, places = _in_ascii(data, max(0, at - _AROUND), end + _AROUND)
    for kind, start, stop in _number(said, bisect_left(places, at), bisect_left(places, end), reserved):
        yield kind, places[start], places[stop]


def _in_ascii(data: bytes, begin: int, end: int) -> tuple[bytes, list[int]]:
    """A part of a text with a space or a hyphen for each of _SIGNS; where each byte of it, and its end, stands in the text."""
    said, places, last = bytearray(), list[int](), begin
    for sign in _SIGNS.finditer(data, begin, end):
        said += data[last : sign.start()]
        said.append(45 if 0x90 <= data[sign.end() - 1] <= 0x93 else 32)
        places += range(last, sign.start() + 1)
        last = sign.end()
    end = min(end, len(data))
    return bytes(said + data[last:end]), [*places, *range(last, end + 1)]


def _number(data: bytes, at: int, end: int, reserved: bool) -> Iterator[Span]:
    before = data[at - 1] if at > 0 else 32
    if before in WORDS or (before == 46 and at > 1 and data[at - 2] in WORDS):
        return
    if end < len(data) and data[end] in WORDS and not _EXTENSION.match(data, end):
        return
    if before == 40:
        at -= 1
    for check in (_address, _card, _ssn, _telephone):
        yield from check(data, (at, end), reserved)


_Run = tuple[int, int]


def _address(data: bytes, run: _Run, reserved: bool) -> Iterator[Span]:
    until = -1
    for found in _IP4.finditer(data, *run):
        begin, end = found.span()
        # Of one digit each: a version. Object identifiers. Networks. At a line's beginning, with a dot behind it: a section.
        if not reserved and (len(found[0]) == 7 or found[0].startswith(_OBJECTS) or found[0].endswith(b".0")):
            continue
        if (begin == 0 or data[begin - 1] == 10) and end + 1 < len(data) and data[end] == 46:
            continue
        ranged = begin == until + 1 and data[until] == 45
        version = not ranged and _VERSION.search(data[max(0, begin - _VERSION_BYTES) : begin])
        if version or (end + 1 < len(data) and data[end : end + 2] == b"-r"):
            continue
        if _somebodys(found[0], reserved):
            yield "ip", begin, end
            until = end


def _card(data: bytes, run: _Run, reserved: bool) -> Iterator[Span]:
    for found in _CARD.finditer(data, *run):
        digits = bytes(byte for byte in found[0] if 48 <= byte <= 57)
        if _issued(digits) and _luhn(digits) and (reserved or digits not in _TEST_CARDS):
            yield "card", *found.span()


def _issued(digits: bytes) -> bool:
    """Whether a card of that length begins so (ISO/IEC 7812: Visa, Mastercard, Discover, UnionPay, JCB, Amex, Diners)."""
    first, four = digits[:1], int(digits[:4])
    if len(digits) != 16:
        return True  # told by the expression
    return (
        first == b"4" or 5100 <= four < 5600 or 2221 <= four <= 2720 or four == 6011 or 6440 <= four < 6600 or 6200 <= four < 6300
        or 3528 <= four < 3590
    )  # fmt: skip


def _luhn(digits: bytes) -> bool:
    values = [byte - 48 for byte in reversed(digits)]
    doubled = [v * 2 - 9 * (v > 4) for v in values[1::2]]
    return (sum(values[::2]) + sum(doubled)) % 10 == 0


def _ssn(data: bytes, run: _Run, reserved: bool) -> Iterator[Span]:
    for found in _SSN.finditer(data, *run):
        area, group, serial = found.groups()
        never = area in (b"000", b"666") or area >= b"900" or group == b"00" or serial == b"0000"
        sample = found[0] in (b"078-05-1120", b"219-09-9999", b"123-45-6789")
        if not never and (reserved or not sample):
            yield "ssn", *found.span()


def _telephone(data: bytes, run: _Run, reserved: bool) -> Iterator[Span]:
    at, end = run
    told = _CALLED.search(data[max(0, at - 48) : at]) is not None
    abroad = _abroad(data, at, end, told)
    if abroad is None and at > 0 and data[at - 1] == 43:
        return
    if abroad is not None:
        if reserved or not _FICTION.match(_digits(data[abroad[0] : abroad[1]])):
            more = _EXTENSION.match(data, abroad[1])
            yield "phone", abroad[0], abroad[1] if more is None else more.end()
        at, told = abroad[1], False
    for pattern in (_TOLD,) if told else (_NANP, _PAIRS, _MOBILE, _OPENED):
        for found in pattern.finditer(data, at, end):
            if _DATE.match(found[0].lstrip(b"(")) or (pattern is _PAIRS and _dumped(data, *found.span())):
                continue
            if reserved or not _FICTION.match(_digits(found[0])):
                more = _EXTENSION.match(data, found.end())
                yield "phone", found.start(), found.end() if more is None else more.end()
                if told:
                    return


def _dumped(data: bytes, begin: int, end: int) -> bool:
    """Whether bytes in hexadecimal stand beside."""
    before, behind = _DUMPED
    return behind.match(data, end) is not None or before.search(data[max(0, begin - 12) : begin]) is not None


def _abroad(data: bytes, at: int, end: int, told: bool) -> _Run | None:
    """Where a number with a country's code stands, if the run begins with one: behind a plus, or two zeros."""
    plus, opened = at - 1, data[at] == 40
    if plus >= 0 and data[plus] == 43 and not opened and (plus == 0 or data[plus - 1] not in _GLUED):
        begin, first = plus, at
    elif data[at : at + 2] == b"00" and any(sign in data[at:end] for sign in b" -"):
        begin, first = at, at + 2
    else:
        return None
    found = _ABROAD.match(data, first, end)
    if found is None or _DATE.match(found[0]) or _DAY.match(found[0]) or (_DECIMAL.match(found[0]) and not told):
        return None
    stop = found.end()
    while stop > first and not (_from_abroad(data[first:stop]) and (stop == found.end() or data[stop] not in b"-.")):
        # Another number follows: its groups go, from behind.
        stop = max((i for i in range(first, stop) if data[i] < 48), default=first)
        while stop > first and data[stop - 1] < 48:
            stop -= 1
    if stop == first or (begin == at and _dumped(data, begin, stop)):
        return None
    return begin, stop


def _digits(raw: bytes) -> bytes:
    return bytes(byte for byte in raw.replace(b"(0)", b"") if 48 <= byte <= 57)


def _from_abroad(raw: bytes) -> bool:
    digits = _digits(raw).decode("ascii")
    if not 8 <= len(digits) <= _MOST_DIGITS or _LATITUDE.match(raw):
        return False
    if digits.startswith("20") and len(digits) < 10:  # a day, not Egypt
        return False
    if digits[0] in "17":  # these countries' numbers have one length
        return len(digits) == 11 and (digits[0] == "7" or (digits[1] > "1" and digits[4] > "1"))
    return any(digits[:n] in _COUNTRIES for n in (2, 3))
