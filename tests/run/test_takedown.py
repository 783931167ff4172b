"""A takedown through a whole run: documents, their copies and everything made of them go; nothing else is asked again."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import Curate, dataset, manifest, record
from recipes import step, write
from small_run import prose

from curate.llm.teacher import Call, Say, Teacher
from curate.store import known_files
from curate.store.files import ASIDE
from curate.store.tables import read_batches

JUDGED = 30
GONE = {"p3": "id", "p5": "url", "p7": "repo", "p11": "site"}
"""Documents that the list names, each in another way."""
COPIES = {"same": "p5", "alike": "p7"}
"""Copies of some of them from other places: the first has their very text, the second differs in a line."""


def mark(name: str) -> str:
    """A word that stands in one document's text alone, and in those of its copies."""
    return f"zq{COPIES.get(name, name)}qz"


def rows() -> list[dict]:
    """Forty documents with addresses, and the copies."""
    found = []
    for i in range(40):
        where = {"url": f"https://www.pages.example/{i}/"} if i % 2 else {"repo": f"Owner{i}/name"}
        where = {"p7": {"repo_name": "gone/Away"}, "p11": {"metadata": {"url": "http://a.left.example/x"}}}.get(
            f"p{i}", where
        )
        text = f"{prose(i)}\nIn the end there is the word {mark(f'p{i}')} and that is the end of it."
        found.append({"id": f"p{i}", "text": text, **where})
    near = found[7]["text"].split("\n")
    near[2] = "Another line, the only one of it that is new."
    found.append({"id": "same", "text": found[5]["text"], "url": "https://mirror.example/5"})
    found.append({"id": "alike", "text": "\n".join(near), "url": "https://mirror.example/7"})
    return found


def judge(call: Call) -> Say:
    """Quotes the word that stands in one document alone, and scores."""
    word = re.search(r"zqp\d+qz", call.body["messages"][-1]["content"])
    return Say(f"It has {word[0] if word else 'nothing'}.\n\nEducational score: {int(call.key[0], 16) % 5}")


def recipe(folder: Path, teacher: Teacher, **more: object) -> Path:
    steps = [
        step("docs", "read.jsonl", paths=["docs.jsonl"]),
        step("rules", "filter.massivetext", min_words=20, max_symbol_ratio=0.5),
        step("unique", "dedup.exact"),
        step("near", "dedup.near"),
        step("judge", "label.llm", documents=JUDGED, round=4, max_chars=4000),
        step("judged", "write.text", "judge"),
        step("words", "train.tokenizer", "near", vocab_size=400, max_bytes=30_000),
        step("out", "write.text", "near", documents_per_shard=20),
        step("encoded", "encode.tokens", "near", tokenizer="words"),
        step("tokens", "write.tokens", tokens="encoded", sequence=64, tail="pad"),
    ]
    models = {"judge": {"model": "teacher", "base_url": teacher.base_url, "licence": "CC0-1.0"}}
    return write(folder / "r.yaml", steps, models=models, **more)


@pytest.fixture(scope="module")
def teacher() -> Iterator[Teacher]:
    with Teacher(judge) as served:
        yield served


@pytest.fixture(scope="module")
def before(curate: Curate, teacher: Teacher, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with all of the documents, its recipe and the removal list; read only."""
    folder = tmp_path_factory.mktemp("takedown")
    (folder / "docs.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows()))
    curate.run(recipe(folder, teacher), folder / "run").ok()
    assert manifest(folder / "run")["steps"]["near"]["reasons"] == {"near_duplicate": 1}
    assert manifest(folder / "run")["steps"]["unique"]["reasons"] == {"exact_duplicate": 1}
    three = next(i for i, origin in origins(folder / "run").items() if origin == "docs.jsonl#p3")
    (folder / "list.txt").write_text(
        f"{three}\nhttp://pages.example/5\nrepo:https://github.com/gone/away\nsite:left.example\nrepo:never/seen\n"
    )
    return folder


@pytest.fixture
def mine(before: Path, tmp_path: Path) -> Path:
    shutil.copytree(before, tmp_path / "mine", symlinks=True)
    return tmp_path / "mine"


def origins(store: Path) -> dict[str, str]:
    """Of all documents that were read: id and origin."""
    found = {}
    for part in record(store, "rules")["parts"]:
        for batch in read_batches(store / part["data"]):
            found |= {i.hex(): o for i, o in zip(*(batch.column(n).to_pylist() for n in ("id", "origin")), strict=True)}
    return found


def texts(store: Path) -> str:
    """Every string in the store that is not an answer: of each table, each receipt, each dataset."""
    found = []
    for path in (p for p in store.rglob("*") if p.is_file() and not p.is_symlink()):
        if "rounds" in path.parts or path.name.startswith(("journal", "local-model")):
            continue
        if path.relative_to(store).parts[0] == ASIDE:  # no table any more, but texts on a disk are not compressed
            found.append(path.read_bytes().decode("utf-8", "replace"))
        elif path.name == known_files.KEY:
            with pa.ipc.open_file(path.read_bytes()[:-8]) as reader:  # behind it stands its checksum
                found.append(str(reader.read_all().to_pydict()))
        elif path.suffix == ".arrow" and not any(part.startswith("out-") for part in path.parts):
            found += [str(batch.to_pydict()) for batch in read_batches(path)]
        else:
            found.append(path.read_bytes().decode("utf-8", "replace"))
    return "".join(found)


def report(curate: Curate, folder: Path, *options: str | Path) -> tuple[int, dict]:
    done = curate("takedown", folder / "run", folder / "list.txt", "--json", *options)
    assert done.code in (0, 1) and not done.err, done.err
    return done.code, json.loads(done.out)


def test_the_report_says_what_would_go(curate: Curate, before: Path) -> None:
    """Which entry names which document, copies that would come back, rows that a judge made, who learnt from them, and
    which entry names nothing; and changes nothing."""
    code, found = report(curate, before)
    assert code == 1
    names = {i: o.partition("#")[2] for i, o in origins(before / "run").items()}
    assert {names[hit["id"]]: hit["why"].partition(":")[0] for hit in found["named"]} == GONE
    named = {names[hit["id"]]: hit["id"] for hit in found["named"]}
    # Which one of two copies is kept depends on their texts, or ids.
    kept = {row["origin"].partition("#")[2] for row in dataset(before / "run")}
    gone = {"p5": "dropped by unique: exact_duplicate", "p7": "dropped by near: near_duplicate"}
    fates = {names[hit["id"]]: hit["fate"] for hit in found["named"]}
    assert fates == {name: "in out, tokens" if name in kept else gone[name] for name in GONE}
    copies = {names[hit["id"]]: hit for hit in found["copies"]}
    assert copies.keys() == COPIES.keys()
    assert copies["same"]["why"] == f"the text of {named['p5']}"
    assert copies["same"]["fate"] == ("in out, tokens" if "same" in kept else gone["p5"])
    why = "near_duplicate of" if "p7" in kept else "kept in place of"
    assert copies["alike"]["why"] == f"{why} {named['p7']}" and copies["alike"]["origin"] == "docs.jsonl#alike"
    shown = {json.loads(row["meta"])["document"]: row["id"] for row in dataset(before / "run", "judged")}
    all_ = [*named.values(), *(hit["id"] for hit in copies.values())]
    want = {shown[i]: f"made of {i}" for i in all_ if i in shown}
    assert want and {hit["id"]: hit["why"] for hit in found["derived"]} == want
    assert found["trained"] == ["words"]
    assert len(kept & {*GONE, *COPIES}) == 4
    assert found["writers"] == {"judged": len(want), "out": 4, "tokens": 4}
    assert [(e["kind"], e["value"], e["place"].rpartition("/")[2]) for e in found["unmatched"]] == [
        ("repo", "never/seen", "list.txt:5")
    ]
    shown_ = curate("takedown", before / "run", before / "list.txt")
    assert shown_.code == 1 and "repo:never/seen" in shown_.out and "learnt from some of them: words" in shown_.out
    assert max(map(len, shown_.out.splitlines())) <= 200


def test_what_is_taken_down_is_nowhere(curate: Curate, teacher: Teacher, mine: Path) -> None:
    """After the run no result holds it, after gc nothing in the store does; only documents that came in their place are
    asked about; the datasets are those of a run that never saw them; and a second recipe that reads them, run again, has none."""
    store = mine / "run"
    reading = [step("first", "read.dataset", path="run/out"), step("again", "write.text")]
    second = write(mine / "second.yaml", reading, name="second")
    curate.run(second, mine / "second").ok()
    # A part with their texts was damaged once, and lies aside.
    part = store / record(store, "rules")["parts"][0]["data"]
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)
    curate.run(mine / "r.yaml", store, "--verify").ok()
    assert [
        m for m in (mark(name) for name in GONE) if m.encode() in (store / ASIDE / part.relative_to(store)).read_bytes()
    ]
    assert [row["text"] for row in dataset(mine / "second", "again") if mark("p11") in row["text"]]
    names = origins(store)
    assert report(curate, mine, "--write", mine / "gone.txt")[0] == 1
    asked = dict(teacher.received)
    path = recipe(mine, teacher, takedown="gone.txt")
    curate.run(path, store).ok()
    gone = {*GONE, *COPIES}
    marks = {mark(name) for name in gone}
    for name in ("out", "judged"):
        assert not [m for m in marks for row in dataset(store, name) if m in row["text"]]
    assert {o.partition("#")[2] for o in names.values()} - gone == {
        row["origin"].partition("#")[2] for row in dataset(store)
    }
    (mine / "more.txt").write_text("url:pages.example/13\n")
    write(second, reading, name="second", takedown="more.txt")
    curate.run(second, mine / "second").ok()
    there = {row["id"].hex() if isinstance(row["id"], bytes) else row["id"]: row["text"] for row in dataset(store)}
    left = dataset(mine / "second", "again")
    assert sorted(row["text"] for row in left) == sorted(t for t in there.values() if mark("p13") not in t)
    assert all(there[json.loads(row["meta"])["document"]] == row["text"] for row in left)
    ids = {i for i, o in names.items() if o.partition("#")[2] in gone}
    beside = [pq.read_table(path) for path in (store / "tokens.sequences").iterdir()]
    assert beside and not ids & {i for table in beside for i in table.column("document").to_pylist()}
    assert not ids & {json.loads(row["meta"])["document"] for row in dataset(store, "judged")}
    assert len(dataset(store, "judged")) == JUDGED
    # Nothing that was answered is asked again, and only as many as went are asked about.
    again = {key: n for key, n in teacher.received.items() if n != asked.get(key, 0)}
    assert all(key not in asked and n == 1 for key, n in again.items())
    assert 1 <= len(again) <= len(gone)
    # The account: counts, reasons, which entry.
    said = manifest(store)
    assert said["takedown"]["documents"] == 6 and said["takedown"]["entries"] == 7
    assert said["steps"]["docs"]["reasons"] == {"takedown": 6}
    assert said["steps"]["docs"]["rows_in"] - said["steps"]["docs"]["rows_out"] == 6
    one = next(i for i, o in names.items() if o == "docs.jsonl#p5")
    story = curate("explain", store, one).ok().out
    assert "dropped: takedown" in story and "url:pages.example/5" in story and mark("p5") not in story
    assert re.search(r"takedown\s+6\b|\b6\b.*takedown", curate("inspect", "--plain", store).ok().out)
    assert "`takedown`: an entry of the recipe's `takedown` list names it" in (store / "README.md").read_text()
    code, after = report(curate, mine)
    assert (code, after["named"], after["copies"], after["writers"]) == (0, [], [], {})
    assert after["removed"]["url:pages.example/5"] == 1 and [e["value"] for e in after["unmatched"]] == ["never/seen"]
    # What is left lies in older files, until they go.
    assert [m for m in marks if m in texts(store)]
    paid = sorted(store.glob("steps/judge/*/rounds/*.json"))
    curate("gc", store, "--newest", "--yes").ok()
    assert not (store / ASIDE).exists()
    assert sorted(store.glob("steps/judge/*/rounds/*.json")) == paid and len(paid) > 8
    assert not [m for m in marks if m in texts(store)]
    done = json.loads((store / "manifest.json").read_bytes())
    curate.run(path, store).ok()
    assert json.loads((store / "manifest.json").read_bytes()) == done
    # The same shards as of a run that never saw them, given the same answers.
    clean = mine / "clean"
    clean.mkdir()
    (clean / "docs.jsonl").write_text("".join(f"{json.dumps(r)}\n" for r in rows() if r["id"] not in gone))
    total = sum(teacher.received.values())
    (clean / "run").mkdir()
    shutil.copy(store / "journal.sqlite", clean / "run" / "journal.sqlite")
    curate.run(recipe(clean, teacher), clean / "run").ok()
    assert sum(teacher.received.values()) == total
    for name in ("out", "judged", "tokens"):
        shards = [[s["sha256"] for s in manifest(run)["steps"][name]["shards"]] for run in (store, clean / "run")]
        assert shards[0] == shards[1]


def test_what_was_paid_for_outlives_the_journal(curate: Curate, teacher: Teacher, mine: Path) -> None:
    """Without the journal, answers are found in the rounds that were published, whatever was asked beside them."""
    asked = dict(teacher.received)
    rounds = [json.loads(path.read_bytes()) for path in (mine / "run").glob("steps/judge/*/rounds/*.json")]
    paid = {a["key"] for value in rounds for a in (value["value"] if isinstance(value, dict) else value)}
    assert len(paid) == JUDGED
    for path in (mine / "run").glob("journal.sqlite*"):
        path.unlink()
    curate.run(recipe(mine, teacher, takedown="list.txt"), mine / "run").ok()
    again = {key: n - asked.get(key, 0) for key, n in teacher.received.items() if n > asked.get(key, 0)}
    removed = manifest(mine / "run")["takedown"]["documents"]
    assert removed == len(GONE)
    assert not again.keys() & paid and sum(again.values()) <= removed + len(COPIES)
    assert len(dataset(mine / "run", "judged")) == JUDGED


@pytest.mark.parametrize("limit", [1, 4, 30])
def test_a_limit_counts_what_stays(curate: Curate, teacher: Teacher, tmp_path: Path, limit: int) -> None:
    """--limit N gives the first N documents that no entry names, however the input is cut."""
    some = rows()
    random.Random(1).shuffle(some)
    (tmp_path / "docs.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in some))
    (tmp_path / "list.txt").write_text("site:pages.example\n")
    steps = [step("docs", "read.jsonl", paths=["docs.jsonl"]), step("out", "write.text")]
    path = write(tmp_path / "r.yaml", steps, takedown=["list.txt"])
    stays = [f"docs.jsonl#{r['id']}" for r in some if "pages" not in r.get("url", "")]
    assert len(stays) < 30
    for split in (64, 0.004):
        store = tmp_path / f"run{split}"
        curate.run(path, store, "--limit", limit, "--split-mb", split).ok()
        assert sorted(row["origin"] for row in dataset(store)) == sorted(stays[:limit])
        last = some.index(next(r for r in some if f"docs.jsonl#{r['id']}" == stays[:limit][-1])) + 1
        end = last if limit <= len(stays) else len(some)
        assert manifest(store)["steps"]["docs"]["reasons"]["takedown"] == end - len(stays[:limit])


def test_what_a_model_wrote_can_be_named(curate: Curate, tmp_path: Path) -> None:
    """A generated document goes by its id, after it was accepted; nothing is asked again, and without the entry it is
    back."""
    with Teacher() as teacher:
        steps = [
            step("books", "generate.textbooks", passages=8, round=4, max_tokens=200, min_chars=20),
            step("out", "write.text"),
        ]
        models = {"writer": {"model": "teacher", "base_url": teacher.base_url, "licence": "CC0-1.0"}}
        store = tmp_path / "run"
        curate.run(write(tmp_path / "r.yaml", steps, models=models), store).ok()
        first, asked = dataset(store), dict(teacher.received)
        (tmp_path / "gone.txt").write_text(f"id:{first[0]['id']}\n")
        curate.run(write(tmp_path / "r.yaml", steps, models=models, takedown="gone.txt"), store).ok()
        assert {r["id"] for r in dataset(store)} == {r["id"] for r in first} - {first[0]["id"]}
        assert manifest(store)["steps"]["books"]["reasons"]["takedown"] == 1
        assert "dropped: takedown" in curate("explain", store, first[0]["id"]).ok().out
        curate.run(write(tmp_path / "r.yaml", steps, models=models), store).ok()
        assert dataset(store) == first
        assert dict(teacher.received) == asked


def test_a_list_that_is_missing_stops_the_run(curate: Curate, teacher: Teacher, mine: Path) -> None:
    """It does not bring the documents back; and what was typed wrongly is said with its line."""
    done = curate.run(recipe(mine, teacher, takedown="nowhere.txt"), mine / "run")
    assert done.code == 3 and "nowhere.txt: there is no such removal list" in done.line
    (mine / "bad.txt").write_text("site:a.example\nelsewhere\n")
    done = curate.run(recipe(mine, teacher, takedown="bad.txt"), mine / "run")
    assert done.code == 3 and "bad.txt:2: 'elsewhere' is no entry" in done.line
    done = curate("takedown", mine / "run", mine / "list.txt", "--write", mine / "list.txt")
    assert done.code == 2 and "is there already" in done.line


def test_a_document_of_an_index_is_none_of_this_run(curate: Curate, tmp_path: Path) -> None:
    """Two snapshots of one name give different documents the same id: what went in favour of the earlier one is no copy of
    the later one, and stands for nothing of it."""
    one, two = (" ".join(f"{word}{i}" for i in range(120)) for word in ("river", "copper"))
    for month, said in {"january": [one], "february": [two, one, one + " more", two[:-9]]}.items():
        (tmp_path / month).mkdir()
        lines = "".join(f"{json.dumps({'text': text})}\n" for text in said)
        (tmp_path / month / "data.jsonl").write_text(lines)
        before = [] if month == "january" else ["../january/run/"]
        steps = [step("docs", "read.jsonl", paths=["data.jsonl"])]
        for name in ("exact", "near"):
            given = {"index": True, "keep": ["longest"], "against": [f"{run}{name}" for run in before]}
            steps.append(step(name, f"dedup.{name}", **given))
        recipe_ = write(tmp_path / month / "r.yaml", [*steps, step("out", "write.text")])
        curate.run(recipe_, tmp_path / month / "run").ok()
    run, (first,) = tmp_path / "february" / "run", dataset(tmp_path / "january" / "run")
    (kept,) = dataset(run)
    assert kept["id"] == first["id"] and kept["text"] == two
    assert json.loads(curate("explain", run, kept["id"], "--json").ok().out)["stands_for"] == 1
    (tmp_path / "list.txt").write_text(f"id:{kept['id']}\n")
    found = json.loads(curate("takedown", run, tmp_path / "list.txt", "--json").out)
    assert [hit["why"] for hit in found["copies"]] == [f"near_duplicate of {kept['id']}"]
    how = ("inspect", run, "--reason", "exact_duplicate")
    (gone,) = json.loads(curate(*how, "--json").ok().out)["rows"]
    index = gone["about"]["index"]
    assert f"like {kept['id'][:8]} of index {index}, 1" in curate(*how, "--plain").ok().out
    (tmp_path / "list.txt").write_text(f"id:{gone['id']}\n")
    found = json.loads(curate("takedown", run, tmp_path / "list.txt", "--json").out)
    assert [hit["fate"] for hit in found["named"]] == [
        f"dropped by exact: exact_duplicate of a document in index {index}"
    ]
    assert not found["copies"]
