"""Does curation pay? The same tiny model, the same tokens seen, other documents: raw, random, curated, curated + synthetic.

    python examples/ablate.py --out runs/ablation --synthetic runs/ablation-synthetic/synthetic

Each arm is a dataset that `curate` writes (examples/ablation/arms.yaml; two recipes of one store, so nothing is done twice):

- raw: every document that is not held out
- random: of those at random as many tokens as `curated` has
- curated: what rules, a classifier and deduplication leave, the same number of tokens
- synthetic: the same number of tokens, a share of them written by a model (left out without --synthetic)

Held out are whole packages of textbooks, code and reference pages: no arm, nor the tokenizer, nor the classifier sees one.
Every arm and seed trains a model of one shape on `tokens` tokens, and its loss on each held-out set is told in bits per
byte: nats of all tokens / bytes of the texts / ln 2, so that it means the same for any tokenizer. In the folder of `--out`:
`results.json`, `table.md`, `bars.svg`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import itertools
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
import yaml
import zstandard
from phi import IGNORED, PRESETS, Shape
from pretrain_phi import Sequences, Settings, Trainer, open_data, parse, setting

from curate.errors import CurateError, InputError
from curate.report.chart import COLOURS
from curate.stages.tokenizer import Tokenizer, load

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "data" / "samples"
HELD_OUT = {
    "textbooks": {
        "python3.11-doc": "python-tutorial",
        "python-flask-doc": "flask-guide",
        "python-pytest-doc": "pytest-guide",
    },
    "code": {"pygorithm": "pygorithm", "quantecon": "simulations", "simpy": "simulations"},
    "reference": {"sqlite3-doc": "sqlite-doc", "python-tornado-doc": "tornado-doc"},
}
"""By set: packages of which nothing is trained on, and the source of each that models are measured on."""
SHAPES = {"tiny": Shape(3, 96, 4), "100m": Shape(12, 768, 12), "350m": PRESETS["350m"]}
SETS = ("textbooks", "code", "reference")


@dataclasses.dataclass(frozen=True)
class Ablation:
    """Settings of an ablation; by default it takes minutes on one core."""

    out: Path = setting("where arms, models and results go", Path("runs/ablation"))
    synthetic: str = setting(
        "dataset of texts that a model wrote (examples/ablation/synthetic.yaml); none: no such arm", ""
    )
    share: float = setting("share of the synthetic arm's tokens that a model wrote", 0.2)
    shape: str = setting(f"{', '.join(SHAPES)}; more than tiny wants a GPU, and larger --web and --code", "tiny")
    tokens: int = setting("tokens that each model sees", 1_000_000)
    unique: int = setting("tokens in the datasets of all arms but raw (0: as many as are curated)", 0)
    seeds: int = setting("models of each arm", 3)
    vocabulary: int = setting("pieces of the tokenizer", 2_048)
    sequence: int = setting("tokens in a sequence", 256)
    batch: int = setting("sequences in a step", 8)
    micro: int = setting("sequences that a device sees at once", 8)
    rate: float = setting("highest learning rate", 4e-3)
    measured: int = setting("bytes of each held-out set that models are measured on, about", 300_000)
    threads: int = setting("threads of torch", 1)
    web: Path = setting("pages: JSON lines with id, text, source, package", SAMPLES / "web.jsonl.zst")
    code: Path = setting("source files, alike", SAMPLES / "code.jsonl.zst")


# -- data ------------------------------------------------------------------------------------------------------------------


def rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as raw, zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True) as data:
        yield from map(json.loads, io.TextIOWrapper(data, encoding="utf-8"))


def split(settings: Ablation) -> dict[str, list[str]]:
    """Write what may be trained on beside the recipe; the texts of each held-out set, up to ``measured`` bytes."""
    packages = {package for sources in HELD_OUT.values() for package in sources}
    held: dict[str, list[str]] = {name: [] for name in SETS}
    folder = settings.out / "data"
    folder.mkdir(parents=True, exist_ok=True)
    for name, path in (("web", settings.web), ("code", settings.code)):
        with (folder / f"{name}.jsonl").open("w", encoding="utf-8") as out:
            for row in rows(path):  # they stand in the order of a hash: the first ones are a fair sample
                if row["package"] not in packages:
                    out.write(json.dumps(row, ensure_ascii=False) + "\n")
                for part, sources in HELD_OUT.items():
                    if sources.get(row["package"]) == row["source"] and sum(map(len, held[part])) < settings.measured:
                        held[part].append(row["text"])
    for name, texts in held.items():
        if not texts:
            raise InputError(f"no document of the held-out set '{name}'", place=str(settings.web), cure="see HELD_OUT")
    return held


def recipe(settings: Ablation, curated: int) -> dict[str, Any]:
    """The arms' recipe for these settings; with the size of the curated arm, in tokens, the others of that size too."""
    told = yaml.safe_load((ROOT / "examples" / "ablation" / "arms.yaml").read_text(encoding="utf-8"))
    steps: list[dict[str, Any]] = told["steps"]

    def dataset(arm: str, encoded: str, above: list[str], **mix: Any) -> dict[str, Any]:
        mixed = {"mix": mix} if mix else {}
        return {"id": arm, "use": "write.tokens", "from": above, "with": {"tokens": encoded, **packed, **mixed}}

    packed = {"sequence": settings.sequence, "position_ids": True, "loss_mask": True}
    next(s for s in steps if s["id"] == "tokenizer")["with"] = {"vocab_size": settings.vocabulary}
    steps.append(dataset("raw", "raw-tokens", ["raw-tokens"]))
    steps.append(dataset("all-curated", "curated-tokens", ["curated-tokens"]))
    if not curated:
        return told
    size = min(settings.unique or curated, curated)
    everything = {"all": {"match": ["*"], "weight": 1}}
    steps.append(dataset("random", "raw-tokens", ["raw-tokens"], components=everything, tokens=size))
    steps.append(dataset("curated", "curated-tokens", ["curated-tokens"], components=everything, tokens=size))
    if settings.synthetic:
        path = str(Path(settings.synthetic).absolute())
        steps.append({"id": "written", "use": "read.dataset", "with": {"path": path, "source": "written"}})
        both, ids = ["clean", "written"], "synthetic-tokens"
        steps.append({"id": ids, "use": "encode.tokens", "from": both, "with": {"tokenizer": "tokenizer"}})
        shares = {"written": settings.share, "curated": {"match": ["*"], "weight": 1 - settings.share}}
        steps.append(dataset("synthetic", ids, [ids], components=shares, tokens=size, max_epochs=None))
    return told


def write_arms(settings: Ablation) -> dict[str, dict[str, Any]]:
    """Run the recipe; what shards.json says of each arm."""
    store = settings.out / "arms"
    curated = 0
    for _ in range(2):  # how much is curated is known when it is done
        path = settings.out / "arms.yaml"
        path.write_text(json.dumps(recipe(settings, curated), indent=1), encoding="utf-8")  # which is YAML, too
        subprocess.run([sys.executable, "-m", "curate", "run", str(path), "--store", str(store)], check=True)
        curated = facts(store / "all-curated")["tokens"]
    names = ["raw", "random", "curated", *(["synthetic"] if settings.synthetic else [])]
    return {name: facts(store / name) for name in names}


def facts(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "shards.json").read_text(encoding="utf-8"))


# -- models ----------------------------------------------------------------------------------------------------------------


def train(settings: Ablation, arm: str, seed: int) -> Trainer:
    """A model of one arm; one that was trained before is read back."""
    steps = settings.tokens // (settings.batch * settings.sequence)
    run = Settings(
        data=str(settings.out / "arms" / arm), out=settings.out / "models" / f"{arm}-{seed}", steps=steps, batch=settings.batch,
        micro=settings.micro, rate=settings.rate, warmup=steps // 20, seed=seed, every=steps, keep=1, preset=settings.shape,
    )  # fmt: skip
    loader = open_data(run)
    shape = dataclasses.replace(
        SHAPES[settings.shape], vocabulary=loader.vocab_size, context=settings.sequence, dropout=0.0
    )
    run.out.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(run, loader, shape)
    trainer.restore()
    with contextlib.redirect_stdout(io.StringIO()):  # its steps are in log.jsonl
        trainer.train()
    return trainer


def bits_per_byte(trainer: Trainer, tokenizer: Tokenizer, texts: Sequence[str]) -> float:
    """Loss on texts, each of them by itself: every token of it is a target once, seen behind at most a sequence of its own."""
    length, losses = trainer.model.shape.context, 0.0
    encoded = tokenizer.encode(pa.array(texts, pa.large_string()))
    values, offsets = encoded.values.to_numpy(), encoded.offsets.to_numpy()
    documents = [values[a:b] for a, b in itertools.pairwise(offsets)]
    trainer.model.eval()
    with torch.no_grad():
        for batch in windows(documents, tokenizer.end_of_text, length, 32):
            losses += float(trainer.loss(trainer.model, Sequences(*batch.each(lambda x: x.to(trainer.device)))))
    return losses / sum(len(t.encode()) for t in texts) / math.log(2)


def windows(documents: Sequence[np.ndarray], end_of_text: int, length: int, size: int) -> Iterator[Sequences]:
    """Batches of windows: each document behind an end-of-text, cut where a window is full; what is left of one is no target."""
    ids, targets = [], []
    for tokens in documents:
        given = np.concatenate([[end_of_text], tokens]).astype(np.int64)
        for i in range(0, len(tokens), length):
            missing = max(0, i + length - len(tokens))
            ids.append(np.pad(given[i : i + length - missing], (0, missing), constant_values=end_of_text))
            targets.append(np.pad(given[i + 1 : i + 1 + length], (0, missing), constant_values=IGNORED))
    for i in range(0, len(ids), size):
        a, b = torch.from_numpy(np.stack(ids[i : i + size])), torch.from_numpy(np.stack(targets[i : i + size]))
        yield Sequences(a, torch.arange(length).expand_as(a), torch.zeros_like(a), b)


# -- results ---------------------------------------------------------------------------------------------------------------


def ablate(settings: Ablation) -> dict[str, Any]:
    """Write the arms, train and measure every model, draw; what results.json holds. What was done before is kept."""
    torch.set_num_threads(settings.threads)
    held = split(settings)
    began = time.perf_counter()
    arms = write_arms(settings)
    results: dict[str, Any] = {
        "settings": {k: str(v) if isinstance(v, Path) else v for k, v in dataclasses.asdict(settings).items()},
        "held_out": {name: {"documents": len(t), "bytes": sum(len(x.encode()) for x in t)} for name, t in held.items()},
        "arms": {
            name: {"tokens": said["tokens"], "passes": settings.tokens / said["tokens"]} for name, said in arms.items()
        },
        "seconds": {"arms": time.perf_counter() - began},
        "bits_per_byte": {name: {part: [] for part in SETS} for name in arms},
    }
    tokenizer = load(settings.out / "arms" / "tokenizer")
    began = time.perf_counter()
    for seed in range(settings.seeds):
        for arm in arms:
            trainer = train(settings, arm, seed)
            results["parameters"] = sum(p.numel() for p in trainer.model.parameters())
            for part in SETS:
                results["bits_per_byte"][arm][part].append(bits_per_byte(trainer, tokenizer, held[part]))
            said = "  ".join(f"{part} {results['bits_per_byte'][arm][part][-1]:.3f}" for part in SETS)
            print(f"{arm} {seed}: bits per byte  {said}", flush=True)
    results["seconds"]["models"] = time.perf_counter() - began
    (settings.out / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (settings.out / "table.md").write_text(table(results), encoding="utf-8")
    (settings.out / "bars.svg").write_text(bars(results), encoding="utf-8")
    return results


def spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation of seeds."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def table(results: Mapping[str, Any]) -> str:
    """Means with standard deviations, and how far each arm is from `random`, with the standard error of the difference."""
    lines = ["| arm | tokens, passes | " + " | ".join(SETS) + " |", "|---" * (2 + len(SETS)) + "|"]
    base = {part: spread(results["bits_per_byte"]["random"][part]) for part in SETS}
    for arm, losses in results["bits_per_byte"].items():
        size, cells = results["arms"][arm], []
        for part in SETS:
            mean, deviation = spread(losses[part])
            error = math.hypot(deviation, base[part][1]) / math.sqrt(len(losses[part]))
            against = "" if arm == "random" else f" ({mean - base[part][0]:+.3f} ± {error:.3f})"
            cells.append(f"{mean:.3f} ± {deviation:.3f}{against}")
        lines.append(f"| {arm} | {size['tokens']:,}, {size['passes']:.1f} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def bars(results: Mapping[str, Any]) -> str:
    """A group of bars for each held-out set, a bar for each arm, a dot for each seed, a line of two standard deviations."""
    losses = results["bits_per_byte"]
    top = 1.1 * max(max(values) for arm in losses.values() for values in arm.values())
    left, height, wide = 48, 260, 200
    box = f"0 0 {left + wide * len(SETS) + 20} {height + 90}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{left}" y="20" font-size="14">held-out loss, bits per byte (less is better)</text>',
    ]

    def y(value: float) -> float:
        return 36 + height * (1 - value / top)

    for i in range(5):
        at = top * i / 4
        parts.append(f'<path d="M{left} {y(at):.1f}h{wide * len(SETS)}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 6}" y="{y(at) + 4:.1f}" text-anchor="end">{at:.2f}</text>')
    for group, part in enumerate(SETS):
        start, step = left + wide * group + 14, (wide - 28) / len(losses)
        parts.append(
            f'<text x="{left + wide * (group + 0.5)}" y="{height + 54}" text-anchor="middle">{escape(part)}</text>'
        )
        for n, (arm, by_part) in enumerate(losses.items()):
            mean, deviation = spread(by_part[part])
            x, middle = start + n * step, start + (n + 0.45) * step
            parts.append(
                f'<rect x="{x:.1f}" y="{y(mean):.1f}" width="{0.9 * step:.1f}" height="{y(0) - y(mean):.1f}" '
                f'fill="{COLOURS[n]}" fill-opacity="0.6"><title>{escape(arm)} {mean:.3f}</title></rect>'
                f'<path d="M{middle:.1f} {y(mean + deviation):.1f}V{y(mean - deviation):.1f}" stroke="black"/>'
                f'<text x="{middle:.1f}" y="{y(mean + deviation) - 6:.1f}" text-anchor="middle" font-size="10">{mean:.3f}</text>'
            )
            parts += [f'<circle cx="{middle:.1f}" cy="{y(v):.1f}" r="2"/>' for v in by_part[part]]
    for n, arm in enumerate(losses):
        parts.append(f'<text x="{left + 110 * n}" y="{height + 78}" fill="{COLOURS[n]}">{escape(arm)}</text>')
    return "\n".join([*parts, "</svg>\n"])


def main(arguments: list[str] | None = None) -> int:
    try:
        results = ablate(parse(Ablation, __doc__, arguments))
    except CurateError as error:
        print(f"ablate: {error}", file=sys.stderr)
        return error.exit_code
    print(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
