"""Files of the store are damaged: it is noticed, they are set aside and named, made anew, and the bytes are the same.

``make soak`` damages sixty files in every way, of half finished stores (two workers find them) and of finished ones.
"""

from __future__ import annotations

import random
import shutil
import signal
from pathlib import Path

import pytest
from command import Curate, manifest, receipts, record, results
from corpus import code, lines, one_frame, prose, rows
from damage import damage, files_of
from recipes import small_classifier, step, write

from curate.errors import DamagedError
from curate.run.mend import mended
from curate.store.files import Store

SPLIT = ("--split-mb", 0.03)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe that has every kind of file: pieces, signals, overlays, verdicts, a model, shards."""
    folder = tmp_path_factory.mktemp("damage")
    english, python = prose(30), code(12, 8000)
    (folder / "prose.jsonl").write_bytes(lines(rows(english + english[:5], "a")))
    (folder / "code.jsonl.zst").write_bytes(one_frame(lines(rows(python, "c"))))
    steps = [
        step("prose", "read.jsonl", paths=["prose.jsonl"]),
        step("rules", "filter.massivetext", min_words=30, max_symbol_ratio=0.02),
        step("code", "read.jsonl", paths=["code.jsonl.zst"]),
        step("unique", "dedup.exact", ["rules", "code"]),
        step("labels", "label.contrast", positive=["prose"], negative=["code"]),
        small_classifier(),
        step("scored", "score.classifier", "labels", classifier="value"),
        step("text", "write.text", documents_per_shard=20),
    ]
    write(folder / "r.yaml", steps, name="damage")
    return folder


@pytest.fixture(scope="module")
def half(curate: Curate, home: Path) -> Path:
    """A store whose run was killed before it had a record of the scores."""
    store = home / "half"
    (home / "token").touch()
    # Before the last step's first commit: everything above it is there, and will be read again.
    env = {"CURATE_CRASH_AT": f"shard.before-receipt={home / 'token'}"}
    assert curate.run(home / "r.yaml", store, *SPLIT, env=env).code == -signal.SIGKILL
    return store


@pytest.fixture(scope="module")
def whole(curate: Curate, home: Path, half: Path) -> Path:
    """The store of a run that was not disturbed any more."""
    store = home / "whole"
    shutil.copytree(half, store, symlinks=True)
    curate.run(home / "r.yaml", store, *SPLIT).ok()
    return store


def heal(curate: Curate, home: Path, store: Path, *argv: str) -> list[str]:
    """Run again; the lines that name what was set aside."""
    done = curate.run(home / "r.yaml", store, *SPLIT, *argv).ok()
    assert "Traceback" not in done.err + done.out
    said = (done.out + done.err).splitlines()
    return [line for line in said if "is done again" in line or "files are gone" in line]


@pytest.mark.parametrize("kind", ["bit", "gone"])
def test_half_finished(curate: Curate, home: Path, half: Path, whole: Path, tmp_path: Path, kind: str) -> None:
    """Eight files of a half finished store are damaged at random places: it finishes with the same bytes."""
    store, rng = tmp_path / "run", random.Random(kind)
    shutil.copytree(half, store, symlinks=True)
    files = files_of(store)
    done = [damage(path, kind, rng, files) for path in rng.sample(files, 8)]
    heal(curate, home, store)
    assert results(store) == results(whole), done


def test_finished(curate: Curate, home: Path, whole: Path, tmp_path: Path) -> None:
    """Every kind of damage to a finished store: with --verify all of it is named, and made anew."""
    store, rng = tmp_path / "run", random.Random(7)
    shutil.copytree(whole, store, symlinks=True)
    files = files_of(store)
    (state,) = [p for p in files if p.name == "state.json"]
    chosen = [state, *rng.sample([p for p in files if p != state], 10)]
    done = [damage(path, rng.choice(("bit", "cut", "zeros")), rng, files) for path in chosen]
    said = heal(curate, home, store, "--verify")
    assert results(store) == results(whole), done
    assert curate("check", store).ok()
    assert heal(curate, home, store, "--verify") == []
    assert len(said) >= 1


def test_one_file_redoes_one_task(curate: Curate, home: Path, whole: Path, tmp_path: Path) -> None:
    """What made the file is done again, and what follows from it; nothing else. The damaged file is kept."""
    store = tmp_path / "run"
    shutil.copytree(whole, store, symlinks=True)
    before = receipts(store)
    part = Path(record(store, "unique")["parts"][0]["overlays"][-1])
    data = bytearray((store / part).read_bytes())
    data[len(data) // 2] ^= 16
    (store / part).write_bytes(data)
    (line,) = heal(curate, home, store, "--verify")
    assert f"{part}: " in line
    assert f"set aside as damaged/{part}: step 'unique' is done again" in line
    assert (store / "damaged" / part).read_bytes() == data
    assert results(store) == results(whole)
    again = {key for key, when in receipts(store).items() if before.get(key) != when}
    # The records of the steps that name its file, and of each the one task of this part.
    assert {key.split("/")[1] for key in again} == {"unique", "labels", "scored"}
    assert sum("receipts/" in key for key in again) == 3


def test_shard_of_a_finished_run(curate: Curate, home: Path, whole: Path, tmp_path: Path) -> None:
    """A final shard that was cut short is noticed by every run, named, and written again."""
    store = tmp_path / "run"
    shutil.copytree(whole, store, symlinks=True)
    name = manifest(store)["steps"]["text"]["shards"][0]["name"]
    damage((store / "text" / name).resolve(), "cut", random.Random(1), [])
    said = heal(curate, home, store)
    assert said
    assert "out-" in said[0]
    assert results(store) == results(whole)
    assert heal(curate, home, store) == []


def test_model_of_a_finished_run(curate: Curate, home: Path, whole: Path, tmp_path: Path) -> None:
    """A trained model that was damaged is never scored with or published: it is trained anew."""
    store = tmp_path / "run"
    shutil.copytree(whole, store, symlinks=True)
    model = max((store / "value").resolve().rglob("*"), key=lambda p: p.stat().st_size if p.is_file() else 0)
    before = model.read_bytes()
    damage(model, "bit", random.Random(2), [])
    (line,) = heal(curate, home, store)
    assert "step 'value' is done again" in line
    after = store / "value" / model.name
    assert after.read_bytes() == before
    assert results(store) == results(whole)


def test_plan_says_so(curate: Curate, home: Path, tmp_path: Path) -> None:
    """Without running anything, a damaged record is told as what will be done again."""
    store = tmp_path / "run"
    steps = [step("prose", "read.jsonl", paths=[str(home / "prose.jsonl")]), step("text", "write.text")]
    recipe = write(tmp_path / "r.yaml", steps)
    curate.run(recipe, store).ok()
    (done,) = store.glob("steps/prose/*/done-*.json")
    done.write_bytes(done.read_bytes().replace(b'"rows_out": ', b'"rows_out": 1'))
    said = curate("plan", recipe, "--store", store).ok().out
    assert f"{done.name} is not what was written" in " ".join(said.split())
    assert not (store / "damaged").exists()


def test_files_that_no_run_needs(curate: Curate, home: Path, half: Path, tmp_path: Path) -> None:
    """Damaged receipts of tasks that nobody has any more do not bear on a run; --verify sets all of them aside."""
    store = tmp_path / "run"
    shutil.copytree(half, store, symlinks=True)
    folder = next(store.glob("steps/rules/*/receipts"))
    for number in range(101):
        (folder / f"{number:032x}.json").write_text("x")
    assert heal(curate, home, store) == []
    assert len(heal(curate, home, store, "--verify")) == 101


def test_bounds(tmp_path: Path) -> None:
    """A disk that goes on failing stops the run, and so does one file that is damaged again each time it was made."""
    store, said, turns = Store(tmp_path), list[str](), iter(range(1000))

    def fail() -> None:
        key = f"steps/s/f/part-{next(turns)}.arrow"
        store.replace(key, b"x")
        raise DamagedError("its checksum differs", place=str(store.path(key)))

    with pytest.raises(DamagedError, match="more than 100 files were damaged; check the disk"):
        mended(store, said.append, fail)
    assert len(said) == len(list(tmp_path.rglob("damaged/steps/s/f/*"))) == 100

    def again(key: str) -> None:
        store.replace(key, b"x")
        raise DamagedError("its checksum differs", place=str(store.path(key)))

    for key, times in (("pieces/p/1.zst", 2), ("journal.sqlite", 0)):
        said.clear()
        with pytest.raises(DamagedError, match="its checksum differs"):
            mended(store, said.append, lambda key=key: again(key))  # type: ignore[misc]
        assert len(said) == times
    with pytest.raises(DamagedError):
        mended(store, said.append, lambda: again("../elsewhere"))


def test_one_piece_of_a_cut_file(curate: Curate, home: Path, whole: Path, tmp_path: Path) -> None:
    """The receipt of the first piece is damaged, and the reading is not recorded: the others are found all the same."""
    store = tmp_path / "run"
    shutil.copytree(whole, store, symlinks=True)
    damaged = next(store.glob("pieces/*/receipts/*.0.json"))
    damaged.write_bytes(damaged.read_bytes()[:20])
    for path in (*store.glob("steps/code/*/done-*.json"), *store.glob("steps/code/*/receipts/*.json")):
        path.unlink()
    heal(curate, home, store)
    assert results(store) == results(whole)
