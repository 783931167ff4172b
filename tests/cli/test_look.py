"""`curate explain` and `curate inspect`, as a person types them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from command import Curate
from recipes import changed, write
from small_run import steps, write_run
from written import resealed

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e]")


def ids(curate: Curate, run: Path) -> dict[str, str]:
    """Hex ids by the beginning of the own id in the input."""
    rows = json.loads(curate("inspect", run, "--json", "-n", 1000).ok().out)["rows"]
    return {row["origin"].partition("#")[2][:15]: row["id"] for row in rows}


def test_inspect_shows_counts_scores_and_rows(curate: Curate, small_run: Path) -> None:
    """The table of reasons with shares, the scores' distribution, rows; nothing wider than 100 columns."""
    out = curate("inspect", "--plain", small_run, "-n", 6).ok().out
    assert re.search(r"rules +filter\.massivetext +127 +125 +2 +1\.6%", out)
    assert re.search(r"^ +2 +1\.6% +too_short *$", out, re.MULTILINE)
    assert re.search(r"^scored\.score .* 0 [ ▁▂▃▄▅▆▇█]{24} 1 *$", out, re.MULTILINE)
    assert "6 of 128 rows" in out
    assert len(re.findall(r"^[0-9a-f]{8}  ", out, re.MULTILINE)) == 6
    assert max(len(line) for line in out.splitlines()) <= 100


def test_inspect_without_plain_says_what_is_missing(curate: Curate, small_run: Path) -> None:
    """One honest line, and the way that works."""
    done = curate("inspect", small_run)
    assert done.code == 2 and "not in this version yet" in done.out and "--plain" in done.out


def test_inspect_by_name_below_runs(curate: Curate, small_run: Path, tmp_path: Path) -> None:
    """A run is known by its folder's name from where `runs/` is; a wrong name lists those that are there."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/mine").symlink_to(small_run)
    assert "small" not in curate("inspect", "--plain", "mine", "-n", 0, cwd=tmp_path).ok().out
    assert "there are: mine" in curate("inspect", "--plain", "other", cwd=tmp_path).line


def test_inspect_a_dataset_decodes_its_sequences(curate: Curate, small_run: Path) -> None:
    """With the tokenizer beside the shards the tokens are text; documents show their text."""
    tokens = curate("inspect", "--plain", small_run / "tokens", "-n", 3).ok().out
    assert "columns: input_ids" in tokens and re.search(r"w\d+x\d+ and the\.", tokens)
    pages = curate("inspect", "--plain", small_run / "pages", "-n", 2).ok().out
    assert pages.startswith("122 rows in 3 shards") and "content_hash" in pages


def test_inspect_a_dataset_without_its_tokenizer(curate: Curate, small_run: Path, tmp_path: Path) -> None:
    """Numbers, and a line that says why."""
    for file in (small_run / "tokens").glob("*.arrow"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    out = curate("inspect", "--plain", tmp_path, "-n", 1).ok().out
    assert "no tokenizer" in out and re.search(r"^  \d+ \d+ \d+", out, re.MULTILINE)


@pytest.mark.parametrize("name", ["hostile-kept", "hostile-dropped"])
def test_hostile_text_never_reaches_the_terminal(curate: Curate, small_run: Path, name: str) -> None:
    """Escape sequences, direction marks and markup in text, source, origin and licence show as what they are."""
    out = curate("explain", small_run, ids(curate, small_run)[name], "--text").ok().out
    assert not CONTROL.search(out)
    assert "\\x1b[2J" in out and "\\u202e" in out and "<script>" in out and "[bold]markup[/bold]" in out
    seen = curate("inspect", "--plain", small_run, "-n", 500).ok().out
    assert not CONTROL.search(seen) and "\\x1b[2J" in seen
    raw = curate("inspect", small_run, "--json", "-n", 500).ok().out
    assert raw.isascii() and not CONTROL.search(raw)


def test_a_huge_line_is_cut(curate: Curate, small_run: Path) -> None:
    """A document of one line of 260,000 characters is a few lines on the screen."""
    out = curate("explain", small_run, ids(curate, small_run)["huge-line"]).ok().out
    assert len(out) < 5_000 and "characters in all)" in out
    assert max(len(line) for line in out.splitlines()) <= 101


def test_explain_tells_the_story_in_order(curate: Curate, small_run: Path) -> None:
    """Every step once, in the recipe's order; for a leak the item, how much of it, and what was never reached."""
    out = curate("explain", small_run, ids(curate, small_run)["leak"][:10]).ok().out
    places = [out.index(f"\n{name:<14}") for name in ("docs", "rules", "unique", "near", "clean")]
    assert places == sorted(places)
    assert "dropped: benchmark_ngram" in out and "holds 100% of humaneval/HumanEval/0" in out
    assert "containment 0.3" in out
    assert "never reached labels, value, scored, good, pages, words, encoded, tokens, documents" in out
    assert "Because" not in out.split("text (")[0]


def test_explain_shows_what_differs_from_the_one_kept(curate: Curate, small_run: Path) -> None:
    """Whichever of the pair went: similarity, the kept one's id and origin, and the line that differs."""
    known = ids(curate, small_run)
    stories = {name: curate("explain", small_run, known[name]).ok().out for name in ("alike", "p1")}
    gone = next(name for name, out in stories.items() if "dropped: near_duplicate" in out)
    kept = "p1" if gone == "alike" else "alike"
    assert re.search(rf"^{known[gone]} +{known[kept]}$", stories[gone], re.MULTILINE)
    assert f"docs.jsonl#{kept}" in stories[gone]
    assert re.search(r"kept in its place, similarity 0\.[789]", stories[gone])
    assert re.search(r"Another ending.* [|<]  |[|>] .*Another ending", stories[gone])
    assert "1 duplicate went in its favour" in stories[kept]


def test_explain_says_where_in_the_dataset(curate: Curate, small_run: Path) -> None:
    """The shard and row of a document, the sequences that hold its tokens; they do hold them."""
    out = curate("explain", small_run, ids(curate, small_run)["p5"]).ok().out
    shard, row = re.search(r"pages/(data-\S+) row ([\d,]+)", out).groups()
    import pyarrow as pa

    table = pa.ipc.open_stream(small_run / "pages" / shard).read_all()
    assert table.column("origin")[int(row)].as_py() == "docs.jsonl#p5"
    assert re.search(r"tokens sequences? [\d,]+", out)


def test_errors_are_one_line(curate: Curate, small_run: Path, tmp_path: Path) -> None:
    """No run, no such id, no such step: cause, place, cure and exit code 2."""
    for argv, said in (
        (("explain", tmp_path, "abcd"), "is no run"),
        (("explain", small_run, "ab"), "4 to 32 digits"),
        (("explain", small_run, "f" * 32), "no document's id begins"),
        (("inspect", "--plain", small_run, "--step", "nope"), "it has: docs"),
    ):
        done = curate(*argv)
        assert done.code == 2 and said in done.line


def test_a_run_that_a_guard_stopped_can_be_looked_at(curate: Curate, tmp_path: Path) -> None:
    """That is when one needs to look: the step that failed is there, with the rows it dropped."""
    write_run(tmp_path)
    strict = changed(steps()[:4], "rules", min_words=5_000)
    strict[1]["guard"] = {"max_drop": 0.5}
    recipe = write(tmp_path / "strict.yaml", strict, name="strict")
    assert curate.run(recipe, tmp_path / "run").code == 7
    out = curate("inspect", "--plain", tmp_path / "run", "--step", "rules", "-n", 3).ok().out
    assert "did not come to its end" in out and re.search(r"too_short", out)
    assert re.search(r"rules: too_short  words \d+", out)


def test_a_guard_on_a_run_that_had_finished_before(curate: Curate, tmp_path: Path) -> None:
    """The newest numbers are shown, not those of the run that succeeded."""
    recipe = write_run(tmp_path)
    write(recipe, steps()[:4], name="small")
    curate.run(recipe, tmp_path / "run").ok()
    strict = changed(steps()[:4], "rules", min_words=5_000)
    strict[1]["guard"] = {"max_drop": 0.5}
    write(recipe, strict, name="small")
    assert curate.run(recipe, tmp_path / "run").code == 7
    out = curate("inspect", "--plain", tmp_path / "run", "-n", 0).ok().out
    assert re.search(r"rules +filter\.massivetext +127 +1 +126", out)


def test_python_m_curate_is_the_command() -> None:
    """Where no script is on the path."""
    done = subprocess.run(
        [sys.executable, "-m", "curate", "--version"], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.startswith("curate ")


@pytest.mark.parametrize("name", ["audit", "explain", "inspect", "score", "train", "check"])
def test_help_has_examples(curate: Curate, name: str) -> None:
    """Each command shows how it is typed."""
    assert f"curate {name}" in curate(name, "--help").ok().out.split("Examples:")[1]


def test_explain_says_whose_a_token_of_the_dataset_is(curate: Curate, small_run: Path, tmp_path: Path) -> None:
    """Document, place and text around it, then its story; of a copy outside of the run only with the run named."""
    out = curate("explain", small_run / "tokens", "--sequence", 3, "--token", 9).ok().out
    assert re.match(r"sequence 3, token 9: id \d+\ntoken [\d,]+ of document [0-9a-f]{12}; .*a target", out)
    document = re.search(r"of document ([0-9a-f]{12})", out)
    assert document is not None and re.search(rf"^id +{document[1]}", out, re.MULTILINE) and "written" in out
    told = json.loads(curate("explain", small_run / "tokens", "--sequence", 3, "--token", 9, "--json").ok().out)
    text = told["token"]["before"] + told["token"]["here"] + told["token"]["after"]
    assert told["story"]["id"] == told["token"]["document"] and text.strip("\ufffd") in told["story"]["text"]
    for end in ("", ".sequences"):
        shutil.copytree(f"{small_run}/tokens{end}", tmp_path / f"copy{end}")
    assert "give the run" in curate("explain", tmp_path / "copy", "--sequence", 3).ok().out
    assert curate("explain", tmp_path / "copy", "--sequence", 3, "--run", small_run).ok().out.count("tokens") > 1
    assert curate("explain", small_run).line.endswith("or DATASET --sequence N")


def test_verify_holds_a_dataset_against_the_documents_of_its_run(
    curate: Curate, small_run: Path, tmp_path: Path
) -> None:
    """All checks, with the text of documents; a token that is another one is found even where nothing else tells."""
    for name in ("tokens", "documents"):
        out = curate("verify", small_run / name).ok().out
        assert re.search(r"^text +24  documents$", out, re.MULTILINE) and "reconciliation" in out
    shutil.copytree(small_run / "documents", tmp_path / "copy")
    shard = next((tmp_path / "copy").glob("*.arrow"))
    with pa.ipc.open_stream(shard.read_bytes()) as reader:
        table = reader.read_all().combine_chunks()
    lists = table.column("input_ids").chunk(0)
    values = lists.values.to_numpy().copy()
    end = json.loads((tmp_path / "copy/shards.json").read_text())["end_of_text"]
    values[values != end] ^= 1
    table = table.set_column(4, table.schema.field(4), pa.ListArray.from_arrays(lists.offsets, pa.array(values)))
    with pa.OSFile(str(shard), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as out:
        out.write_table(table)
    resealed(tmp_path / "copy")
    curate("verify", tmp_path / "copy").ok()
    done = curate("verify", tmp_path / "copy", "--run", small_run)
    assert done.code == 9 and "are not those of its text" in done.err
    assert len(done.err.splitlines()) == 5


def test_export_writes_a_folder_that_another_trainer_reads(curate: Curate, small_run: Path, tmp_path: Path) -> None:
    """What was written and how it is read; sequences that are packed already are refused with a cure."""
    out = curate("export", small_run / "documents", tmp_path / "out", "--to", "megatron").ok().out
    assert re.match(rf"{tmp_path}/out: 122 rows, [\d,]+ tokens, 1 files, ", out) and "Megatron-LM" in out
    said = json.loads((tmp_path / "out/export.json").read_text())
    assert {f["name"] for f in said["files"]} >= {"00000_documents.bin", "tokenizer/tokenizer.model", "provenance.json"}
    done = curate("export", small_run / "tokens", tmp_path / "other", "--to", "megatron")
    assert done.code == 2 and "write.encoded" in done.line and not (tmp_path / "other").exists()
