"""Exports in a trainer's hands: one step each of trl's SFT and DPO trainers on a CPU, with a tiny model and our tokenizer.

`make torch` installs what it needs; skipped without.
"""

from __future__ import annotations

import math
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest
from exchange import documents, verdicts, written

from curate.export.export import export
from curate.stages.answered import query_id
from curate.stages.base import Context
from curate.stages.encode_tokens import EncodeTokens
from curate.stages.pair_answers import PairAnswers
from curate.stages.tokenizer_transformers import transformers_files
from curate.stages.train_tokenizer import TrainTokenizer
from curate.stages.write_text import WriteText
from curate.stages.write_tokens import WriteTokens
from curate.store.dataset import open_dataset
from curate.store.files import Store
from curate.text.batch import Batch

pytestmark = [
    pytest.mark.skipif(find_spec("trl") is None or find_spec("torch") is None, reason="no trl: make torch"),
    pytest.mark.filterwarnings("ignore"),  # of trl, transformers and torch about each other
]
SEED = Context("test", 7)
HARD = [
    "# A heading",
    "\n\nline feeds",
    "- a list\n- of two",
    " a space",
    "1,000 and \u4f60\u597d",
    "user\nsays",
    "I said so. <b>",
    "...",
]
"""How contents begin, where a role's line and what follows could become one token."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Chats of pairs as exports and as packed tokens, and the tokenizer as transformers opens it."""
    folder = tmp_path_factory.mktemp("trl")
    metas = []
    for n, begin in enumerate(HARD):
        asked = [
            {"role": "system", "content": "You are brief."},
            {"role": "user", "content": f"{begin} What is {n}?"},
            {"role": "assistant", "content": f"{begin} is what I think of {n}."},
            {"role": "user", "content": f"{begin} And then?"},
        ]
        for model, said in (("big", f"{begin} the better answer to {n}"), ("small", f"{begin} worse")):
            messages = [*asked, {"role": "assistant", "content": said}]
            metas.append({"messages": messages, "query": query_id(messages), "model": model})
    docs = documents(["\n\n".join(m["content"] for m in meta["messages"]) for meta in metas])
    at = docs.schema.get_field_index("meta")
    docs = docs.set_column(at, "meta", pa.array([orjson.dumps(meta).decode() for meta in metas], pa.string()))
    batch = Batch(docs.combine_chunks().to_batches()[0])
    tokenizer = folder / "tokenizer"
    tokenizer.mkdir()
    trainer = TrainTokenizer(vocab_size=420, special=["<|im_start|>", "<|im_end|>"])
    trainer.train([batch], tokenizer, Context("tokenizer", 1))
    encode = EncodeTokens.model_validate({"tokenizer": "tokenizer", "chat": {}})
    columns = encode.measure(batch, Context("t", None, {"tokenizer": tokenizer}))
    tokens = docs
    for name in encode.adds():
        tokens = tokens.append_column(f"t.{name}", columns[name])
    packed = WriteTokens(tokens="t", sequence=512, pack="best-fit", loss_mask=True, segments=True)
    made = written(packed, tokens, folder / "packed", Context("packed", 7, {"tokens": tokenizer}))
    for name, data in made.files.items():
        (folder / "packed" / name).write_bytes(data)
    found = verdicts(PairAnswers(strength=["big", "small"]), docs, ctx=Context("pair", None))
    kept = found.filter(found.column("reason").is_null())
    pairs = docs.filter(pa.array([i in set(kept.column("id").to_pylist()) for i in docs.column("id").to_pylist()]))
    where = {row["id"]: row["rejected"] for row in kept.to_pylist()}
    rejected = pa.array([where[i] for i in pairs.column("id").to_pylist()], pa.large_string())
    text = written(WriteText(), pairs.append_column("pair.rejected", rejected), folder / "text", SEED)
    for name, data in text.files.items():
        (folder / "text" / name).write_bytes(data)
    for to in ("chat", "chat-last", "dpo"):
        export(open_dataset(Store(folder / "text")), to, folder / to)
    (folder / "hf").mkdir()
    for name, data in transformers_files(tokenizer).items():
        (folder / "hf" / name).write_bytes(data)
    return {"folder": folder, "metas": metas}


@pytest.fixture(scope="module")
def opened(place: dict[str, Any]) -> Any:
    """The tokenizer, as transformers opens it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(place["folder"] / "hf")


def model_of(tokenizer: Any) -> Any:
    """A Llama of two small layers, made of random numbers."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=512,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    return LlamaForCausalLM(config)


def settings(folder: Path) -> dict[str, Any]:
    """One step on a CPU that keeps and reports nothing, in the order of the dataset."""
    return {
        "output_dir": str(folder / "out"),
        "max_steps": 1,
        "per_device_train_batch_size": 4,
        "learning_rate": 1e-3,
        "use_cpu": True,
        "bf16": False,
        "report_to": "none",
        "save_strategy": "no",
        "logging_steps": 1,
        "disable_tqdm": True,
        "gradient_checkpointing": False,
        "train_sampling_strategy": "sequential",
    }


def rows_of(folder: Path) -> Any:
    import datasets

    files = sorted(str(path) for path in folder.glob("*.jsonl"))
    return datasets.load_dataset("json", data_files=files, split="train", cache_dir=str(folder.parent / "cache"))


def test_masks_and_templates_line_up(place: dict[str, Any], opened: Any, tmp_path: Path) -> None:
    """The ids and the mask that trl makes of the chat export are those of write.tokens' loss_mask, token by token; a step is done."""
    import datasets
    from trl import SFTConfig, SFTTrainer

    chats = rows_of(place["folder"] / "chat")
    args = SFTConfig(**settings(tmp_path), assistant_only_loss=True, max_length=None)
    trainer = SFTTrainer(model_of(opened), args=args, train_dataset=chats, processing_class=opened)
    theirs = {}
    for row, made in zip(chats, trainer.train_dataset, strict=True):
        mask = [int(label != -100) for label in made["labels"]] if "labels" in made else made["assistant_masks"]
        theirs[tuple(made["input_ids"])] = mask
        assert sum(mask) and opened.decode(made["input_ids"]).startswith(
            "<|im_start|>system\nYou are brief.<|im_end|>\n"
        )
        assert row["messages"][-1]["content"] in opened.decode(
            [i for i, m in zip(made["input_ids"], mask, strict=True) if m]
        )
    packed = datasets.load_from_disk(str(place["folder"] / "packed"))
    ours = {}
    for row in packed:
        at = 0
        for length in row["segments"]:
            ids, mask = (row[name][at : at + length] for name in ("input_ids", "loss_mask"))
            at += length
            if ids[-1] == opened.eos_token_id and set(ids) != {opened.eos_token_id}:
                assert mask[-1] == 0  # end of text stands behind a chat, and is no target of it
                ours[tuple(ids[:-1])] = mask[:-1]
    assert len(ours) == 2 * len(HARD) and len(theirs) == len(HARD)
    for ids, mask in theirs.items():
        assert ours[ids] == mask
    trainer.train()
    logged = trainer.state.log_history[0]
    assert math.isfinite(logged["loss"]) and float(logged["grad_norm"]) > 0


def test_the_last_answer_alone_is_trained_on(place: dict[str, Any], opened: Any, tmp_path: Path) -> None:
    """Of the export for it trl takes the loss on the last answer, its end and the line feed behind: earlier turns are read."""
    from trl import SFTConfig, SFTTrainer

    chats = rows_of(place["folder"] / "chat-last")
    args = SFTConfig(**settings(tmp_path), max_length=None)
    trainer = SFTTrainer(model_of(opened), args=args, train_dataset=chats, processing_class=opened)
    for row, made in zip(chats, trainer.train_dataset, strict=True):
        assert [one["role"] for one in row["prompt"]].count("assistant") == 1
        learnt = [label for label in made["labels"] if label != -100]
        assert opened.decode(learnt) == f"{row['completion'][0]['content']}<|im_end|>\n"


def test_pairs_are_what_dpo_takes(place: dict[str, Any], opened: Any, tmp_path: Path) -> None:
    """A model that is its own reference has a loss of log 2; the step moves it."""
    from trl import DPOConfig, DPOTrainer

    model = model_of(opened)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    pairs = rows_of(place["folder"] / "dpo")
    assert pairs.column_names == ["prompt", "chosen", "rejected"]
    args = DPOConfig(**settings(tmp_path), max_length=None)
    # The same random numbers, given: by itself trl would look for the model's name on the hub.
    trainer = DPOTrainer(model, model_of(opened), args=args, train_dataset=pairs, processing_class=opened)
    trainer.train()
    logged = trainer.state.log_history[0]
    assert abs(logged["loss"] - math.log(2)) < 1e-4
    assert np.isfinite(float(logged["grad_norm"])) and float(logged["grad_norm"]) > 0
    moved = [name for name, value in trainer.model.named_parameters() if not (value.cpu() == before[name]).all()]
    assert len(moved) == len(before)
