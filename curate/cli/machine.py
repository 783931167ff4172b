"""What `curate check` finds out about the machine it runs on; each line with what to do if it is not as it should be."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import pyarrow as pa


@dataclass(frozen=True)
class Finding:
    """One line: its state (``note``: works, but read it), what, what was found, what to do."""

    state: Literal["ok", "note", "bad"]
    what: str
    found: str
    cure: str = ""


def look() -> list[Finding]:
    """Everything, in the order in which it is shown."""
    return [*_python(), _fasttext(), _sentencepiece(), _sandbox(), *_local_model(), *_size()]


def _python() -> Iterator[Finding]:
    found = f"{platform.python_version()}, {platform.machine()}, {platform.system()}"
    # Older than 3.11 there is no curate: pip refuses to install it.
    if platform.system() == "Linux":
        yield Finding("ok", "Python", found)
    else:
        yield Finding("note", "Python", found, "the sandbox needs Linux; everything else should work")
    for name in ("numpy", "pyarrow", "numba", "datasets", "distributed"):
        try:
            yield Finding("ok", name, version(name))
        except PackageNotFoundError:
            yield Finding("bad", name, "not installed", "pip install phi-curate")


def _fasttext() -> Finding:
    """Train a model of two words as a recipe would (in memory that is zero, see quality/fit.py) and ask it."""
    try:
        import fasttext
    except ImportError as error:
        return Finding("bad", "fastText", f"can't be imported ({error})", "pip install fasttext-modern")
    from curate.errors import CurateError
    from curate.quality.fasttext_model import FastTextClassifier
    from curate.quality.fasttext_train import FastTextSettings
    from curate.text.batch import Batch

    names = ("fasttext-modern", "fasttext-community", "fasttext", "fasttext-wheel")
    which = next((f"{n} {version(n)}" for n in names if _installed(n)), "an unknown fastText")
    texts = pa.array(["yes", "no"] * 4, pa.large_string())
    settings = FastTextSettings(dim=2, epoch=1, min_count=1, word_ngrams=1, bucket=0)
    with tempfile.TemporaryDirectory(prefix="curate-check-") as folder:
        try:
            FastTextClassifier.train(texts, [1, 0] * 4, settings, Path(folder)).score(Batch.of(texts))
            model = fasttext.load_model(str(Path(folder) / "model.bin"))
        except (CurateError, ValueError, RuntimeError) as error:
            cause = error.cause if isinstance(error, CurateError) else error
            found = f"{which} can't train or predict ({cause})"
            return Finding("bad", "fastText", found, "pip install fasttext-modern")
    try:
        model.predict("yes")
    except ValueError:
        # Stock fasttext 0.9.3, see dependencies in pyproject.toml.
        found = f"{which}: predict of one text fails under NumPy 2"
        return Finding("note", "fastText", found, "curate asks with lists; nothing to do")
    return Finding("ok", "fastText", f"{which}, trains and predicts")


def _installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def _sentencepiece() -> Finding:
    try:
        import sentencepiece  # noqa: F401 - whether it loads is the question

        return Finding("ok", "sentencepiece", version("sentencepiece"))
    except (ImportError, PackageNotFoundError) as error:
        return Finding("bad", "sentencepiece", f"can't be imported ({error})", "pip install 'sentencepiece>=0.2.1'")


def _sandbox() -> Finding:
    """Run one program behind the walls; the sandbox's own canary tries them first."""
    from curate.errors import CurateError
    from curate.sandbox.runner import Program, Sandbox

    try:
        with Sandbox() as box:
            outcome = box.run(Program("def twice(x):\n    return 2 * x\n\n\nassert twice(2) == 4\n"))
    except (CurateError, OSError) as error:
        return Finding(
            "note",
            "sandbox",
            f"no walls: {error}",
            "verify.execute refuses to run; use Linux >= 5.3 with seccomp, x86-64 or arm64, or its 'sandbox: wasm'",
        )
    if outcome.status != "ok":
        return Finding("bad", "sandbox", f"a program that works is judged '{outcome.status}'", "please report this")
    return Finding("ok", "sandbox", "holds, and runs programs")


def _local_model() -> Iterator[Finding]:
    import importlib.util

    from curate.llm import weights

    if importlib.util.find_spec("xllamacpp") is None:
        yield Finding("note", "local model", "no runtime (xllamacpp)", "pip install xllamacpp, or use an endpoint")
        return
    given = os.environ.get("CURATE_WEIGHTS")
    path = Path(given) if given else weights._cache() / f"{weights.QWEN.sha256}.gguf"  # noqa: SLF001 - asked, not fetched
    if path.is_file():
        yield Finding("ok", "local model", f"{weights.QWEN.file}, {path.stat().st_size / 1e6:,.0f} MB on this machine")
    else:
        size = weights.QWEN.size / 1e6
        yield Finding(
            "note", "local model", "not on this machine yet", f"the first run that needs it loads {size:,.0f} MB"
        )


def _size() -> Iterator[Finding]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield Finding("ok", "cores", str(cores))
    memory = free_memory()
    if memory is not None:
        need = max(1, cores) * 1e9
        state: Literal["ok", "note"] = "ok" if memory >= need else "note"
        cure = "" if state == "ok" else f"run with --workers {max(1, int(memory // 1e9))}: about 1 GB each"
        yield Finding(state, "memory", f"{memory / 1e9:.1f} GB free", cure)
    free = shutil.disk_usage(Path.cwd()).free
    low = free < 5e9
    cure = "a run needs about twice its input; --store puts it elsewhere" if low else ""
    yield Finding("note" if low else "ok", "disk", f"{free / 1e9:,.1f} GB free here", cure)


def free_memory() -> int | None:
    """Bytes that can be had: what the kernel says is available, less if a control group allows less."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        return None
    try:
        most = int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii"))
        used = int(Path("/sys/fs/cgroup/memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return free
    return min(free, most - used)
