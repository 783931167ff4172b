"""Plugins: nothing is loaded that was not named; what is named is said, recorded, and the same on every worker."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from command import Curate, Done
from recipes import step, write
from small_run import prose

STAGE = '''
"""A stage of somebody else."""
from pathlib import Path
Path(__file__).with_name("imported").touch()

from collections.abc import Mapping
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from curate.stages.base import Filter
from curate.stages.registry import register


@register("filter.quiet")
class Quiet(Filter):
    """Drop documents that shout."""

    revision: ClassVar[int] = 1
    reasons: ClassVar[Mapping[str, str]] = {"shouts": "it has more than max_shouts exclamation marks"}
    signals: ClassVar[Mapping[str, pa.DataType]] = {"shouts": pa.int64()}
    decide_settings: ClassVar[frozenset[str]] = frozenset({"max_shouts"})
    max_shouts: int = 0

    def measure(self, docs, ctx):
        return {"shouts": pc.count_substring(docs.column("text"), "!").cast(pa.int64())}

    def rules(self, signals):
        return [("shouts", pc.greater(signals["shouts"], self.max_shouts))]
'''


class Machine:
    """An interpreter's folder of packages, with curate run by it in processes of their own."""

    def __init__(self, site: Path, curate: Curate | None = None) -> None:
        self.site, self._curate = site, curate

    def install(
        self, name: str = "curate-quiet", *, version: str = "1.2", code: str = STAGE, points: str | None = None
    ) -> None:
        """As an installer leaves it: a package, and metadata that declares its entry points."""
        module = name.replace("-", "_")
        (self.site / module).mkdir(parents=True, exist_ok=True)
        (self.site / module / "__init__.py").write_text(code)
        for old in self.site.glob(f"{module}-*.dist-info"):
            shutil.rmtree(old)
        info = self.site / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        points = points if points is not None else f"filter.quiet = {module}:Quiet"
        (info / "entry_points.txt").write_text(f"[curate.stages]\n{points}\n")

    def imported(self, name: str = "curate_quiet") -> bool:
        """Whether its code has run; forgotten when asked."""
        mark = self.site / name / "imported"
        was = mark.exists()
        mark.unlink(missing_ok=True)
        return was

    def __call__(self, *argv: str | Path) -> Done:
        assert self._curate
        return self._curate(*argv, env={"PYTHONPATH": str(self.site)})


@pytest.fixture
def machine(curate: Curate, tmp_path: Path) -> Machine:
    """A machine on which one plugin is installed."""
    made = Machine(tmp_path / "site", curate)
    made.install()
    return made


@pytest.fixture
def recipe(tmp_path: Path) -> Callable[..., Path]:
    """A recipe with a step of the plugin's, naming these plugins."""
    rows = [{"text": prose(n) + "!" * (n % 3)} for n in range(9)]
    (tmp_path / "docs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    steps = [step("docs", "read.jsonl", paths=["docs.jsonl"]), step("quiet", "filter.quiet"), step("out", "write.text")]

    def made(*plugins: str) -> Path:
        return write(tmp_path / "r.yaml", steps, **({"plugins": list(plugins)} if plugins else {}))

    return made


def test_a_plugin_that_is_named_runs_and_is_recorded(
    machine: Machine, recipe: Callable[..., Path], tmp_path: Path
) -> None:
    """It is said aloud; workers load it too; the manifest has name, version and digest. Who looks at the run afterwards runs
    nothing of it."""
    path = recipe("curate-quiet")
    done = machine("run", path, "--store", tmp_path / "run", "--workers", "1").ok()
    assert "plugin filter.quiet from curate-quiet 1.2" in done.out
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    quiet = next(s for s in manifest["steps"] if s["id"] == "quiet")
    assert (quiet["rows_out"], quiet["reasons"]) == (3, {"shouts": 6})
    assert (quiet["plugin"]["name"], quiet["plugin"]["version"]) == ("curate-quiet", "1.2")
    assert len(quiet["plugin"]["digest"]) == 32
    assert [s["id"] for s in manifest["steps"] if "plugin" in s] == ["quiet"]
    machine.imported()
    assert "quiet: shouts" in machine("inspect", "--plain", tmp_path / "run").ok().out
    assert not machine.imported()


def test_nothing_is_loaded_that_was_not_named(machine: Machine, recipe: Callable[..., Path]) -> None:
    """Installed is not enough: its code does not run, and the error says what would load it."""
    done = machine("plan", recipe())
    assert done.code == 2
    assert "r.yaml:10: no stage 'filter.quiet', but plugin 'curate-quiet' has one" in done.line
    assert "plugins: [curate-quiet]" in done.line
    assert not machine.imported()
    assert "plugin filter.quiet from curate-quiet 1.2" in machine("--plugin", "curate-quiet", "plan", recipe()).ok().out
    assert machine.imported()


QUIET = "filter.quiet = curate_quiet:Quiet"
WRONG = {
    "not installed": ({}, "no-such-thing", "plugin 'no-such-thing' is not installed"),
    "no plugin": ({}, "numpy", "'numpy' is no plugin"),
    "a path": ({}, "../../etc", "plugin '../../etc' is not installed"),
    "empty": ({}, "", "plugin '' is not installed"),
    "fails to import": ({"code": "import no_such_module"}, "curate-quiet", "ModuleNotFoundError: No module named"),
    "leaves": ({"code": "import sys; sys.exit('bye')"}, "curate-quiet", "can't be loaded: SystemExit: bye"),
    "lacks it": ({"code": ""}, "curate-quiet", "can't be loaded: AttributeError"),
    "no stage": ({"code": "Quiet = dict"}, "curate-quiet", "'filter.quiet' is no stage"),
    "curate's own": (
        {"points": "dedup.near = curate_quiet:Quiet"},
        "curate-quiet",
        "has a stage 'dedup.near', which is curate's own",
    ),
    "another name": (
        {"points": "filter.loud = curate_quiet:Quiet"},
        "curate-quiet",
        "'filter.loud' is registered as 'filter.quiet'",
    ),
    "more than it says": (
        {"code": STAGE + "\n@register('filter.hidden')\nclass Hidden(Quiet):\n    '''Not declared.'''\n"},
        "curate-quiet",
        "registers 'filter.hidden' without declaring it",
    ),
}


def test_mistakes_are_one_line(machine: Machine, recipe: Callable[..., Path], tmp_path: Path) -> None:
    """Each with what is wrong, where the recipe names the plugin; the registry is as before. One process tries them all."""
    cases = [(how, name, said) for how, name, said in WRONG.values()]
    for number, (how, _, _) in enumerate(cases):
        Machine(tmp_path / f"site{number}").install(**how)
    code = textwrap.dedent("""
        import json, sys
        from pathlib import Path
        from curate.errors import RecipeError
        from curate.recipe.recipe import load_recipe
        from curate.stages import load_all
        from curate.stages.registry import registered
        load_all()
        before = set(registered())
        for number, name in enumerate(json.loads(sys.argv[1])):
            site = str(Path(sys.argv[2]) / f"site{number}")
            sys.path.insert(0, site)
            sys.modules.pop("curate_quiet", None)
            recipe = Path(site, "r.yaml")
            recipe.write_text(f"recipe: r\\nplugins: [{json.dumps(name)}]\\nsteps:\\n- {{id: a, use: filter.quiet}}\\n")
            try:
                load_recipe(recipe)
                print("no error")
            except RecipeError as error:
                print(error)
            assert set(registered()) == before, name
            sys.path.remove(site)
    """)
    call = [sys.executable, "-c", code, json.dumps([name for _, name, _ in cases]), str(tmp_path)]
    done = subprocess.run(call, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(cases)
    for line, (_, _, said) in zip(lines, cases, strict=True):
        assert said in line and "r.yaml:2:" in line


def test_a_name_in_another_spelling_is_the_same_plugin(machine: Machine, recipe: Callable[..., Path]) -> None:
    """As for every installer, case and ``-`` or ``_`` tell no distributions apart."""
    assert (
        "plugin filter.quiet from curate-quiet 1.2" in machine("plan", recipe("curate-quiet", "Curate_Quiet")).ok().out
    )


def test_two_plugins_with_one_stage(machine: Machine, recipe: Callable[..., Path]) -> None:
    """The second is refused; alone, it is another stage: nothing that the first measured counts for it."""
    machine.install("curate-other", points="filter.quiet = curate_other:Quiet")
    done = machine("plan", recipe("curate-quiet", "curate-other"))
    assert done.code == 2
    assert (
        "r.yaml:5: plugin 'curate-other' has a stage 'filter.quiet', which plugin 'curate-quiet' has, too" in done.line
    )


def test_a_worker_with_another_version_is_refused(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compared by version and by the digest of its files, in the worker, before the first task."""
    from curate.errors import VersionError
    from curate.stages import load_all, plugins, registry

    load_all()
    monkeypatch.syspath_prepend(str(machine.site))

    def fresh() -> plugins.Plugin:
        """As a process finds it that has not loaded it yet."""
        monkeypatch.setattr(plugins, "_loaded", {})
        monkeypatch.setattr(registry, "_registry", {n: s for n, s in registry._registry.items() if not s.plugin})
        monkeypatch.delitem(sys.modules, "curate_quiet", raising=False)
        importlib.invalidate_caches()
        return plugins.load_plugin("curate-quiet")

    first = fresh()
    plugins.load_same([first])
    machine.install(code=STAGE + "# other files\n")
    assert fresh().digest != first.digest
    with pytest.raises(
        VersionError, match=r"plugin 'curate-quiet' is 1\.2 .* on a worker, and 1\.2 .* where the run was"
    ):
        plugins.load_same([first])
    machine.install(version="1.3")
    assert fresh().version == "1.3"
    with pytest.raises(VersionError, match=r"is 1\.3 .* on a worker, and 1\.2"):
        plugins.load_same([first])


def test_a_worker_without_the_plugin_ends_the_run_with_one_line(tmp_path: Path) -> None:
    """A real worker is asked before the first task; what it says comes back as the error that it is."""
    from curate.errors import RecipeError
    from curate.run.cluster import Runner
    from curate.stages.plugins import Plugin
    from curate.store.files import Store

    missing = Plugin("curate-elsewhere", "1.0", "0" * 32, ("filter.elsewhere",))
    with (
        pytest.raises(RecipeError, match="plugin 'curate-elsewhere' is not installed"),
        Runner(1, plugins=[missing]) as runner,
    ):
        runner._connect(Store(tmp_path))
