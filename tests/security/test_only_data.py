"""What is read is data: nothing in the package can turn bytes of a recipe, a store or an input into code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2] / "curate"
ALLOWED = {
    (
        "load/torch.py",
        "import torch",
    ): "tensors are made of arrays; nothing of torch's own files is loaded (torch.load is found)",
    ("load/torch.py", "import torch.utils.data"): "the same",
    (
        "run/flights.py",
        "import distributed.protocol.pickle",
    ): "tasks, to workers over Dask's own connection, as Dask sends them",
    ("run/worker.py", "import distributed.protocol.pickle"): "the same, where they come",
    ("sandbox/harness.py", "exec"): "hostile programs, behind the walls",
    ("sandbox/harness.py", "compile"): "the same",
    ("sandbox/zygote.py", "importlib.import_module"): "a closed list of the standard library",
    ("sandbox/zygote.py", "os.execv"): "itself, with a fixed address space",
    ("stages/__init__.py", "importlib.import_module"): "every module of that folder",
}
"""Where, what, and why that is no way in."""
MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "marshal", "shelve", "joblib", "torch", "runpy", "code", "imp"}  # fmt: skip
CALLS = {
    *("eval", "exec", "compile", "__import__", "importlib.import_module", "importlib.__import__"),
    *("os.system", "os.popen", "os.execv", "os.execve", "os.execvp", "os.spawnv", "pty.spawn"),
    *("subprocess.getoutput", "subprocess.getstatusoutput"),
    *("yaml.load", "yaml.load_all", "yaml.full_load", "yaml.unsafe_load", "yaml.unsafe_load_all"),
    *("yaml.Loader", "yaml.UnsafeLoader", "yaml.FullLoader", "yaml.CLoader"),
    *("np.load", "numpy.load", "np.fromregex", "pd.read_pickle", "torch.load", "distributed.protocol.deserialize"),
    *("shutil.unpack_archive", "tempfile.mktemp"),
}
METHODS = {"extractall", "extract", "unpack_archive"}
ARGUMENTS = {("allow_pickle", True), ("shell", True), ("trust_remote_code", True), ("weights_only", False)}


def dotted(node: ast.AST) -> str:
    """``a.b.c`` of a name or an attribute; empty for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr}" if before else ""
    return ""


def ways_in(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """What could run code that came as data, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                if name.name.partition(".")[0] in MODULES:
                    yield f"import {name.name}", node.lineno
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if module.partition(".")[0] in MODULES or module.rpartition(".")[2] == "pickle":
                yield f"import {module}", node.lineno
            # A function that is imported by its name alone would not be seen where it is called.
            for name in node.names:
                if f"{module}.{name.name}" in CALLS:
                    yield f"{module}.{name.name}", node.lineno
        elif isinstance(node, ast.Name | ast.Attribute) and dotted(node) in CALLS:
            yield dotted(node), node.lineno
        elif isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
                yield f".{node.func.attr}", node.lineno
            for word in node.keywords:
                value = word.value.value if isinstance(word.value, ast.Constant) else "not a constant"
                if any(word.arg == name and value in (bad, "not a constant") for name, bad in ARGUMENTS):
                    yield f"{word.arg}={value}", node.lineno


def test_nothing_in_the_package_turns_data_into_code() -> None:
    """No eval, pickle, unsafe YAML, shell, import by a name from outside, unpacking to a disk; but for the stated ones."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        where = path.relative_to(ROOT).as_posix()
        for what, line in ways_in(ast.parse(path.read_text(encoding="utf-8"))):
            found.setdefault((where, what), line)
    assert {place: line for place, line in found.items() if place not in ALLOWED} == {}
    assert set(ALLOWED) <= set(found), "an exception that nothing needs any more"


def test_every_child_is_started_with_an_environment_that_was_thought_about() -> None:
    """No call of subprocess leaves ``env`` out: a child would get all of ours."""
    calls = [
        (path.relative_to(ROOT).as_posix(), node.lineno, {word.arg for word in node.keywords})
        for path in sorted(ROOT.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and re.fullmatch(r"subprocess\.[a-zA-Z_]+", dotted(node.func))
    ]
    assert len(calls) >= 6
    assert [f"{path}:{line}" for path, line, words in calls if "env" not in words] == []


PLANTED = [
    "eval(x)",
    "f = eval",
    "import pickle",
    "from pickle import loads",
    "from distributed.protocol.pickle import loads",
    "import torch.nn",
    "import yaml\nyaml.load(x, Loader=y)",
    "from yaml import unsafe_load",
    "yaml.compose(x, Loader=yaml.FullLoader)",
    "numpy.load(x)",
    "np.lib.format.read_array(f, allow_pickle=True)",
    "np.lib.format.read_array(f, allow_pickle=flag)",
    "subprocess.run(x, shell=True)",
    "os.system(x)",
    "importlib.import_module(x)",
    "from importlib import import_module",
    "__import__(x)",
    "archive.extractall(p)",
    "datasets.load_dataset(x, trust_remote_code=True)",
]


@pytest.mark.parametrize("code", PLANTED)
def test_the_search_finds_what_it_looks_for(code: str) -> None:
    """Each way in that was planted is seen; ordinary code is not taken for one."""
    assert list(ways_in(ast.parse(code)))
    plain = "re.compile(x)\nyaml.safe_load(x)\nsubprocess.run(x, shell=False)\nimport codecs\nnp.savez(f, allow_pickle=False)"
    assert not list(ways_in(ast.parse(plain)))
