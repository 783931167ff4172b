"""Invented personal data, made from a seed: nobody's, but formed as somebody's is, so that nothing tells it from real data."""

from __future__ import annotations

import random
import string

from curate.text.personal_kinds import IBAN_SIZES

_NAMES = ["maria", "jens", "olu", "li.wei", "p_novak", "anne-marie", "k.o'brien", "tariq99", "sofia.rossi"]
_HOSTS = [
    "gmail.com",
    "web.de",
    "orange.fr",
    "mail.co.uk",
    "proton.me",
    "uni-bonn.de",
    "acme.io",
    "yahoo.co.jp",
    "corp.systems",
]
_ALNUM = string.ascii_letters + string.digits


def _digits(rng: random.Random, count: int) -> str:
    return "".join(rng.choices(string.digits, k=count))


def email(rng: random.Random) -> str:
    """An address."""
    return f"{rng.choice(_NAMES)}{rng.choice(['', '+news', str(rng.randrange(99))])}@{rng.choice(_HOSTS)}"


def phone(rng: random.Random) -> str:
    """A number as it is written in one of several countries; some only a word before it tells."""
    area, exchange, line = rng.randrange(201, 989), rng.randrange(212, 989), _digits(rng, 4)
    exchange = 868 if exchange == 555 else exchange
    return rng.choice(
        [
            f"+1 {area}-{exchange}-{line}",
            f"({area}) {exchange}-{line}",
            f"{area}-{exchange}-{line}",
            f"{area}.{exchange}.{line}",
            f"+1{area}{exchange}{line}",
            f"+44 20 8{_digits(rng, 3)} {_digits(rng, 4)}",
            f"07{rng.randrange(100, 699)} {_digits(rng, 6)}",
            f"+49 (0)89 {rng.randrange(10, 99)}{_digits(rng, 6)}",
            f"0{rng.choice([151, 160, 171])} {rng.randrange(1000, 9999)}{_digits(rng, 3)}",
            f"+33 6 {' '.join(_digits(rng, 2) for _ in range(4))}",
            f"07 {' '.join(str(rng.randrange(70, 99)) for _ in range(4))}",
            f"+91 9{_digits(rng, 4)} {_digits(rng, 5)}",
            f"tel. 030 {rng.randrange(1000, 9999)} {_digits(rng, 4)}",
            f"call me at {rng.randrange(100, 999)} {_digits(rng, 4)}",
        ]
    )


def ip(rng: random.Random) -> str:
    """A global address."""
    if rng.random() < 0.3:
        groups = [f"{rng.randrange(0x1000, 0xFFFF):x}" for _ in range(3)]
        return f"2a0{rng.randrange(1, 9)}:{':'.join(groups)}::{rng.randrange(1, 0xFFFF):x}"
    return f"{rng.choice([23, 46, 81, 91, 185, 194])}.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(1, 255)}"


def card(rng: random.Random) -> str:
    """A number that Luhn's check passes."""
    head = rng.choice(["4539", "5284", "6011", "2345", "3742"])
    size = 15 if head == "3742" else 16
    body = head + _digits(rng, size - 5)
    doubled = [int(d) * (2 - i % 2) for i, d in enumerate(reversed(body))]
    whole = body + str(-sum(v - 9 * (v > 9) for v in doubled) % 10)
    if size == 15:
        return rng.choice([whole, f"{whole[:4]} {whole[4:10]} {whole[10:]}"])
    sign = rng.choice(["", " ", "-"])
    return sign.join(whole[i : i + 4] for i in range(0, 16, 4))


def iban(rng: random.Random) -> str:
    """An account's number whose two digits check the rest."""
    country = rng.choice(["DE", "FR", "GB", "NL", "ES", "PL"])
    size = IBAN_SIZES[country]
    bank = "".join(rng.choices(string.ascii_uppercase, k=4)) if country in ("GB", "NL") else _digits(rng, 4)
    body = bank + _digits(rng, size - 8)
    rest = int("".join(str(int(c, 36)) for c in f"{body}{country}00")) % 97
    whole = f"{country}{98 - rest:02d}{body}"
    return rng.choice([whole, " ".join(whole[i : i + 4] for i in range(0, size, 4))])


def ssn(rng: random.Random) -> str:
    """A US social security number."""
    return f"{rng.choice([137, 258, 417, 536, 702])}-{rng.randrange(10, 99)}-{rng.randrange(1000, 9999)}"


def secret(rng: random.Random) -> str:
    """A key, a token or a password as they are published by those who give them out."""

    def some(count: int, signs: str = _ALNUM) -> str:
        return "".join(rng.choices(signs, k=count))

    return rng.choice(
        [
            f"sk-proj-{some(40)}7",
            f"sk-ant-api03-{some(60)}4-AA",
            f"AKIA{some(16, string.ascii_uppercase + '234567')}",
            f"ghp_{some(36)}",
            f"github_pat_{some(22)}_{some(59)}",
            f"glpat-{some(20)}",
            f"xoxb-{_digits(rng, 12)}-{some(24)}",
            f"AIza{some(35)}",
            f"hf_{some(34, string.ascii_letters)}",
            f"eyJ{some(20)}.eyJ{some(40)}.{some(43)}",
            f"-----BEGIN PRIVATE KEY-----\n{some(64)}\n{some(64)}\n-----END PRIVATE KEY-----",
        ]
    )


MAKERS = {"email": email, "phone": phone, "ip": ip, "card": card, "iban": iban, "ssn": ssn, "secret": secret}


def planted(seed: int, each: int) -> list[tuple[str, str, str]]:
    """(kind, what, a sentence that holds it), ``each`` of every kind."""
    rng = random.Random(seed)
    around = [
        ("Hi, it is {} as I said.", 0),
        ("contact: {}\nthanks", 0),
        ("({})", 0),
        ('{{"v": "{}"}}', 0),
        ("{}", 0),
        ("see {}, then {{x}}", 0),
    ]
    found = []
    for kind, make in MAKERS.items():
        for _ in range(each):
            what = make(rng)
            found.append((kind, what, rng.choice(around)[0].format(what)))
    rng.shuffle(found)
    return found
