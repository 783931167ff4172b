"""The wheel: all that a user needs and nothing else, and it works without the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
from command import Done, manifest

import curate
from curate.llm.teacher import Teacher

CHECKOUT = Path(curate.__file__).parents[1]
ASSETS = ("pipelines", "classifiers", "data")
LABELS = "labels: [labels.label, {column: graded.score, scale: share}]\n"
CHANGES = {
    # So few documents do not fill both classes.
    LABELS: f"{LABELS}      min_per_class: 5\n",
}


def shell(*argv: str | Path, cwd: Path, **env: str) -> Done:
    """A command as a user types it, away from the checkout."""
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        list(map(str, argv)),
        cwd=cwd,
        env={**clean, "COLUMNS": "200", **env},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def tracked(*folders: str) -> set[str]:
    """What git has, less what is deleted in the working tree."""
    done = shell("git", "ls-files", "-z", *folders, cwd=CHECKOUT).ok()
    return {name for name in done.out.split("\0") if name and (CHECKOUT / name).exists()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the working tree, with the build tools that are installed."""
    if shell("git", "rev-parse", "--is-inside-work-tree", cwd=CHECKOUT).code:
        pytest.skip("no git checkout to compare with")
    folder = tmp_path_factory.mktemp("wheel")
    shell(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ".", cwd=CHECKOUT).ok()
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an environment with the wheel, and the dependencies of this one behind it."""
    home = tmp_path_factory.mktemp("installed") / "env"
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check")
    shell(*pip, "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=home).ok()
    # A path in a .pth file is added at the end, and the .pth files in it (the editable curate) are not read.
    library = next((home / "lib").glob("python*/site-packages"))
    (library / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    for source in (CHECKOUT / "curate").rglob("*.py"):
        # The wheel's kernels are the checkout's, byte by byte (see below): what was compiled of those is used again.
        twin = library / source.relative_to(CHECKOUT)
        shutil.copystat(source, twin)
        (twin.parent / "__pycache__").mkdir(exist_ok=True)
        for compiled in (source.parent / "__pycache__").glob(f"{source.stem}.*.nb[ci]"):
            shutil.copy2(compiled, twin.parent / "__pycache__")
    return home / "bin"


@pytest.fixture(scope="module")
def away(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder that has nothing to do with the checkout."""
    return tmp_path_factory.mktemp("away")


def test_the_wheel_has_what_git_has(wheel: Path) -> None:
    """The package's modules and the assets, file by file and byte by byte; no tests, no environment, nothing local."""
    with zipfile.ZipFile(wheel) as archive:
        names = {n for n in archive.namelist() if not n.endswith("/")}
        inside = {n for n in names if n.startswith("curate/_assets/")}
        assert {n.removeprefix("curate/_assets/") for n in inside} == tracked(*ASSETS)
        assert {n for n in names if n.startswith("curate/")} - inside == tracked("curate")
        for name in inside:
            assert archive.read(name) == (CHECKOUT / name.removeprefix("curate/_assets/")).read_bytes(), name
        rest = {n for n in names if not n.startswith("curate/")}
        assert {n.split("/")[0] for n in rest} == {f"phi_curate-{curate.__version__}.dist-info"}
        assert {"LICENSE", "LICENSES.md"} <= {n.rpartition("/")[2] for n in rest if "/licenses/" in n}
        written = [n for n in names - inside if str(CHECKOUT).encode() in archive.read(n)]
        assert written == []
    assert wheel.stat().st_size < 14_000_000


def test_the_package_is_the_installed_one(installed: Path, away: Path) -> None:
    """The checkout does not win over the wheel: else the tests below would test nothing."""
    code = "import curate, curate.assets as a; print(curate.__file__); print(a.ROOT)"
    done = shell(installed / "python", "-c", code, cwd=away).ok()
    for line in done.out.split():
        assert Path(line).is_relative_to(installed.parent), line
        assert not Path(line).is_relative_to(CHECKOUT) or installed.is_relative_to(CHECKOUT)


def test_commands_find_their_assets(installed: Path, away: Path) -> None:
    """The version, and the plan of a shipped recipe with its data, by name."""
    assert curate.__version__ in shell(installed / "curate", "--version", cwd=away).ok().out
    plan = shell(installed / "curate", "plan", "phi-1-mini", cwd=away).ok()
    for word in ("web", "generate.exercises", "dataset"):
        assert word in plan.out
    done = shell(installed / "curate", "plan", "phi-1-mimi", cwd=away)
    assert done.code == 2
    assert "did you mean 'phi-1-mini'?" in done.line


def test_the_shipped_recipe_runs(installed: Path, away: Path) -> None:
    """A copy with another teacher, on a twentieth of the shipped pages; results lie in the working folder."""
    with Teacher() as teacher:
        shell(installed / "curate", "copy", "phi-1-mini", "mine.yaml", cwd=away).ok()
        mine = away / "mine.yaml"
        model = f'{{base_url: "{teacher.base_url}", model: teacher, licence: CC0-1.0}}'
        text = mine.read_text()
        for old, new in {
            **{f"  {name}: {{}}": f"  {name}: {model}" for name in ("writer", "judge", "embedder")},
            **CHANGES,
        }.items():
            assert old in text
            text = text.replace(old, new)
        mine.write_text(text)
        argv = ("run", "mine.yaml", "--sample", "0.05", "--workers", "0")
        shell(installed / "curate", *argv, cwd=away).ok()
        assert teacher.received.total() > 40
    found = manifest(away / "runs" / "phi-1-mini")
    assert found["curate"] == curate.__version__
    assert sum(s["rows"] for s in found["steps"]["dataset"]["shards"]) > 0
