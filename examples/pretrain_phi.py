"""Train phi-1's architecture on a dataset that `curate` wrote: plain torch, one GPU or many.

    python examples/pretrain_phi.py runs/phi-1-mini/dataset --preset tiny --out runs/tiny
    torchrun --standalone --nproc-per-node 8 examples/pretrain_phi.py DATASET --preset 1.3b --out runs/phi

The same command again goes on from the last checkpoint, on any number of processes that divides the global batch, and
sees the tokens that an undisturbed run would have seen. In the folder of `--out`: `log.jsonl` (a line a step), `loss.svg`,
checkpoints, and at the end `config.json` and `pytorch_model.bin`, which `transformers` opens as PhiForCausalLM.

Architecture and settings are those of "Textbooks Are All You Need" (arXiv 2306.11644, section 2.3). Not published there, and
chosen here: Adam's betas and epsilon (phi-1.5's, arXiv 2309.05463), clipping, that weight decay spares biases and norms, and
bfloat16 in place of fp16.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import sys
import time
from collections.abc import Callable
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from phi import IGNORED, PRESETS, Mask, Phi, Shape
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention.flex_attention import BlockMask, create_block_mask
from torch.nn.parallel import DistributedDataParallel

from curate.errors import CurateError, RecipeError
from curate.load import Loader, TokenDataset
from curate.report.chart import chart

PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12}
"""Dense bfloat16 FLOP/s of a device by a word of its name (NVIDIA's data sheets, SXM)."""


# -- what it reads -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sequences:
    """What a model reads, each int64 [batch, length]: ids, positions, the number of each token's document, targets."""

    ids: Tensor
    positions: Tensor
    document: Tensor
    targets: Tensor

    @classmethod
    def of(cls, batch: dict[str, Tensor], end_of_text: int, *, documents: bool) -> Sequences:
        """Read a loader's batch, int64.

        A piece of a document begins where ``position_ids`` is 0, or behind an end-of-text where there are none. With
        ``documents`` positions restart there, and no token is a target for one of another document; without, a sequence
        is one text as it was for phi-1. ``loss_mask`` 0 is no target in either case.
        """
        ids = batch["input_ids"]
        targets = functional.pad(ids[:, 1:], (0, 1), value=IGNORED)
        if "loss_mask" in batch:
            targets = targets.masked_fill(functional.pad(batch["loss_mask"][:, 1:], (0, 1)) == 0, IGNORED)
        place = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
        if not documents:
            return cls(ids, place, torch.zeros_like(ids), targets)
        ended = functional.pad(ids[:, :-1] == end_of_text, (1, 0))
        starts = (batch["position_ids"] == 0 if "position_ids" in batch else ended) | (place == 0)
        positions = place - torch.where(starts, place, 0).cummax(1).values
        targets = targets.masked_fill(functional.pad(starts[:, 1:], (0, 1)), IGNORED)
        return cls(ids, positions, starts.long().cumsum(1), targets)

    def each(self, change: Callable[[Tensor], Any]) -> list[Any]:
        return [change(x) for x in (self.ids, self.positions, self.document, self.targets)]

    def micro(self, size: int) -> list[Sequences]:
        """Pieces of ``size`` sequences."""
        return [Sequences(*piece) for piece in zip(*self.each(lambda x: x.split(size)), strict=True)]

    def mask(self, blocks: Callable[..., BlockMask] | None) -> Mask:
        """A token sees those before it in its document; ``blocks`` makes it for flex_attention."""
        document, (size, length) = self.document, self.document.shape

        def sees(b: Tensor, _head: Tensor, q: Tensor, k: Tensor) -> Tensor:
            return (q >= k) & (document[b, q] == document[b, k])

        if blocks is not None:
            return blocks(sees, size, None, length, length, device=document.device)
        place = torch.arange(length, device=document.device)
        return ((place[:, None] >= place) & (document[:, :, None] == document[:, None, :]))[:, None]


def setting(about: str, default: Any = MISSING) -> Any:
    return field(default=default, metadata={"about": about})


@dataclass(frozen=True)
class Settings:
    """Settings of a run; the defaults are the paper's where it has any."""

    data: str = setting("a folder that write.tokens made, or its address")
    out: Path = setting("where log, checkpoints and the model go", Path("runs/phi"))
    preset: str = setting(", ".join(PRESETS), "1.3b")
    attention: str = setting("document: a token sees its own document; causal: all before it, as phi-1", "document")
    steps: int = setting("length of the schedule", 36_000)
    stop: int = setting("end before it, after so many steps; phi-1's 24,000 (0: don't)", 0)
    batch: int = setting("sequences in a step, of all processes and micro-batches together", 1_024)
    micro: int = setting("sequences that a device sees at once", 8)
    rate: float = setting("highest learning rate, after a linear warm-up and before a linear decay to 0", 1e-3)
    warmup: int = setting("steps", 750)
    decay: float = setting("of weights", 0.1)
    clip: float = setting("greatest norm of the gradient", 1.0)
    dropout: float = setting("of residuals, and of attention with --attention causal (-1: the preset's)", -1.0)
    seed: int = setting("of weights, dropout and the order of the data", 0)
    every: int = setting("steps between checkpoints", 500)
    keep: int = setting("checkpoints that stay", 2)
    compiled: int = setting("1: torch.compile (-1: on a GPU)", -1)
    peak: float = setting("the device's peak in TFLOP/s, for the utilisation (0: by its name)", 0.0)

    def learning_rate(self, step: int) -> float:
        return self.rate * min((step + 1) / max(self.warmup, 1), (self.steps - step) / max(self.steps - self.warmup, 1))

    def identity(self) -> dict[str, Any]:
        """What a run that goes on has in common with the one that began."""
        free = ("data", "out", "stop", "micro", "every", "keep", "compiled", "peak")
        return {name: value for name, value in asdict(self).items() if name not in free}


# -- training ----------------------------------------------------------------------------------------------------------


class Trainer:
    """A model, its optimiser and its data at one step, alike on every process."""

    def __init__(self, settings: Settings, loader: Loader, shape: Shape) -> None:
        self.settings, self.loader, self.step = settings, loader, 0
        self.rank, self.world = place()
        self.cuda = torch.cuda.is_available()
        self.device = torch.device("cuda", torch.cuda.current_device()) if self.cuda else torch.device("cpu")
        compiled = self.cuda if settings.compiled < 0 else bool(settings.compiled)
        self.blocks = torch.compile(create_block_mask) if self.cuda and compiled else None
        torch.manual_seed(settings.seed)
        self.model = Phi(shape).to(self.device)
        matrices = [p for p in self.model.parameters() if p.ndim > 1]
        others = [p for p in self.model.parameters() if p.ndim < 2]
        groups = [{"params": matrices, "weight_decay": settings.decay}, {"params": others, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=settings.rate, betas=(0.9, 0.98), eps=1e-7, fused=True)
        run = torch.compile(self.model) if compiled else self.model
        self.run = DistributedDataParallel(run) if self.world > 1 else run
        settings.out.mkdir(parents=True, exist_ok=True)
        self.log = settings.out / "log.jsonl"

    def loss(self, model: nn.Module, piece: Sequences) -> Tensor:
        """Sum of a piece's losses in nats."""
        mask = piece.mask(self.blocks) if self.settings.attention == "document" else None
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.cuda):
            return model(piece.ids, piece.positions, mask, piece.targets)

    def learn(self, batch: dict[str, Tensor]) -> tuple[float, float]:
        """One step on this process's share of a global batch; the loss in nats a token and the gradient's norm, of all."""
        sequences = Sequences.of(batch, self.loader.end_of_text, documents=self.settings.attention == "document")
        # Every target of the global batch weighs the same, whatever piece and process it falls to.
        targets, losses = self.sum((sequences.targets != IGNORED).sum()), torch.zeros((), device=self.device)
        pieces = sequences.micro(self.settings.micro)
        for n, piece in enumerate(pieces, 1):
            with contextlib.nullcontext() if self.world == 1 or n == len(pieces) else self.run.no_sync():
                loss = self.loss(self.run, piece)
                (loss * (self.world / targets)).backward()
            losses += loss.detach()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip)
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.learning_rate(self.step)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        return float(self.sum(losses) / targets), float(norm)

    def sum(self, value: Tensor) -> Tensor:
        if self.world > 1:
            dist.all_reduce(value)
        return value

    def train(self) -> None:
        """Go on until the last step; log, save, draw."""
        last = min(self.settings.stop or self.settings.steps, self.settings.steps)
        while self.step < last:
            began = time.perf_counter()
            batch = {k: torch.from_numpy(v.astype("int64")).to(self.device) for k, v in next(self.loader).items()}
            waited = time.perf_counter() - began
            # Dropout depends on the step and the process alone: no generator has a state that would have to be kept.
            torch.manual_seed((self.settings.seed * 1_000_003 + self.step) * 65_536 + self.rank)
            loss, norm = self.learn(batch)
            self.step += 1
            if self.rank == 0:
                self.tell(loss, norm, time.perf_counter() - began, waited)
            if self.step % self.settings.every == 0 or self.step == last:
                self.save()

    def tell(self, loss: float, norm: float, seconds: float, waited: float) -> None:
        """A line of the log. ``mfu``: tokens a second * FLOPs a token / (peak * devices); ``data``: share of time waited."""
        tokens = self.settings.batch * self.loader.sequence
        name = torch.cuda.get_device_name() if self.cuda else ""
        peak = self.settings.peak * 1e12 or next((v for k, v in PEAKS.items() if k in name), math.nan)
        mfu = tokens / seconds * self.model.flops / (peak * self.world)
        line = {
            "step": self.step, "tokens": self.step * tokens, "loss": loss, "norm": norm,
            "rate": self.settings.learning_rate(self.step - 1), "tokens_per_s": tokens / seconds,
            "mfu": None if math.isnan(mfu) else mfu, "data": waited / seconds,
        }  # fmt: skip
        with self.log.open("a", encoding="utf-8") as out:
            out.write(json.dumps(line) + "\n")
        used = "" if math.isnan(mfu) else f"  mfu {mfu:.1%}"
        used += f"  data {waited / seconds:.2%}"
        print(f"step {self.step:>6,}  loss {loss:.4f}  {tokens / seconds:,.0f} tokens/s{used}", flush=True)

    def save(self) -> None:
        """Write a checkpoint whole or not at all, remove all but the newest few, draw the loss."""
        if self.rank == 0:
            write(self.settings.out / f"checkpoint-{self.step:08d}.pt", {
                "step": self.step, "settings": self.settings.identity(), "shape": asdict(self.model.shape),
                "model": self.model.state_dict(), "optimiser": self.optimiser.state_dict(), "data": self.loader.state_dict(),
            })  # fmt: skip
            for old in checkpoints(self.settings.out)[: -self.settings.keep]:
                old.unlink()
            lines = [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines()]
            curve = [(line["tokens"], line["loss"]) for line in lines[:: max(1, len(lines) // 1_000)]]
            top = math.ceil(max(loss for _, loss in curve))
            drawn = chart("training loss, nats a token, over tokens", {"loss": curve}, top=top, percent=False)
            (self.settings.out / "loss.svg").write_text(drawn, encoding="utf-8")
        if self.world > 1:
            dist.barrier()

    def restore(self) -> None:
        """Take up the newest checkpoint in the folder, if there is one; raises RecipeError if it is of another run."""
        found = checkpoints(self.settings.out)
        if not found:
            self.log.unlink(missing_ok=True)
            return
        state = torch.load(found[-1], map_location=self.device, weights_only=True)
        mine = {**asdict(self.model.shape), **self.settings.identity()}
        for name, value in {**state["shape"], **state["settings"]}.items():
            if mine[name] != value:
                cause = f"made with {name} {value}, not {mine[name]}"
                raise RecipeError(cause, place=str(found[-1]), cure="give another --out, or that setting")
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.loader.load_state_dict(state["data"])
        self.step = state["step"]
        if self.rank == 0:  # steps after the checkpoint are done again
            lines = self.log.read_text(encoding="utf-8").splitlines(keepends=True)
            self.log.write_text("".join(lines[: self.step]), encoding="utf-8")

    def publish(self) -> None:
        """Write the model as `transformers` opens it: PhiForCausalLM.from_pretrained(out)."""
        shape = self.model.shape
        config = {
            "architectures": ["PhiForCausalLM"], "model_type": "phi", "tie_word_embeddings": False, "dtype": "float32",
            "vocab_size": shape.vocabulary, "hidden_size": shape.width, "intermediate_size": 4 * shape.width,
            "num_hidden_layers": shape.layers, "num_attention_heads": shape.heads, "hidden_act": "gelu_new",
            "max_position_embeddings": shape.context, "partial_rotary_factor": 0.5, "layer_norm_eps": 1e-5,
            "bos_token_id": None, "eos_token_id": self.loader.end_of_text,
        }  # fmt: skip
        if self.rank == 0:
            (self.settings.out / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
            write(self.settings.out / "pytorch_model.bin", self.model.state_dict())


def place() -> tuple[int, int]:
    """The number of this process, and how many there are."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def write(path: Path, state: dict[str, Any]) -> None:
    """Save under another name, then rename: a file of this name is always whole."""
    part = path.with_suffix(".part")
    with part.open("wb") as out:
        torch.save(state, out)
        out.flush()
        os.fsync(out.fileno())
    part.replace(path)


def checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob("checkpoint-*.pt"))


def open_data(settings: Settings) -> Loader:
    """The dataset, in an order that the seed alone fixes: this process's share of each global batch."""
    dataset = TokenDataset(settings.data)
    if dataset.sequence is None or dataset.vocab_size is None or dataset.end_of_text is None:
        raise RecipeError("not a dataset of token sequences", place=settings.data, cure="write one with write.tokens")
    columns = [name for name in ("input_ids", "position_ids", "loss_mask") if name in dataset.columns]
    rank, world = place()
    at = {"rank": rank, "world": world, "batch": settings.batch, "seed": settings.seed}
    # The phases of a curriculum are read in their order.
    return Loader(dataset, columns=columns, prefetch=1, shuffle=not dataset.curriculum, **at)


def pretrain(settings: Settings) -> Trainer:
    """Train from the beginning or the newest checkpoint, and publish the model."""
    if settings.preset not in PRESETS or settings.attention not in ("document", "causal"):
        raise RecipeError(f"no preset '{settings.preset}' with attention '{settings.attention}'", cure="see --help")
    preset, loader = PRESETS[settings.preset], open_data(settings)
    dropout = preset.dropout if settings.dropout < 0 else settings.dropout
    vocabulary = -(-loader.vocab_size // 128) * 128  # rounded up, as matrix kernels like it
    shape = replace(preset, vocabulary=vocabulary, context=loader.sequence, dropout=dropout)
    trainer = Trainer(settings, loader, shape)
    trainer.restore()
    trainer.train()
    trainer.publish()
    return trainer


def parse(kind: Any, about: str | None, arguments: list[str] | None) -> Any:
    """Settings of a kind from the command line; those without a default stand by themselves."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    for each in fields(kind):
        said, default = each.metadata["about"], each.default
        if default is MISSING:
            parser.add_argument(each.name, help=said)
        else:
            parser.add_argument(f"--{each.name}", type=type(default), default=default, help=f"{said} [{default}]")
    return kind(**vars(parser.parse_args(arguments)))


def main(arguments: list[str] | None = None) -> int:
    settings = parse(Settings, __doc__, arguments)
    if "RANK" in os.environ:  # torchrun
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        pretrain(settings)
    except CurateError as error:
        print(f"pretrain_phi: {error}", file=sys.stderr)
        return error.exit_code
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
    return 0


if __name__ == "__main__":
    sys.exit(main())
