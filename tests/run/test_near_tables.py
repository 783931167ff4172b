"""Who goes, for whom and how similar: one table, however the input is cut and shuffled."""

from __future__ import annotations

import json
import random
from pathlib import Path

from command import Curate, manifest
from corpus import lines, near_copy, prose, rows
from recipes import step, write

from curate.store.files import Store
from curate.store.tables import read_table

Table = list[tuple[str, str, float]]


def planted() -> list[dict[str, object]]:
    """Prose, up to five versions of each that are further and further from it, and pairs that are too short to have shingles."""
    rng = random.Random(21)
    texts = []
    for text in prose(60):
        texts.append(text)
        for _ in range(rng.randrange(5)):
            text = near_copy(text, rng)
            texts.append(text)
    texts += [form for i in range(20) for form in (f"Number {i}.", f"number  {i}.")]
    return rows(list(dict.fromkeys(texts)), "t")


def table(curate: Curate, folder: Path, files: int, seed: int, *how: object) -> Table:
    """The table of a run by the records' own ids, sorted; its input is shuffled and dealt out to files."""
    records = planted()
    random.Random(seed).shuffle(records)
    (folder / "in").mkdir(parents=True)
    for n in range(files):
        (folder / "in" / f"{n:03}.jsonl").write_bytes(lines(records[n::files]))
    steps = [step("docs", "read.jsonl", paths=["in/*.jsonl"]), step("near", "dedup.near", keep=["longest"])]
    recipe = write(folder / "near.yaml", [*steps, step("out", "write.text")])
    curate.run(recipe, folder / "run", *how).ok()
    store = Store(folder / "run")
    record = store.read_json(store.read_json("steps.json")["near"])
    dropped = [read_table(store.data(key)) for key in record["dropped"]]
    gone = [row for some in dropped for row in some.to_pylist()]
    assert len(gone) == manifest(folder / "run")["steps"]["near"]["reasons"]["near_duplicate"]
    own = {row["id"].hex(): row["origin"].rpartition("#")[2] for row in gone}
    names = {}
    for data in json.loads(json.dumps(record["parts"])):
        for row in read_table(store.data(data["data"])).select(["id", "origin"]).to_pylist():
            names[row["id"].hex()] = row["origin"].rpartition("#")[2]
    told = [json.loads(row["detail"]) | {"gone": own[row["id"].hex()]} for row in gone]
    return sorted((t["gone"], names[t["kept"]], t["similarity"]) for t in told)


def test_one_table(curate: Curate, tmp_path: Path) -> None:
    """One file in one process; seven in another order and other partitions; 64 in pieces as small as they get."""
    one = table(curate, tmp_path / "one", 1, 1)
    assert len(one) > 80
    assert sum(similarity == 1 for *_, similarity in one) == 20
    assert len({similarity for *_, similarity in one}) > 30
    assert table(curate, tmp_path / "seven", 7, 2, "--partitions", 5) == one
    assert table(curate, tmp_path / "many", 64, 3, "--split-mb", 0.01) == one


def test_identical_ids_are_refused(curate: Curate, tmp_path: Path) -> None:
    """Two documents of one id that both stay stop the writer, as without near deduplication."""
    texts = prose(2)
    (tmp_path / "in.jsonl").write_bytes(lines([{"id": "same", "text": text} for text in texts]))
    steps = [step("docs", "read.jsonl", paths=["in.jsonl"]), step("near", "dedup.near"), step("out", "write.text")]
    done = curate.run(write(tmp_path / "r.yaml", steps), tmp_path / "run")
    assert done.code != 0
    assert "comes twice" in done.line
