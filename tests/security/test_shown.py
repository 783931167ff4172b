"""What is shown on a terminal or written to a page: text of strangers is only text, wherever it stands."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple

import pytest
from command import Curate
from recipes import step, write
from small_run import prose

from curate.cli import app

ATTACKS = {
    "clears the screen": "\x1b[2J\x1b[H",
    "sets the title": "\x1b]0;title\x07",
    "a link (OSC 8)": "\x1b]8;;https://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "the clipboard (OSC 52)": "\x1b]52;c;cm0gLXJmIC8=\x07",
    "C1": "\x9b31m\x9d52;c;eA==\x9c",
    "goes back": "good\rbad\b\b\x7f",
    "turns around": "\u202egnp.exe\u202c\u2066x\u2069\u061c",
    "hides": "\u200b\u2060\ufeff\u00ad\U000e0041",
    "a new line": "\u2028\u2029\x0b\x0c\x85",
    "markup": "[bold red]x[/bold red] <script>alert(1)</script> ![i](https://evil.example/i.png) | ` <!-- \\",
}
HOSTILE = "".join(ATTACKS.values())
RAW = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e0fff]"
)
FILE = "a" + HOSTILE.replace("/", "-") + "\nb.jsonl"


class Made(NamedTuple):
    """A run over hostile files, and what it said."""

    recipe: Path
    store: Path
    out: str
    other: Path
    removals: Path


@pytest.fixture(scope="module")
def made(curate: Curate, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A recipe whose words, a file whose name, and rows whose every field attack."""
    folder = tmp_path_factory.mktemp("shown")
    rows = [
        {"id": f"{n}{HOSTILE}", "text": f"{HOSTILE}\n{prose(n)}", "source": f"s{n % 2}{HOSTILE}", "license": HOSTILE}
        | {HOSTILE: HOSTILE, "lang": HOSTILE}
        for n in range(6)
    ]
    rows += [{"id": f"short{HOSTILE}", "text": HOSTILE, "source": HOSTILE}]
    (folder / "in").mkdir()
    (folder / "in" / FILE).write_text("".join(json.dumps(row) + "\n" for row in rows) + f"no JSON {HOSTILE}\n")
    steps = [
        step("docs", "read.jsonl", paths=["in"]),
        step("rules", "filter.massivetext", min_words=50, max_symbol_ratio=1),
        step("unique", "dedup.exact"),
        step("pages", "write.text"),
    ]
    # YAML has no such characters but as escapes.
    recipe = write(folder / "r.yaml", steps, about=HOSTILE)
    out = curate.run(recipe, folder / "run").ok()
    again = curate.run(recipe, folder / "run", "--json").ok()
    steps[1] = step("rules", "filter.massivetext", min_words=121, max_symbol_ratio=1)
    other = curate.run(write(folder / "other.yaml", steps, about=HOSTILE), folder / "other").ok()
    removals = folder / "gone.jsonl"
    removals.write_text("".join(json.dumps({"source": f"s{n}{HOSTILE}"}) + "\n" for n in range(3)))
    said = "".join(done.out + done.err for done in (out, again, other))
    return Made(recipe, folder / "run", said, folder / "other", removals)


def test_no_command_lets_a_byte_through(curate: Curate, made: Made) -> None:
    """Progress, tables, stories, JSON and errors: ESC, C1, CR, direction marks and hidden characters are written out."""
    shown = {"run": made.out}
    rows = json.loads(curate("inspect", made.store, "--json", "-n", 50).ok().out)["rows"]
    assert len(rows) == 8
    for name, argv in {
        "plan": ("plan", made.recipe, "--store", made.store),
        "plan --json": ("plan", made.recipe, "--store", made.store, "--json"),
        "audit": ("audit", made.recipe, "--limit", 9),
        "inspect": ("inspect", "--plain", made.store, "-n", 50),
        "inspect --json": ("inspect", made.store, "--json", "-n", 50),
        "inspect --signal": ("inspect", made.store, "--signal", "rules.words", "--at", 60),
        "explain kept": ("explain", made.store, next(r["id"] for r in rows if not r["reason"]), "--text"),
        "explain dropped": ("explain", made.store, next(r["id"] for r in rows if r["step"] == "rules"), "--text"),
        "explain --json": ("explain", made.store, rows[0]["id"], "--json"),
        "check": ("check", made.store),
        "gc": ("gc", made.store),
        "gc --json": ("gc", made.store, "--json"),
        "takedown": ("takedown", made.store, made.removals),
        "takedown --json": ("takedown", made.store, made.removals, "--json"),
        "diff": ("diff", made.store, made.other),
        "diff --json": ("diff", made.store, made.other, "--json"),
    }.items():
        done = curate(*argv)
        assert done.code == (1 if name.startswith(("diff", "takedown")) else 0), (name, done)
        shown[name] = done.out + done.err
        assert len(done.out) > 20, name
    for name, argv in {
        "no such recipe": ("plan", f"no{HOSTILE}.yaml"),
        "no such run": ("inspect", "--plain", f"no{HOSTILE}"),
        "no such step": ("inspect", "--plain", made.store, "--step", HOSTILE),
        "no such input": (
            "audit",
            write(made.recipe.parent / "wrong.yaml", [step("a", "read.jsonl", paths=[HOSTILE])]),
        ),
    }.items():
        done = curate(*argv)
        assert done.code in (2, 3, 6), done
        shown[name] = done.out + done.err
    assert {name: RAW.findall(text)[:3] for name, text in shown.items() if RAW.search(text)} == {}
    assert "\\x1b]52;c;" in shown["explain kept"] and "\\x1b[2J" in shown["inspect"]


def test_pages_have_no_markup_of_strangers(made: Made) -> None:
    """The dataset card: no HTML, no image, no comment, no cell's end; its front matter is one string a value."""
    import yaml

    card = (made.store / "README.md").read_text(encoding="utf-8")
    assert not RAW.search(card)
    body = card.split("---\n", 2)[2]
    assert "<script" not in body and "<!--" not in body and "&lt;script&gt;" in body
    assert not re.search(r"(?<!\\)!?(?<!\\)\[[^\]]*\]\(https://evil", body)
    for line in body.splitlines():
        if line.startswith("| ") and "alert" in line:
            assert len(re.findall(r"(?<!\\)\|", line)) == 7, line
    front = yaml.safe_load(card.split("---\n", 2)[1])
    assert front["pretty_name"] == "test" and front["license"] == ["other"]


def test_a_mistake_of_ours_shows_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    """The traceback of an error that nobody foresaw may hold a document."""
    error = ValueError(HOSTILE)
    app._unexpected(type(error), error, error.__traceback__)
    said = capsys.readouterr().err
    assert "ValueError" in said and not RAW.search(said)
