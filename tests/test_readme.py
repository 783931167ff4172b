"""The README: what it says to type can be typed, and what it shows is there."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from command import Curate
from recipes import step, write
from small_run import steps, write_run

from curate.recipe.recipe import load_recipe
from curate.stages.base import Filter

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
COMMANDS = [line.partition("#")[0] for _, block in BLOCKS for line in block.splitlines() if line.startswith("curate ")]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, small_run: Path) -> Iterator[Path]:
    """A folder as a reader's: a recipe my.yaml, pages.jsonl, and a small run under the name that the README uses."""
    folder = tmp_path_factory.mktemp("reader")
    write_run(folder)
    write(folder / "my.yaml", steps()[:3], name="my")
    (folder / "docs.jsonl").rename(folder / "pages.jsonl")
    (folder / "docs.jsonl").symlink_to(folder / "pages.jsonl")
    run = folder / "runs/phi-1-mini"
    run.mkdir(parents=True)
    for file in small_run.iterdir():
        (run / file.name).symlink_to(file)
    (run / "dataset").symlink_to(small_run / "tokens")
    (run / "dataset.sequences").symlink_to(small_run / "tokens.sequences")
    shutil.copytree(small_run, folder / "runs/mine", symlinks=True)
    (folder / "list.txt").write_text("source:nowhere\n")
    return folder


ELSEWHERE = {
    "curate run phi-1-mini": "make demo is this one; tests/run/test_phi_1_mini.py runs it with a scripted teacher",
    "curate run my.yaml --detach": "leaves a process behind; tests/cli/test_detach.py does it",
    "curate train textbook-value -o mine": "fetches two gigabytes of packages; tests/cli/test_models.py trains from few",
}
"""Commands that are too heavy for here, and where they are tried."""


@pytest.mark.parametrize("line", [c for c in COMMANDS if c.strip() not in ELSEWHERE])
def test_commands_run(curate: Curate, place: Path, line: str) -> None:
    """Each command of "Use it", as it stands; the id is one of this run, and the processes are fewer."""
    argv = shlex.split(line.replace("web-quality.", "rules."))[1:]  # the small run's name for it
    if argv[0] == "explain" and not argv[2].startswith("--"):
        argv[2] = json.loads(curate("inspect", argv[1], "--json", "-n", 1, cwd=place).ok().out)["rows"][0]["id"][:8]
    if "--workers" in argv:
        argv[argv.index("--workers") + 1] = "0"
    if argv[0] == "copy":
        argv[-1] = f"new/{argv[-1]}"
    curate(*argv, cwd=place).ok()


def test_signals_of_examples_are_the_recipes() -> None:
    """In README, the reference and --help: the step, its signal and its threshold are those of phi-1-mini."""
    recipe = load_recipe(ROOT / "pipelines/phi-1-mini.yaml")
    shown = README + (ROOT / "docs/cli.md").read_text(encoding="utf-8")
    found = re.findall(r"phi-1-mini --signal ([\w-]+)\.(\w+)(?: --at ([a-z_]+))?", shown)
    assert len(found) >= 4
    for name, signal, setting in found:
        stage = next(each.stage for each in recipe.steps if each.id == name)
        assert isinstance(stage, Filter)
        assert signal in stage.signals
        assert not setting or any((t.signal, t.setting) == (signal, setting) for t in stage.thresholds())


def test_every_command_is_shown() -> None:
    """None is missing, but for training, which the recipe does."""
    assert {c.split()[1] for c in COMMANDS} >= {
        *("run", "copy", "plan", "inspect", "explain", "score", "stages", "check"),
    }


def test_the_dataset_opens(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lines of Python, as they stand."""
    monkeypatch.chdir(place)
    found: dict = {}
    for block in (block for kind, block in BLOCKS if kind == "python"):
        exec(block, found)
    assert "input_ids" in found["data"].column_names


def test_models_and_budget_are_a_recipes(curate: Curate, tmp_path: Path) -> None:
    """The lines of YAML in a recipe that uses them."""
    (text,) = [block for kind, block in BLOCKS if kind == "yaml"]
    ask = step("pages", "generate.textbooks", topics="topics/python-first-steps", passages=2)
    recipe = write(tmp_path / "r.yaml", [ask, step("out", "write.text")], **yaml.safe_load(text))
    curate("check", recipe).ok()


def test_counts_add_up() -> None:
    """In the output that is shown: rows in = kept + dropped, step by step, and the seconds are those of the steps."""
    shown = next(block for _, block in BLOCKS if block.startswith("step "))
    text = re.sub(r"\n {30,}", " ", shown)
    rows = re.findall(r"^(\S+) +([\d,]+) +([\d,]+) +\S+ \w+ +([\d.]+) +\d+%(.*)$", text, re.MULTILINE)
    assert len(rows) == len(yaml.safe_load((ROOT / "pipelines/phi-1-mini.yaml").read_text())["steps"])
    for name, into, kept, _, reasons in rows:
        gone = sum(int(n.replace(",", "")) for n in re.findall(r" ([\d,]*\d)(?=,|$)", reasons))
        assert int(into.replace(",", "")) == int(kept.replace(",", "")) + gone, name
    said = re.search(r"([\d.]+) s in steps", text)
    assert said
    assert float(said[1]) == pytest.approx(sum(float(seconds) for *_, seconds, _ in rows), abs=0.05 * len(rows))


def make(folder: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    """Make in a folder with nothing but the Makefile."""
    shutil.copy(ROOT / "Makefile", folder)
    return subprocess.run(
        ["make", "--no-print-directory", *argv], cwd=folder, capture_output=True, text=True, check=False, timeout=60
    )


def test_make_lists_its_targets(tmp_path: Path) -> None:
    """Without a target it says which there are, and does nothing."""
    out = make(tmp_path).stdout
    assert [line.split()[0] for line in out.splitlines()] == [
        *("help", "demo", "minis", "test", "check", "fix", "bench", "bigfile", "memory", "soak", "escapes"),
        *("peers", "duplicates", "exports", "contamination", "scores", "encodings", "s3", "slurm", "clusters"),
        *("tokenizers", "quality", "torch", "pretrain", "ablate", "docs", "clean"),
    ]


def test_make_without_a_python_says_what_to_do(tmp_path: Path) -> None:
    """One that is too old, or none: a line with the cure, and no half-made environment for the next make to use."""
    for python, said in (
        ("false", "false is no Python >= 3.11"),
        ("", "no Python >= 3.11 with venv found; install one"),
    ):
        done = make(tmp_path, "demo", f"PYTHON={python}")
        assert done.returncode == 2 and said in done.stderr
        assert [p.name for p in tmp_path.iterdir()] == ["Makefile"]
