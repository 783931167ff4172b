"""What reaches a terminal, a pipe and a log: progress, and nothing that a stranger could put there."""

from __future__ import annotations

import io
import re
import time
from pathlib import Path

import pytest
from command import Curate, fresh
from recipes import write
from rich.console import Console
from small_run import steps, write_run

from curate.cli import progress
from curate.cli.progress import View
from curate.store.records import Counts

ESCAPE = "\x1b"


@pytest.mark.parametrize(
    "argv",
    [
        ("inspect", "--plain", "RUN"),
        ("inspect", "--plain", "RUN/tokens"),
        ("inspect", "RUN", "--signal", "rules.words", "--at", "0.9"),
        ("audit", "RECIPE"),
        ("explain", "RUN", "ID"),
        ("plan", "RECIPE"),
        ("run", "RECIPE", "--workers", 0),
        ("stages",),
        ("stages", "dedup.near"),
        ("stages", "train.classifier"),
        ("stages", "--json"),
        ("check", "RECIPE"),
        ("check",),
    ],
    ids=lambda argv: "-".join(map(str, argv)),
)
def test_piped_output_is_plain_lines(curate: Curate, small_run: Path, tmp_path: Path, argv: tuple) -> None:
    """No escape code and no blank at the end of a line."""
    first = re.search(r'"id": "(\w+)"', curate("inspect", small_run, "--json", "-n", 1).ok().out)
    assert first
    put = {"RUN": small_run, "RUN/tokens": small_run / "tokens", "ID": first[1], "RECIPE": write_run(tmp_path)}
    out = curate(*(put.get(a, a) for a in argv), cwd=tmp_path).ok().out
    assert out and ESCAPE not in out
    assert [line for line in out.splitlines() if line != line.rstrip()] == []


@pytest.mark.parametrize("columns", [80, 120])
def test_tables_and_stories_fit_the_terminal(small_run: Path, curate: Curate, columns: int) -> None:
    """Nothing is wider than the terminal; no number of a table is cut."""
    row = re.search(r'"id": "(\w+)"', curate("inspect", small_run, "--json", "-n", 1).ok().out)
    assert row
    for argv in (("inspect", "--plain", small_run, "-n", "4"), ("explain", small_run, row[1]), ("stages",)):
        out = curate.on_terminal(*argv, columns=columns, NO_COLOR="1")
        lines = re.sub(r"\x1b\[[0-9;]*m", "", out).splitlines()
        # A command to copy is not broken.
        assert [line for line in lines if len(line) > columns and "curate explain" not in line] == []
    scores = curate.on_terminal("inspect", "--plain", small_run, "-n", "0", columns=columns, NO_COLOR="1")
    table = scores[scores.index("measured") :]
    assert "…" not in table


def test_colours_only_where_they_are_wanted(curate: Curate, small_run: Path) -> None:
    """On a terminal there are some; NO_COLOR takes them away."""
    colour = re.compile(r"\x1b\[[0-9;]*3[0-7]m")
    assert colour.search(curate.on_terminal("inspect", "--plain", small_run, "-n", "3", columns=100))
    assert not colour.search(curate.on_terminal("inspect", "--plain", small_run, "-n", "3", columns=100, NO_COLOR="1"))


def test_bars_show_rate_and_reasons_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """What gives way at 80 columns is the list of reasons, neither the bar nor the time that is left."""
    screen = Console(file=io.StringIO(), width=80, color_system=None, force_terminal=True)
    monkeypatch.setattr(progress, "console", lambda most: screen)
    with progress.BarView() as view:
        view.step(("docs", "rules"), "reading", 10_000, 10, 0)
        for _ in range(3):
            time.sleep(0.01)
            view.advance(1_000, {"rules": Counts(rows_in=9, reasons={"few_alpha_words": 2, "word_length": 1_000_000})})
        shown = Console(file=io.StringIO(), width=80)
        shown.print(view._bar.get_renderable())
    (line,) = shown.file.getvalue().splitlines()
    pattern = r". docs > rules: reading [━╸╺ ]{10} +\d+\.\d [kM]?B/s \d\d:\d\d word_length 3,000,0.*…"
    assert re.fullmatch(pattern, line) and len(line) == 80, line


def test_the_rate_does_not_count_what_was_committed_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three of four tasks were done: they come at once, and promise nothing for the fourth and fifth."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    view = View()
    view.step(("a",), "reading", 5_000_000, 5, 3)
    for _ in range(3):
        view.advance(1_000_000, {"a": Counts(rows_in=10)})
    assert view._speed() == ""
    now[0] += 2
    view.advance(1_000_000, {"a": Counts(rows_in=10, reasons={"too_short": 4})})
    assert view._line() == "a: reading, 4/5, 4.0 MB of 5.0 MB, 500.0 kB/s, 2 s left  (too_short 4)"


def test_requests_have_a_rate_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """They have no bytes: 8 of 24 were answered in an earlier run, 4 in 8 seconds of this one."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    view = View()
    view.step(("judge",), "asking x", 0, 24, 8)
    now[0] = 8
    view.advance(0, {"judge": Counts(rows_in=4)})
    assert view._line() == "judge: asking x, 12/24, 0.5/s, 24 s left"
    view.step(("judge",), "accepting answers", 0, 1, 0)
    view.advance(0, {"judge": Counts(rows_in=24)})
    assert view._line().startswith("judge: accepting answers, 1/1")


def test_a_log_says_where_a_long_step_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Off the terminal: a line for each step, and between them lines with rate, time left and reasons."""
    out: list[str] = []
    monkeypatch.setattr(progress, "LINE_SECONDS", -1.0)
    view = progress.PlainView()
    monkeypatch.setattr(view, "_say", lambda line: out.append(str(line)))
    view.step(("docs", "rules"), "reading", 2_000, 2, 0)
    time.sleep(0.01)
    view.advance(1_000, {"rules": Counts(rows_in=5, reasons={"too_short": 2})})
    assert re.fullmatch(r"  docs > rules: reading, 1/2, 1\.0 kB of 2\.0 kB, .*/s, \d+ s left  \(too_short 2\)", out[0])


def test_names_of_strangers_are_only_text(curate: Curate, tmp_path: Path) -> None:
    """Escape codes and markup in a recipe's words, in names of files and in messages show as what they are."""
    about = f"hi {ESCAPE}[31mred [bold]x[/bold] [/nope]"
    recipe = write(tmp_path / "r.yaml", [{"id": "a", "use": "read.jsonl", "with": {"paths": ["x.jsonl"]}}], about=about)
    (tmp_path / "x.jsonl").write_text('{"text": "one"}\n')
    for command in (("plan",), ("run", "--workers", 0)):
        out = curate(*command, recipe, "--store", tmp_path / "run").ok().out
        assert ESCAPE not in out and "\\x1b[31mred [bold]x[/bold] [/nope]" in out
    done = curate("plan", tmp_path / f"no{ESCAPE}[2J\nsuch.yaml")
    assert done.code == 2 and ESCAPE not in done.err and "no\\x1b[2J such.yaml" in done.line


def test_a_character_that_the_terminal_lacks_is_no_error(small_run: Path) -> None:
    """An ASCII terminal gets escapes instead of the end of a run as a traceback."""
    done = fresh("inspect", "--plain", str(small_run), "-n", 0, env={"PYTHONIOENCODING": "ascii"}).ok()
    assert "\\u258" in done.out


def test_a_file_that_cannot_be_written_is_one_line(curate: Curate, tmp_path: Path) -> None:
    """Place, cause, and the exit code of storage."""
    (tmp_path / "file").write_text("")
    done = curate("copy", "phi-1-mini", tmp_path / "file" / "x.yaml")
    assert done.code == 6 and "/file: file exists; check the path" in done.line
    done = curate("copy", "phi-1-mini", "/proc/none/x.yaml")
    assert done.code == 6 and done.line.startswith("/proc/none: no such file or directory")


def test_plan_refuses_what_run_refuses(curate: Curate, tmp_path: Path) -> None:
    """A sample of nothing; and it names the option that made a source stale."""
    recipe = write_run(tmp_path)
    write(recipe, steps()[:3], name="small")
    for command in ("plan", "run"):
        assert "--sample must be more than 0" in curate(command, recipe, "--sample", 0, cwd=tmp_path).line
    curate.run(recipe, tmp_path / "run").ok()
    out = curate("plan", recipe, "--store", tmp_path / "run", "--limit", 3).ok().out
    assert re.search(r"docs +read\.jsonl +stale +--sample, --limit or", out)
