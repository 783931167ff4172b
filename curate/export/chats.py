"""Chats and pairs of answers as JSON lines, in the columns that trainers of chats expect.

=============== =======================================================================================================
``chat``        ``messages``: a list of {role, content}, as trl's SFTTrainer, axolotl and others read it; what trains on the
                assistant's words trains on all of its turns, as ``encode.tokens`` does by itself
``chat-last``   ``prompt``, ``completion``: lists of messages, the last answer alone in the second one; SFTTrainer trains on
                that alone, as ``encode.tokens`` does with ``turns: last``
``dpo``         ``prompt``, ``chosen``, ``rejected``: lists of messages, as trl's DPOTrainer reads them; SLiC and others the same
``dpo-strings`` the same as strings, for trainers without chat templates: a prompt is what the user said, behind a system message
=============== =======================================================================================================

Columns that are asked for stand beside these, under their own names.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from curate.errors import RecipeError
from curate.export.jsonl import Lines
from curate.stages.answered import ASSISTANT, SYSTEM, USER
from curate.stages.chat import Chat, messages_of
from curate.store.dataset import Dataset

_REJECTED = ".rejected"
"""What the name of a column with rejected answers ends with (pair.answers)."""
Message = dict[str, str]


class Chats(Lines):
    """Chats, one a line."""

    name = "chat"
    about = "trl's SFTTrainer, axolotl, ...: datasets: load_dataset('json', data_files='OUT/*.jsonl')"

    @classmethod
    def columns(cls, dataset: Dataset, schema: pa.Schema, asked: Sequence[str] | None) -> list[str]:
        """What chats are made of, and what was asked for beside them."""
        made_of = cls._made_of(dataset, schema)
        return [*made_of, *(name for name in asked or () if name not in made_of)]

    @classmethod
    def _made_of(cls, dataset: Dataset, schema: pa.Schema) -> list[str]:
        if "meta" not in schema.names:
            raise RecipeError(
                f"{cls.name} is made of the messages in 'meta', and the dataset has no such column",
                place=str(dataset.folder),
                cure="write 'meta', too: leave out 'columns' of write.text, or name it there",
            )
        return ["meta"]

    def objects(self, rows: pa.RecordBatch) -> Sequence[Any]:
        """Messages, and what was asked for."""
        beside = rows.select(list(self.asked or ())).to_pylist() if self.asked else [{}] * rows.num_rows
        return [{**made, **more} for made, more in zip(self.made(rows), beside, strict=True)]

    def made(self, rows: pa.RecordBatch) -> list[dict[str, Any]]:
        """The columns of the format."""
        return [{"messages": messages} for messages in self.messages(rows)]

    def messages(self, rows: pa.RecordBatch) -> list[list[Message]]:
        """Of each row; raises RecipeError for one without."""
        found = messages_of(rows.column("meta"), Chat())
        if not found.chats.all():
            row = self.files[-1].rows + int(np.argmin(found.chats))
            raise self.refuse(
                f"row {row:,} of {self.files[-1].name} would have no messages: its meta.messages is no list of {{role, content}}",
                "leave documents out that are no chats before they are written, or export to jsonl",
            )
        roles, contents = found.role.to_pylist(), found.content.to_pylist()
        flat = [{"role": role, "content": said} for role, said in zip(roles, contents, strict=True)]
        return [flat[start:stop] for start, stop in itertools.pairwise(found.rows.tolist())]


class LastAnswers(Chats):
    """Chats, one a line, the last answer apart from what stands before it."""

    name = "chat-last"
    about = "trl's SFTTrainer, loss on the last answer alone: datasets: load_dataset('json', data_files='OUT/*.jsonl')"

    def made(self, rows: pa.RecordBatch) -> list[dict[str, Any]]:
        """Prompt, completion."""
        chats = self.messages(rows)
        answered = np.array([chat[-1]["role"] == ASSISTANT for chat in chats], np.bool_)
        if not answered.all():
            row = self.files[-1].rows + int(np.argmin(answered))
            raise self.refuse(
                f"row {row:,} of {self.files[-1].name} would have no completion: its last message is not the assistant's",
                "leave chats out that nobody answered before they are written, or export to chat",
            )
        return [{"prompt": chat[:-1], "completion": chat[-1:]} for chat in chats]


class Pairs(Chats):
    """Prompts with a chosen and a rejected answer, as lists of messages."""

    name = "dpo"
    about = "trl's DPOTrainer and others: datasets: load_dataset('json', data_files='OUT/*.jsonl')"

    def __init__(self, folder: Path, dataset: Dataset, schema: pa.Schema, shard_bytes: int) -> None:
        super().__init__(folder, dataset, schema, shard_bytes)
        self._rejected = next(name for name in schema.names if name.endswith(_REJECTED))

    @classmethod
    def _made_of(cls, dataset: Dataset, schema: pa.Schema) -> list[str]:
        there = [name for name in schema.names if name.endswith(_REJECTED)]
        if len(there) != 1:
            several = (
                f"several have rejected answers: {', '.join(there)}" if there else "no column has rejected answers"
            )
            raise RecipeError(
                f"{cls.name} takes pairs, and {several}",
                place=str(dataset.folder),
                cure="export what 'write.text' wrote behind one 'pair.answers' step",
            )
        return [*super()._made_of(dataset, schema), *there]

    def made(self, rows: pa.RecordBatch) -> list[dict[str, Any]]:
        """Prompt, chosen, rejected."""
        chats, rejected = self.messages(rows), rows.column(self._rejected)
        answered = np.array([chat[-1]["role"] == ASSISTANT for chat in chats], np.bool_) & np.asarray(
            rejected.is_valid()
        )
        if not answered.all():
            row = self.files[-1].rows + int(np.argmin(answered))
            raise self.refuse(
                f"row {row:,} of {self.files[-1].name} would be no pair: it has no chosen answer, or no rejected one",
                "leave rows out that are no pairs before they are written",
            )
        return [
            self.pair(chat[:-1], chat[-1]["content"], other)
            for chat, other in zip(chats, rejected.to_pylist(), strict=True)
        ]

    def pair(self, prompt: list[Message], chosen: str, rejected: str) -> dict[str, Any]:
        """One row."""
        sides = ([{"role": ASSISTANT, "content": said}] for said in (chosen, rejected))
        return {"prompt": prompt, **dict(zip(("chosen", "rejected"), sides, strict=True))}


class PairStrings(Pairs):
    """The same as strings."""

    name = "dpo-strings"
    about = "trainers of pairs of strings: datasets: load_dataset('json', data_files='OUT/*.jsonl')"
    _WHOLE: ClassVar[tuple[list[str], ...]] = ([USER], [SYSTEM, USER])

    def pair(self, prompt: list[Message], chosen: str, rejected: str) -> dict[str, Any]:
        """One row; raises RecipeError for a prompt that is more than one turn."""
        if [message["role"] for message in prompt] not in self._WHOLE:
            raise self.refuse(
                "a prompt of several turns is no string",
                "export to dpo, which has lists of messages, or leave such chats out",
            )
        return {"prompt": "\n\n".join(m["content"] for m in prompt), "chosen": chosen, "rejected": rejected}
