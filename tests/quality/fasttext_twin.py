"""A slow twin of how fastText reads a line, in plain Python, from dictionary.cc."""

from __future__ import annotations

from collections.abc import Collection, Mapping


def slow_hash(token: bytes) -> int:
    value = 2166136261
    for byte in token:
        value = ((value ^ (byte if byte < 128 else byte | 0xFFFFFF00)) * 16777619) & 0xFFFFFFFF
    return value


def slow_subwords(token: bytes, minn: int, maxn: int, bucket: int) -> list[int]:
    """``Dictionary::computeSubwords`` of ``<token>``."""
    word = b"<" + token + b">"
    found: list[int] = []
    for i in range(len(word)):
        if word[i] & 0xC0 == 0x80:
            continue
        j, n, ngram = i, 1, b""
        while j < len(word) and n <= maxn:
            ngram += word[j : j + 1]
            j += 1
            while j < len(word) and word[j] & 0xC0 == 0x80:
                ngram += word[j : j + 1]
                j += 1
            if n >= minn and not (n == 1 and (i == 0 or j == len(word))):
                found.append(slow_hash(ngram) % bucket)
            n += 1
    return found


def slow_line(
    raw: bytes, ids: Mapping[bytes, int], labels: Collection[bytes], ngrams: int, minn: int, maxn: int, bucket: int,
    *, own: bool = False,
) -> tuple[list[int], list[int], int]:  # fmt: skip
    """``Dictionary::getLine`` of a text with ``</s>`` behind it: (ids of known words, buckets, words in all).

    ``own``: labels and ``</s>`` in the text are left out.
    """
    for byte in b"\x00\t\n\x0b\x0c\r":
        raw = raw.replace(bytes([byte]), b" ")
    known: list[int] = []
    hashed: list[int] = []
    chain: list[int] = []
    for token in [t for t in raw.split(b" ") if t] + [b""]:
        if own and (token == b"</s>" or token.startswith(b"__label__")):
            continue
        last = token in (b"", b"</s>")
        word = b"</s>" if last else token
        if word in labels or (word not in ids and word.startswith(b"__label__")):
            continue
        if word in ids:
            known.append(ids[word])
        if word != b"</s>" and maxn > 0:
            hashed += slow_subwords(word, minn, maxn, bucket)
        chain.append(slow_hash(word))
        if last:
            break
    signed = [h - (1 << 32) if h >> 31 else h for h in chain]
    for i in range(len(signed)):
        value = signed[i] % (1 << 64)
        for j in range(i + 1, min(len(signed), i + ngrams)):
            value = (value * 116049371 + signed[j]) % (1 << 64)
            hashed.append(value % bucket)
    return known, hashed, len(chain) - 1
