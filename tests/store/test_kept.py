"""What is kept: found by whoever asks for the same, put by many at once, never needed."""

from __future__ import annotations

import hashlib
import pickle
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from curate.store import kept as kept_files
from curate.store.files import Store
from curate.store.kept import Kept


@pytest.fixture(params=["disk", "memory"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Kept:
    """In an empty store."""
    return Kept(Store(tmp_path / "run" if request.param == "disk" else f"memory://{tmp_path.name}/run"))


def key(n: int) -> bytes:
    return hashlib.blake2b(str(n).encode(), digest_size=16).digest()


def test_against_a_dictionary(kept: Kept) -> None:
    """Puts and gets in random order, with digests that end in zeros, by two processes' worth of readers."""
    rng = random.Random(7)
    keys = [key(n) for n in range(200)] + [bytes(16), b"\1" + bytes(15), b"a" * 15 + b"\0", b"a" * 15 + b"\1"]
    twin: dict[bytes, object] = {}
    for _ in range(60):
        some = rng.sample(keys, 10)
        if rng.random() < 0.5:
            fresh = {k: ["ok", k.hex(), 1.5, None] for k in some}
            kept.put("verdicts", "a", fresh)
            twin |= fresh
        if rng.random() < 0.3:
            kept_files._read.clear()
        assert kept.get("verdicts", "a", some) == [twin.get(k) for k in some]
    assert kept.get("verdicts", "b", keys) == [None] * len(keys)
    assert kept.get("others", "a", keys) == [None] * len(keys)
    assert max(len(read.chunks) for read in kept_files._read.values()) <= 16


def test_many_at_once(kept: Kept) -> None:
    """Threads that put the same and others: all is found, each file is there once."""

    def work(n: int) -> list[object]:
        mine = pickle.loads(pickle.dumps(kept)) if not kept.store.remote else kept
        mine.put("k", "", {key(n // 2): n // 2})
        return mine.get("k", "", [key(n // 2)])

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(40))) == [[n // 2] for n in range(40)]
    assert len(list(kept.store.list("kept"))) == 20


def test_what_is_damaged_or_half_written_is_passed_over(tmp_path: Path) -> None:
    kept = Kept(Store(tmp_path))
    kept.put("k", "", {key(1): 1})
    kept.put("k", "", {key(2): 2})
    kept.put("k", "", {})
    first, second = sorted(tmp_path.rglob("*.json"))
    first.write_bytes(second.read_bytes())
    (second.parent / f".{second.name}-0123456789ab").write_bytes(b"{")
    kept_files._read.clear()
    assert sorted(map(str, kept.get("k", "", [key(1), key(2)]))) in (["1", "None"], ["2", "None"])
