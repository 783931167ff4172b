"""`curate gc`: exactly what nobody needs goes, and a run redoes nothing."""

from __future__ import annotations

import json
import re
import shutil
import signal
from collections import Counter
from pathlib import Path

import pytest
from command import Curate, manifest, receipts, results
from corpus import lines, one_frame, prose, rows
from recipes import Steps, changed, step, write

from curate.store.files import Store
from curate.store.kept import Kept

SPLIT = ("--split-mb", 0.02)
POINTS = (
    "cut.after-piece",
    "segment.before-receipt",
    "reduce.before-receipt",
    "assemble.before-folder",
    "assemble.after-folder",
    "publish.before-swap",
    "train.before-receipt",
    "shard.before-receipt",
)
"""In the order in which a run comes to them, so that none was passed before; ``make soak`` collects after every kill."""


def steps() -> Steps:
    """Pieces, measurements, verdicts, a trained folder, shards."""
    return [
        step("docs", "read.jsonl", paths=["a.jsonl", "b.jsonl.zst"]),
        step("long", "filter.massivetext", min_words=150, max_symbol_ratio=0.5),
        step("unique", "dedup.exact", index=True),
        step("words", "train.tokenizer", vocab_size=512, max_bytes=20_000),
        step("out", "write.text", "unique", documents_per_shard=15),
    ]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe beside a file of two splits and one that is cut into pieces."""
    folder = tmp_path_factory.mktemp("garbage")
    texts = prose(40, 1500)
    (folder / "a.jsonl").write_bytes(lines(rows([*texts[:20], *texts[:3]], "a")))
    (folder / "b.jsonl.zst").write_bytes(one_frame(lines(rows(texts[20:], "b"))))
    return write(folder / "r.yaml", steps())


@pytest.fixture(scope="module")
def whole(curate: Curate, recipe: Path) -> Path:
    """The folder of an undisturbed run; read only."""
    store = recipe.parent / "whole"
    curate.run(recipe, store, *SPLIT).ok()
    assert len(list(store.glob("pieces/*/*.zst"))) > 1
    return store


@pytest.fixture
def mine(recipe: Path, whole: Path, tmp_path: Path) -> Path:
    """A copy of the recipe, its inputs and that run."""
    shutil.copytree(recipe.parent, tmp_path / "mine", symlinks=True)
    (tmp_path / "mine" / "whole").rename(tmp_path / "mine" / "run")
    return tmp_path / "mine"


def files(store: Path) -> dict[str, int]:
    """Every file and link below the store, with its size; but the lease, which every command writes."""
    lease = store / "lease"
    found = [
        p for p in store.rglob("*") if (p.is_symlink() or p.is_file()) and (p.parent, p.suffix) != (lease, ".json")
    ]
    return {p.relative_to(store).as_posix(): p.lstat().st_size for p in found}


def without_attempts(names: dict[str, int]) -> Counter[str]:
    """Names without the digits that tell one attempt from another; those of an index's folder stand for its files'. What
    happened is told of each attempt: events are left out."""
    attempts = r"-[0-9a-f]{12}(?=[./]|$)|(?<=out-)[0-9a-f]{16}(?=/(?:hashes-|index\.json))"
    return Counter(re.sub(attempts, "", name) for name in names if not name.startswith("events/"))


def reachable(store: Path) -> set[str]:
    """The obvious twin: everything whose key, or whose folder's, stands in some JSON file of the store."""
    text = "".join(p.read_text() for p in store.rglob("*.json") if "receipts" in p.parts or p.name != "run.json")
    said = set(re.findall(r'"((?:steps|signals|pieces)/[^"]+)"', text))
    return {name for name in files(store) if any(part in said for part in (name, *map(str, Path(name).parents)))}


def collect(curate: Curate, store: Path, *options: str) -> dict:
    """What `curate gc` says."""
    said = json.loads(curate("gc", store, "--json", *options).ok().out)
    assert isinstance(said, dict)
    return said


def test_after_kills_it_is_as_if_there_had_been_none(curate: Curate, recipe: Path, whole: Path, tmp_path: Path) -> None:
    """Killed again and again at any point, gone on to the end, collected: the very files of an undisturbed run. A run
    then redoes nothing, and there is nothing left to collect."""
    store = tmp_path / "run"
    for point in POINTS:
        (tmp_path / point).touch()
        env = {"CURATE_CRASH_AT": f"{point}={tmp_path / point}"}
        assert curate.run(recipe, store, *SPLIT, env=env).code == -signal.SIGKILL
    # In the middle of it, too: what a half-done run goes on from is kept.
    collect(curate, store, "--yes")
    curate.run(recipe, store, *SPLIT).ok()
    assert results(store) == results(whole)
    done, dry, before = receipts(store), collect(curate, store), files(store)
    assert results(store) == results(whole)
    assert dry["bytes"] == sum(before[key] for found in dry["files"].values() for key in found)
    assert collect(curate, store, "--yes")["files"] == dry["files"]
    gone = {key for found in dry["files"].values() for key in found}
    assert files(store).keys() == before.keys() - gone
    assert without_attempts(files(store)) == without_attempts(files(whole))
    curate.run(recipe, store, *SPLIT).ok()
    assert receipts(store) == done
    assert results(store) == results(whole)
    again = collect(curate, store, "--yes")
    assert (again["files"], again["links"], again["bytes"]) == ({}, [], 0)


def test_an_undisturbed_run_has_no_garbage(curate: Curate, whole: Path) -> None:
    """Everything there is named by something; and all that the twin finds is kept."""
    said = collect(curate, whole)
    assert said["files"] == {} and said["links"] == []
    assert "nothing else is there" in curate("gc", whole).ok().out
    assert said["kept"]["files"] == len([n for n in files(whole) if n.startswith(("steps/", "signals/", "pieces/"))])
    assert len(reachable(whole)) > 30


def test_what_is_planted_goes(curate: Curate, mine: Path) -> None:
    """Each kind is named for what it is, and a user's own files stay, wherever a link leads."""
    store = mine / "run"
    step_ = next((store / "steps" / "unique").iterdir()).relative_to(store).as_posix()
    signals = next((store / "signals").glob("*/*")).relative_to(store).as_posix()
    planted = {
        "temporary": [
            f"{step_}/.done-1.json.0123456789ab",
            f"{step_}/.out-0123456789ab/x.arrow",
            ".out.0123456789ab",
            "lease/.00000001.json.0123456789ab",
            "kept/verdicts/0/.0.json.0123456789ab",
        ],
        "unnamed": [f"{step_}/map0-0123456789ab.arrow", f"{signals}/signals-0123456789ab.arrow", "pieces/ffff/x.zst"],
        "void": [f"{step_}/receipts/{'0' * 32}.json", f"{signals}/{'0' * 32}-long.json"],
    }
    for name in [n for found in planted.values() for n in found]:
        (store / name).parent.mkdir(parents=True, exist_ok=True)
        Store(store).replace_json(name, {"file": "steps/gone/gone/gone.arrow"})
    Kept(Store(store)).put("verdicts", "", {bytes(16): "passed"})
    (mine / "precious").mkdir()
    (mine / "precious" / "data").write_text("mine")
    for name in ("notes.txt", "steps.bak", ".hidden", "damaged/x"):
        (store / name).parent.mkdir(exist_ok=True)
        (store / name).write_text("mine")
    (store / step_ / "elsewhere").symlink_to(mine / "precious")
    before, done = files(store), receipts(store)
    said = collect(curate, store, "--yes")
    assert {kind: set(keys) - {f"{step_}/elsewhere"} for kind, keys in said["files"].items()} == {
        kind: set(keys) for kind, keys in planted.items()
    }
    assert (mine / "precious" / "data").read_text() == "mine"
    assert set(before) - set(files(store)) <= {n for found in planted.values() for n in found} | {f"{step_}/elsewhere"}
    assert not (store / "pieces" / "ffff").exists()
    curate.run(mine / "r.yaml", store, *SPLIT).ok()
    assert {key: at for key, at in receipts(store).items() if key in done} == {
        key: at for key, at in done.items() if "0" * 32 not in key
    }
    assert collect(curate, store, "--damaged", "--yes")["files"] == {"damaged": ["damaged/x"]}
    assert not (store / "damaged").exists() and (store / "notes.txt").exists()


def test_history_is_kept_unless_it_is_to_go(curate: Curate, mine: Path) -> None:
    """Going back to other settings redoes nothing, until --newest; that keeps what the newest run is made of."""
    store, first = mine / "run", results(mine / "run")
    again = [*changed(steps(), "long", min_words=170), step("more", "write.text", "unique", documents_per_shard=7)]
    write(mine / "other.yaml", again)
    curate.run(mine / "other.yaml", store, *SPLIT).ok()
    second = results(store)
    assert collect(curate, store, "--yes")["files"] == {}
    write(mine / "r.yaml", steps())
    before = receipts(store)
    curate.run(mine / "r.yaml", store, *SPLIT).ok()
    assert receipts(store) == before and results(store) == first
    # What was found out about a task (run/quarantine.py) is kept as long as its step is.
    newest = (store / json.loads((store / "steps.json").read_bytes())["unique"]).parent
    older = next(p for p in newest.parent.iterdir() if p != newest)
    for folder in (newest, older):
        Store(store).put_if_absent(f"{folder.relative_to(store)}/receipts/{'1' * 32}.kills.json", [])
    Kept(Store(store)).put("verdicts", "", {bytes(16): "passed"})
    assert collect(curate, store, "--yes")["files"] == {}
    said = collect(curate, store, "--newest", "--yes")
    assert not (store / "kept").exists()
    assert (newest / "receipts" / f"{'1' * 32}.kills.json").exists() and not older.exists()
    assert set(said["files"]) == {"older"} and said["links"] == ["more"]
    assert not (store / "more").is_symlink() and (store / "out").is_dir()
    left = receipts(store)
    curate.run(mine / "r.yaml", store, *SPLIT).ok()
    assert receipts(store) == left and results(store) == first and (newest / "step.json").exists()
    assert collect(curate, store, "--newest", "--yes")["files"] == {}
    # One more input does not redo the others: the receipts of what stayed are there.
    (mine / "c.jsonl").write_bytes(lines(rows(prose(43, 1500)[40:], "c")))
    write(mine / "r.yaml", changed(steps(), "docs", paths=["a.jsonl", "b.jsonl.zst", "c.jsonl"]))
    curate.run(mine / "r.yaml", store, *SPLIT).ok()
    kept = {k: at for k, at in receipts(store).items() if k in left}
    assert kept == left and any("/long/" in key and "/receipts/" in key for key in left)
    write(mine / "other.yaml", again)
    curate.run(mine / "other.yaml", store, *SPLIT).ok()
    assert results(store) == second


def test_newest_needs_a_finished_run(curate: Curate, mine: Path) -> None:
    """What a run that was killed will need is not known: one line, and nothing goes."""
    store = mine / "run"
    write(mine / "r.yaml", changed(steps(), "long", min_words=160))
    (mine / "token").touch()
    env = {"CURATE_CRASH_AT": f"shard.before-receipt={mine / 'token'}"}
    assert curate.run(mine / "r.yaml", store, *SPLIT, env=env).code == -signal.SIGKILL
    before = receipts(store)
    done = curate("gc", store, "--newest", "--yes")
    assert done.code == 2 and "has not come to its end" in done.line and "--newest" in done.line
    assert receipts(store) == before
    assert manifest(store)["steps"]["long"]["settings"]["min_words"] == 150


def test_not_beside_a_run(curate: Curate, mine: Path) -> None:
    """While another command holds the store nothing is even looked at: what it writes is named by nothing yet."""
    from curate.run.lease import Lease
    from curate.store.files import Store

    before = files(mine / "run")
    with Lease(Store(mine / "run"), "curate run"):
        for options in ((), ("--yes",)):
            done = curate("gc", mine / "run", *options)
            assert done.code == 11 and "is in use (curate run" in done.line
    assert files(mine / "run") == before


def test_a_removal_that_is_killed_names_nothing_that_is_gone(curate: Curate, mine: Path) -> None:
    """Records and receipts go before what they name: stopped at any file, the rest is garbage still."""
    from curate.run.garbage import find_garbage
    from curate.store.files import Store

    store = Store(mine / "run")
    write(mine / "r.yaml", changed(steps(), "long", min_words=160))
    curate.run(mine / "r.yaml", mine / "run", *SPLIT).ok()
    garbage = find_garbage(store, newest=True)
    order = [key for found in garbage.files.values() for key, _ in found]
    for number, key in enumerate(order):
        (mine / "run" / key).unlink()
        if number % 5 == 0:
            left = find_garbage(store, newest=True)
            assert sorted(k for found in left.files.values() for k, _ in found) == sorted(order[number + 1 :])
            assert "void" not in left.files
    done = receipts(mine / "run")
    curate.run(mine / "r.yaml", mine / "run", *SPLIT).ok()
    assert receipts(mine / "run") == done


def test_what_is_half_written_in_a_dataset(curate: Curate, mine: Path) -> None:
    """A killed attempt's provenance.json beside the shards: gc removes it, and so does the next run."""
    store = mine / "run"
    before = results(store)
    shards = next(path for path in store.iterdir() if path.is_symlink() and any(path.glob("*.arrow")))
    for command in (lambda: curate("gc", store, "--yes"), lambda: curate.run(mine / "r.yaml", store, *SPLIT)):
        half = shards / ".provenance.json.0123456789ab"
        half.write_text("{")
        command().ok()
        assert not half.exists()
        assert results(store) == before
