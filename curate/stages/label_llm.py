"""label.llm: a model scores documents by a rubric."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from curate import assets
from curate.errors import InputError
from curate.llm.request import Answer, Request
from curate.quality.sample import HASH
from curate.stages import answers
from curate.stages.base import Accepted, Context, Generator, Rejected
from curate.stages.registry import register
from curate.stages.topics import made_by, rounds
from curate.text.batch import Batch

FAMILY: Final = "judge"

_BLOCK: Final = re.compile(r"^```prompt (\w+)\n(.*?)\n```$", re.DOTALL | re.MULTILINE)
_SCORE: Final = re.compile(r"\bscore\W{0,6}([0-9]+)(?![0-9]|[.,][0-9]|\s*(?:[-–]|to\b)\s*[0-9])", re.IGNORECASE)
_GOOD_FROM: Final = 3


@register("label.llm")
class LabelLLM(Generator):
    """Show a model documents and a rubric; keep the score from 0 to 5 that it gives, with its reason.

    Documents are data to the judge: they stand between delimiters that they can not close, and the judge is told to
    follow no instruction in them. As many documents of each source as possible are shown, those with the smallest
    keyed hash of their id first. The label of a document is a document of its own (``meta.document`` has the id).
    """

    revision: ClassVar[int] = 3
    reasons: ClassVar[Mapping[str, str]] = {
        "refused": answers.REFUSED,
        "truncated": "the answer was cut at max_tokens before its score",
        "no_score": "no line of the answer states a score",
        "out_of_range": "the score is not between 0 and 5",
    }
    asset_settings: ClassVar[Mapping[str, assets.Kind]] = {"rubric": "classifiers"}
    reads_documents: ClassVar[bool] = True

    model: str = Field("judge", description="which of the recipe's models to ask")
    rubric: str = Field("textbook-value", description="folder in classifiers/ with a rubric.md")
    documents: int = Field(500, ge=1, description="how many documents to show")
    max_chars: int = Field(1_000, ge=100, description="only so many first characters are shown, of code 6/10 of that")
    max_document_chars: int = Field(200_000, ge=100, description="longer documents are not chosen")
    max_tokens: int = Field(60, ge=16, description="limit of one answer")
    temperature: float = Field(0.0, ge=0, le=2, description="sampling temperature")
    code: list[str] = Field([], description="sources whose documents are judged as code; patterns (*, ?) allowed")
    compare: str | None = Field(
        None, description="column with a label to report agreement with, such as 'labels.label'"
    )
    round: int = Field(8, ge=1, description="requests a round; a round counts only as a whole")

    def reads(self) -> frozenset[str]:
        """The column to compare with."""
        return frozenset({self.compare} if self.compare else set())

    def adds(self) -> Mapping[str, pa.DataType]:
        """The score, and the label it is compared with."""
        return {"score": pa.int8(), **({"label": pa.int8()} if self.compare else {})}

    def requests(self, docs: Iterable[Batch], ctx: Context) -> list[list[Request]]:
        """One request a chosen document."""
        prompts = read_prompts(ctx.assets["rubric"] / "rubric.md")
        chosen = self._choose(docs, ctx)
        if chosen is None:
            raise InputError(f"step '{ctx.step}': no documents to judge", cure="look at what the steps before it drop")
        return rounds([self._request(row, prompts) for row in chosen.to_pylist()], self.round)

    def _choose(self, docs: Iterable[Batch], ctx: Context) -> pa.Table | None:
        """The documents, smallest hash of each source first, then the second smallest of each, ..."""
        from curate.text.hashing import keyed_hash

        key, held = ctx.key(ctx.step, FAMILY), None
        for batch in docs:
            rows = {"id": batch.column("id"), "source": batch.column("source"), "text": batch.text}
            rows["label"] = (
                batch.column(self.compare).cast(pa.int8()) if self.compare else pa.nulls(len(batch), pa.int8())
            )
            table = pa.table(rows).append_column(HASH, pa.array(keyed_hash(rows["id"], key), pa.uint64()))
            length = pc.utf8_length(table.column("text"))
            table = table.filter(pc.and_(pc.greater(length, 0), pc.less_equal(length, self.max_document_chars)))
            # What is behind the first rows here stays behind them when more rows come: pruning is safe.
            held = _stratified(table if held is None else pa.concat_tables([held, table]), self.documents)
        return held if held is not None and held.num_rows else None

    def _request(self, row: Mapping[str, Any], prompts: Mapping[str, str]) -> Request:
        kind = "code" if any(fnmatchcase(row["source"], p) for p in self.code) else "prose"
        # A character of code costs up to 1.7 times the tokens of one of prose.
        limit = self.max_chars if kind == "prose" else self.max_chars * 6 // 10
        content = prompts[kind].replace("{document}", _quoted(row["text"], limit))
        return Request(
            messages=({"role": "system", "content": prompts["system"]}, {"role": "user", "content": content}),
            family=FAMILY,
            draw=0,
            max_tokens=self.max_tokens,
            sampling={"temperature": self.temperature},
            subject={
                "document": row["id"].hex(),
                "source": row["source"],
                "kind": kind,
                "label": row["label"],
                "text": row["text"],
            },
        )

    def accept(self, request: Request, answer: Answer, ctx: Context) -> Accepted | Rejected:
        """The document with its score, or why there is none."""
        text = answers.plain(answer.text)
        score = parse_score(text, cut=answer.finish_reason == "length")
        if score is None:
            if answers.refused(text, answer.finish_reason):
                return Rejected("refused", answers.excerpt(text))
            reason = "truncated" if answer.finish_reason == "length" else "no_score"
            return Rejected(reason, answers.excerpt(text))
        if score > 5:
            return Rejected("out_of_range", answers.excerpt(text))
        subject = request.subject
        meta = {
            **made_by(answer, request.family, request.draw),
            "document": subject["document"],
            "source": subject["source"],
            "kind": subject["kind"],
            "judgement": answers.excerpt(text, 400),
            "score": score,
        }
        columns = {"score": score, **({"label": subject["label"]} if self.compare else {})}
        return Accepted(str(subject["text"]), meta, columns)

    def report(self, docs: pa.Table) -> Mapping[str, Any]:
        """How often each score was given, and agreement (score >= 3 is good) with the label compared with."""
        from curate.quality import evaluate

        scores = _column(docs, "score")
        result: dict[str, Any] = {"scores": {str(s): int((scores == s).sum()) for s in range(6)}}
        if self.compare and docs.num_rows:
            labels = _column(docs, "label")
            have = labels >= 0
            good, label = scores[have] >= _GOOD_FROM, labels[have] == 1
            result["label"] = {
                "rows": int(have.sum()),
                "agreement": evaluate.agreement(good, label),
                "cohen_kappa": evaluate.cohen_kappa(good, label),
                "mean_score_good": float(scores[have][label].mean()) if label.any() else None,
                "mean_score_bad": float(scores[have][~label].mean()) if (~label).any() else None,
            }
        return result


def read_prompts(path: Path) -> dict[str, str]:
    """The blocks ``system``, ``prose`` and ``code`` of a rubric; raises InputError if one is missing."""
    try:
        blocks = {match[1]: match[2] for match in _BLOCK.finditer(path.read_text(encoding="utf-8"))}
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"no rubric: {error}", place=str(path)) from None
    for name in ("system", "prose", "code"):
        if name not in blocks:
            raise InputError(f"the rubric has no block '```prompt {name}'", place=str(path))
        if name != "system" and "{document}" not in blocks[name]:
            raise InputError(f"block '{name}' of the rubric has no {{document}}", place=str(path))
    return blocks


def parse_score(text: str, *, cut: bool = False) -> int | None:
    """The last score that the text states (``Educational score: 3``, ``score: 4/5``), or None.

    Ranges (``0-5``) and fractions (``3.5``) are no scores; in a text that was cut, neither is a number at its very end.
    """
    found = list(_SCORE.finditer(text))
    if not found or (cut and found[-1].end() == len(text)):
        return None
    return int(found[-1][1][:4])


def _quoted(text: str, limit: int) -> str:
    """The document's beginning, unable to close the delimiters around it."""
    return re.sub(r"<(?=\s*/?\s*document\b)", "(", text[:limit], flags=re.IGNORECASE).strip("\n")


def _stratified(rows: pa.Table, limit: int) -> pa.Table:
    """The first rows in order of (rank within the source by hash, hash)."""
    rows = rows.sort_by([("source", "ascending"), (HASH, "ascending"), ("id", "ascending")])
    codes = rows.column("source").combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
    starts = np.flatnonzero(np.concatenate(([True], codes[1:] != codes[:-1]))) if len(codes) else np.zeros(0, np.int64)
    rank = np.arange(len(codes)) - np.repeat(starts, np.diff(np.append(starts, len(codes))))
    order = np.lexsort((rows.column(HASH).to_numpy(), rank))[:limit]
    return rows.take(pa.array(order)).combine_chunks()


def _column(docs: pa.Table, short: str) -> np.ndarray[Any, np.dtype[np.int8]]:
    """A column by its short name, nulls as -1."""
    name = next((n for n in docs.column_names if n == short or n.endswith(f".{short}")), None)
    values = docs.column(name) if name else pa.nulls(docs.num_rows, pa.int8())
    return np.asarray(pc.fill_null(values, -1).to_numpy(zero_copy_only=False), dtype=np.int8)
