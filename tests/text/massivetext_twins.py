"""Slow, obvious Python versions of the counts behind filter.massivetext, for one text at a time.

Those of datatrove and dolma restate the definitions of datatrove 0.10.1 and dolma 1.2.1 with str methods.
"""

from __future__ import annotations

import re
from collections import Counter
from statistics import median

from curate.text.massivetext import _MARKS, ALPHA, BULLETS, STOP_WORDS, WORD, classes

MARKS = {
    chr(c)
    for first, _, last in (span.partition("-") for span in _MARKS.split())
    for c in range(int(first, 16), int(last or first, 16) + 1)
}
SIGNS = "".join(chr(c) for c in range(128) if not chr(c).isalnum())


def text_of(row: bytes) -> str:
    """Any bytes as a string: those that are no valid UTF-8 become single surrogates."""
    return row.decode("utf-8", "surrogateescape")


def size(text: str) -> int:
    """Code points; a byte that is no valid UTF-8 counts unless it has the form of a continuation."""
    return sum(byte & 0xC0 != 0x80 for byte in text.encode("utf-8", "surrogateescape"))


def tokens(text: str) -> list[str]:
    """Words with ASCII signs split off."""
    return [t for word in text.split() for t in re.findall(r"[!-/:-@\[-`{-~]|[^!-/:-@\[-`{-~]+", word)]


def sizes(parts: list[str]) -> int:
    return sum(map(size, parts))


def alpha(word: str) -> bool:
    """Whether it has a letter; by the table, since each Python has a Unicode of its own."""
    return any(classes()[ord(c)] & ALPHA for c in word)


def plain(word: str) -> bool:
    """Whether it has a letter or a number, likewise."""
    return any(classes()[ord(c)] & WORD for c in word)


def words_paper(text: str, words: list[str]) -> dict[str, int]:
    return {
        "plain_words": len(words),
        "plain_chars": sizes(words),
        "plain_alpha_words": sum(map(alpha, words)),
        "stop_words": len({w.strip(SIGNS).lower() for w in words if w.strip(SIGNS).isascii()} & set(STOP_WORDS)),
        "hashes": text.count("#"),
        "ellipses": text.count("...") + text.count("…"),
        "symbol_words": 0,
        "median_twice": 0,
    }


def words_datatrove(text: str, words: list[str]) -> dict[str, int]:
    kept = [w for w in words if any(c not in MARKS for c in w)]
    return {
        "plain_words": len(kept),
        "plain_chars": sizes(kept),
        "plain_alpha_words": sum(map(alpha, kept)),
        "stop_words": len(set(words) & set(STOP_WORDS)),
        "hashes": text.count("#"),
        "ellipses": text.count("...") + text.count("…"),
        "symbol_words": 0,
        "median_twice": 0,
    }


def words_dolma(text: str, words: list[str]) -> dict[str, int]:
    return {
        "plain_words": len(words),
        "plain_chars": sizes(words),
        "plain_alpha_words": sum(map(alpha, words)),
        "stop_words": sum(w in STOP_WORDS for w in words),
        "hashes": text.count("#"),
        "ellipses": text.count("...") + text.count("…"),
        "symbol_words": sum("#" in w or "…" in w for w in words),
        "median_twice": int(2 * median(map(size, words))) if words else 0,
    }


def words_dclm(text: str, words: list[str]) -> dict[str, int]:
    kept = [w for w in words if plain(w)]
    return {
        "plain_words": len(kept),
        "plain_chars": sizes(kept),
        "plain_alpha_words": sum(map(alpha, kept)),
        "stop_words": sum(w.lower() in STOP_WORDS for w in words if w.isascii()),
        "hashes": text.count("#"),
        "ellipses": text.count("...") + text.count("…") + text.count(". . ."),
        "symbol_words": 0,
        "median_twice": 0,
    }


def word_counts(counting: str, row: bytes, words: list[str]) -> dict[str, int]:
    text = text_of(row)
    found = {
        "chars": size(text),
        "words": len(words),
        "word_chars": sizes(words),
        "alpha_words": sum(map(alpha, words)),
    }
    return {**found, **globals()[f"words_{counting}"](text, words)}


# -- lines --------------------------------------------------------------------------------------------------------


def _units(name: str, parts: list[str], every: bool) -> dict[str, int]:
    counts = Counter(parts)
    extra = {part: count if every else count - 1 for part, count in counts.items() if count > 1}
    return {
        {"line": "units", "paragraph": "paragraphs"}[name]: len(parts),
        f"duplicate_{name}s": sum(extra.values()),
        f"duplicate_{name}_chars": sum(size(part) * count for part, count in extra.items()),
        f"{name}_chars": sizes(parts),
    }


def line_counts(counting: str, row: bytes) -> dict[str, int]:
    text = text_of(row)
    paragraphs: list[str] = []
    dots: tuple[str, ...] = ("...", "…")
    bullets: tuple[str, ...] = BULLETS
    if counting == "paper":
        stripped = [line.strip() for line in text.split("\n")]
        looked = lines = [line for line in stripped if line]
        paragraphs = [p.strip() for p in re.split(r"\n\s*\n", text) if p.strip()]
    elif counting == "datatrove":
        looked = [line.strip() for line in text.splitlines()]
        bullets = ("•", "-")
        lines = re.split("\n+", text) if text else []
        paragraphs = re.split("\n{2,}", text.strip()) if text else []
    elif counting == "dolma":
        looked = lines = text.split("\n")
        bullets, dots = ("*", "-"), ("…",)
    else:
        looked = lines = [line for line in text.split("\n") if line.strip()]
        paragraphs = [p for p in text.split("\n\n") if p.strip()]
        dots = ("...", "…", ". . .")
    every = counting in ("dolma", "dclm")
    return {
        "lines": len(looked),
        "bullet_lines": sum(line.startswith(bullets) for line in looked),
        "ellipsis_lines": sum(line.endswith(dots) for line in looked),
        **_units("line", lines, every),
        **_units("paragraph", paragraphs, every),
    }


# -- n-grams ------------------------------------------------------------------------------------------------------


def _grams(words: list[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]


def _covered(words: list[str], n: int, at: list[int]) -> int:
    return sizes([words[j] for j in sorted({i + k for i in at for k in range(n)})])


def _longest_top(words: list[str], n: int) -> tuple[tuple[str, ...], int] | None:
    counts = Counter(_grams(words, n))
    if not counts or max(counts.values()) < 2:
        return None
    gram = max(counts, key=lambda g: (counts[g], sizes(list(g))))
    return gram, counts[gram]


def top(counting: str, words: list[str], n: int) -> int:
    grams = _grams(words, n)
    if counting in ("paper", "dclm"):
        found = _longest_top(words, n)
        if found is None:
            return 0
        if counting == "paper":
            return _covered(words, n, [i for i, gram in enumerate(grams) if gram == found[0]])
        return found[1] * sizes(list(found[0]))
    if not grams:
        return 0
    gram, count = Counter(grams).most_common(1)[0]
    return count * (sizes(list(gram)) + (n - 1 if counting == "datatrove" else 0))


def _skipping(words: list[str], n: int) -> int:
    unique, repeated, at = set(), 0, 0
    while at < len(words) - n + 1:
        gram = "".join(words[at : at + n])
        if gram in unique:
            repeated += size(gram)
            at += n
        else:
            unique.add(gram)
            at += 1
    return repeated


def repeated(counting: str, words: list[str], n: int) -> int:
    grams = _grams(words, n)
    counts = Counter(grams)
    if counting == "datatrove":
        return _skipping(words, n)
    if counting == "dolma":
        return sum(count * sizes(list(gram)) for gram, count in counts.items() if count > 1)
    if counting == "dclm":
        return _covered(words, n, [i for i, gram in enumerate(grams) if counts[gram] > 1])
    first: dict[tuple[str, ...], int] = {}
    return _covered(words, n, [i for i, gram in enumerate(grams) if first.setdefault(gram, i) != i])


def repetition(counting: str, words: list[str]) -> dict[str, int]:
    found = {f"top_{n}": top(counting, words, n) for n in (2, 3, 4)}
    found |= {f"repeated_{n}": repeated(counting, words, n) for n in range(5, 11)}
    if counting == "dolma":
        found |= {f"all_{n}": sum(sizes(list(g)) for g in _grams(words, n)) for n in range(5, 11)}
    return found
