"""The classifier under Facebook's own fasttext 0.9.3: the same bytes of the model, the same scores.

The registry has it as source only. It is built once a machine (a minute) and kept in the user's cache, so the test runs
where that was done; CURATE_SLOW_TESTS=1 does it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from curate.quality.fasttext_model import FastTextClassifier
from curate.quality.fasttext_train import FastTextSettings
from curate.text.batch import Batch

pytestmark = pytest.mark.network

STOCK = "fasttext==0.9.3"
CACHE = Path.home() / ".cache" / "curate" / "tests"
SMALL = {"dim": 8, "epoch": 20, "lr": 0.5, "bucket": 500, "min_count": 1}

SCRIPT = """
import importlib.metadata, json, pathlib, sys
import fasttext, pyarrow as pa
assert importlib.metadata.version("fasttext") == "0.9.3"
assert pathlib.Path(fasttext.__file__).is_relative_to(sys.prefix), fasttext.__file__
from curate.quality.fasttext_model import FastTextClassifier
from curate.quality.fasttext_train import FastTextSettings
from curate.text.batch import Batch
texts, labels, settings, folder, given = json.loads(pathlib.Path(sys.argv[1]).read_text())
texts = pa.array(texts, pa.large_string())
FastTextClassifier.train(texts, labels, FastTextSettings(**settings), pathlib.Path(folder))
own = FastTextClassifier.load(pathlib.Path(folder)).score(Batch.of(texts)).tolist()
print(json.dumps([own, FastTextClassifier.load(pathlib.Path(given)).score(Batch.of(texts)).tolist()]))
"""


@pytest.fixture(scope="module")
def wheel() -> Path:
    """Stock fasttext for this interpreter, from the cache or built."""
    folder = CACHE / f"{sys.implementation.cache_tag}-{sysconfig.get_platform()}"
    if found := sorted(folder.glob("fasttext-0.9.3-*.whl")):
        return found[0]
    if os.environ.get("CURATE_SLOW_TESTS") != "1":
        pytest.skip(f"{STOCK} takes a minute to build: CURATE_SLOW_TESTS=1 does it, once")
    if not (shutil.which("g++") or shutil.which("c++")):
        pytest.skip(f"{STOCK} is source only, and there is no C++ compiler")
    folder.mkdir(parents=True, exist_ok=True)
    # Beside its place, then renamed: another test process may build it too, and an interrupted build leaves nothing.
    with tempfile.TemporaryDirectory(dir=folder) as building:
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", building, STOCK]
        done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
        if done.returncode and any(s in done.stderr for s in ("No matching distribution", "Connection", "resolve")):
            pytest.skip(f"no registry that has {STOCK}: {done.stderr.strip().splitlines()[-1]}")
        assert done.returncode == 0, done.stderr[-3000:]
        built = next(Path(building).glob("*.whl"))
        return built.replace(folder / built.name)


@pytest.fixture(scope="module")
def stock(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with stock fasttext before everything else that this one has."""
    home = tmp_path_factory.mktemp("stock") / "env"
    venv.create(home, with_pip=False)
    library = next((home / "lib").glob("python*/site-packages"))
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", library, wheel]
    subprocess.run(list(map(str, command)), check=True, timeout=120)
    # Later on the path, so fasttext-modern's `fasttext` is hidden; the rest (NumPy 2, pyarrow, curate) is as here.
    import curate

    here = [sysconfig.get_paths()["purelib"], str(Path(curate.__file__).parents[1])]
    (library / "here.pth").write_text("\n".join(here) + "\n")
    return home / "bin" / "python"


@pytest.mark.parametrize("quantize", [False, True])
def test_bytes_and_scores_are_the_same(stock: Path, tmp_path: Path, quantize: bool) -> None:
    """Trained there or here, scored there or here."""
    goods = [
        f"A {t} lets us {v} the {o}. We write a function {i} and explain each step of the {t}.\n"
        for t in ("loop", "list", "string", "class", "test")
        for v in ("repeat", "name", "share")
        for i, o in enumerate(("work", "idea", "naïve café", "数", "</s> __label__bad"))
    ]
    bads = [
        f"click here to buy {t} {v} now!!! best {o} price {i}, subscribe, login, cookie settings\n"
        for t in ("shoes", "phones", "pills", "bags", "loans")
        for v in ("cheap", "deal", "sale")
        for i, o in enumerate(("offer", "coupon", "rebate", "price", "\x00\t"))
    ]
    settings = {**SMALL, "quantize": quantize}
    texts, labels = [*goods, *bads, "", "\n"], [1] * len(goods) + [0] * (len(bads) + 2)
    mine = FastTextClassifier.train(
        pa.array(texts, pa.large_string()), labels, FastTextSettings(**settings), tmp_path / "mine"
    )
    rows = tmp_path / "rows.json"
    rows.write_text(json.dumps([texts, labels, settings, str(tmp_path / "stock"), str(tmp_path / "mine")]))
    command = [str(stock), "-c", SCRIPT, str(rows)]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    here = mine.score(Batch.of(pa.array(texts, pa.large_string())))
    for there in json.loads(done.stdout):
        np.testing.assert_allclose(there, here, atol=1e-5, rtol=0)
    assert digests(tmp_path / "stock") == digests(tmp_path / "mine")


def digests(folder: Path) -> dict[str, str]:
    """Of every file."""
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}
