"""The reader of lines, against a slow, obvious twin."""

from __future__ import annotations

import itertools
import zlib

from hypothesis import given, settings
from hypothesis import strategies as st

from curate.stages import reading_lines
from curate.stages.reading_lines import gz_blocks, pieces, whole_lines

TEXT = st.lists(st.sampled_from([b"\n", b"a", b"bb", b"\r\n", b"c" * 9]), max_size=30).map(b"".join)
CUTS = st.lists(st.integers(0, 120), max_size=8)


def blocks_of(text, cuts):
    edges = [0, *sorted(min(c, len(text)) for c in cuts), len(text)]
    return [text[a:b] for a, b in itertools.pairwise(edges) if b > a]


def twin(text, start, first, stop, limit):
    found, at = [], 0
    for line in text.split(b"\n"):
        last = at + len(line) == len(text)
        inside = (at > 0 or first) and (stop is None or start + at <= stop)
        if inside and not (last and not line):
            found.append((start + at, line if len(line) <= limit else None))
        at += len(line) + 1
    return found


def flat(lines, limit):
    for position, found in lines:
        if found is None:
            yield position, None
            continue
        for line in found:
            yield position, line if len(line) <= limit else None
            position += len(line) + 1


@settings(max_examples=66)
@given(TEXT, CUTS, st.integers(0, 50), st.booleans(), st.none() | st.integers(0, 150), st.integers(1, 30))
def test_lines_are_those_of_the_obvious_reader(text, cuts, start, first, stop, limit):
    """Whatever the blocks, the range and the limit: the same lines at the same positions."""
    stop = None if stop is None else start + stop
    lines = whole_lines(blocks_of(text, cuts), start, first=first, limit=limit, stop=stop)
    assert list(flat(lines, limit)) == twin(text, start, first, stop, limit)


@settings(max_examples=66)
@given(TEXT, CUTS, CUTS, st.integers(1, 40), st.integers(1, 30))
def test_pieces_hold_the_same_lines_whatever_the_blocks(text, cuts, others, goal, limit):
    """Pieces depend on the text alone, and give back its lines, those over the limit as filler."""

    def cut(edges):
        return list(pieces(whole_lines(blocks_of(text, edges), 0, first=True, limit=limit), goal, limit))

    made = cut(cuts)
    again = [
        found
        for position, piece in made
        for found in flat(whole_lines([piece], position, first=True, limit=limit), limit)
    ]
    assert again == twin(text, 0, True, None, limit)
    if all(len(line) <= limit for line in text.split(b"\n")):
        assert made == cut(others)


@settings(max_examples=40)
@given(st.lists(st.binary(max_size=300), min_size=1, max_size=6), st.integers(1, 40), st.integers(1, 40))
def test_gz_members_are_joined_whatever_the_blocks(tmp_path_factory, parts, chunk, block):
    """Members of any size, read in chunks and blocks of any size, give the whole text."""
    path = tmp_path_factory.mktemp("gz") / "a.gz"
    made = b""
    for part in parts:
        packer = zlib.compressobj(6, zlib.DEFLATED, 31)
        made += packer.compress(part * 5) + packer.flush()
    path.write_bytes(made + b"\0" * 7)
    before = reading_lines._CHUNK, reading_lines.BLOCK
    try:
        reading_lines._CHUNK, reading_lines.BLOCK = chunk, block
        assert b"".join(gz_blocks(str(path))) == b"".join(p * 5 for p in parts)
    finally:
        reading_lines._CHUNK, reading_lines.BLOCK = before
