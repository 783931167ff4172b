"""generate.rephrase: documents said again, as a textbook, questions with answers, a table, a lesson."""

from __future__ import annotations

import itertools
import re
from array import array
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, ClassVar, Final

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from curate.errors import InputError
from curate.llm.request import Answer, Request
from curate.quality.sample import Smallest
from curate.stages import answers, forms
from curate.stages.base import Context
from curate.stages.generator import Accepted, Rejected
from curate.stages.material import quoted, whole
from curate.stages.prompted import Prompted, turns
from curate.stages.prompts import Prompt
from curate.stages.queries import rows_of
from curate.stages.registry import register
from curate.stages.screened import CONTAMINATED, HOLDS_ITEM
from curate.stages.stated import terms_of
from curate.stages.topics import draws
from curate.stages.written import Written
from curate.store.disk import storage_errors
from curate.store.scratch import scratch
from curate.text.batch import Batch

GIVES: Final = ("extract",)
_TOO_SHORT: Final = "shorter than least_chars"
_NOT_DRAWN: Final = "more than `documents`"
"""Why documents are passed over, beside HOLDS_ITEM."""
_BREAKS: Final = re.compile(r"\n[ \t]*\n|\n(?=#{1,6} )")
_STEP: Final = re.compile(
    r"^[ \t]*(?:#{1,6}[ \t]*)?[*_]*(?:step|schritt|étape|paso|passo|passaggio|шаг|第)?[ \t]*\d{1,2}[.):：步]",
    re.IGNORECASE | re.MULTILINE,
)
_PROBLEM: Final = re.compile(r"\b(?:problem|aufgabe|problème|problema|задача)\b|问题|問題", re.IGNORECASE)
_SOLUTION: Final = re.compile(
    r"\b(?:solution|lösung|solución|soluzione|solução|решение)\b|解答|解法|答案", re.IGNORECASE
)


_SCREENED_AT_ONCE: Final = 2_000
"""Documents that are looked up in the benchmarks together: so many texts are in memory."""


@dataclass(frozen=True)
class _Chunk:
    """A piece of a document that is said again: the document's hex id, number of the piece, text, terms."""

    document: str
    number: int
    text: str
    terms: str


@dataclass(frozen=True)
class _Drawn:
    """A document that is chosen: its place among all that are, its id, text and terms."""

    place: int
    id: bytes
    text: str
    terms: str


class _Chunks:
    """The chunks of the chosen documents, in the order of these. Their texts are in a file: in memory each takes 50 bytes.

    Args:
        file: where; new, open to write and read.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = 0
        self._ids = bytearray()
        self._facts = {name: array("q") for name in ("place", "number", "terms", "begin", "end")}
        self._terms: dict[str, int] = {}
        self._named: list[str] = []
        self._order = np.zeros(0, np.int64)

    def add(self, drawn: _Drawn, texts: Sequence[str]) -> None:
        """The chunks of a document."""
        for number, text in enumerate(texts):
            data = text.encode()
            with storage_errors(self._file.name):
                self._file.write(data)
            terms = self._terms.setdefault(drawn.terms, len(self._terms))
            facts = (drawn.place, number, terms, self._size, self._size + len(data))
            for values, value in zip(self._facts.values(), facts, strict=True):
                values.append(value)
            self._ids += drawn.id
            self._size += len(data)

    def close(self) -> None:
        """All are there: bring them in order."""
        with storage_errors(self._file.name):
            self._file.flush()
        place, number = (np.asarray(self._facts[name], np.int64) for name in ("place", "number"))
        self._order = np.lexsort((number, place))
        self._named = list(self._terms)

    def __len__(self) -> int:
        return len(self._order)

    def name(self, n: int) -> str:
        """What tells the n-th from others."""
        at = int(self._order[n])
        return f"{self._ids[16 * at : 16 * at + 16].hex()}/{self._facts['number'][at]}"

    def __getitem__(self, n: int) -> _Chunk:
        at = int(self._order[n])
        begin, end = self._facts["begin"][at], self._facts["end"][at]
        self._file.seek(begin)
        text = self._file.read(end - begin).decode()
        document = self._ids[16 * at : 16 * at + 16].hex()
        return _Chunk(document, self._facts["number"][at], text, self._named[self._facts["terms"][at]])


@register("generate.rephrase")
class GenerateRephrase(Prompted):
    """Ask for documents in another form; each prompt is a form and a family (after WRAP, Nemotron-CC and FinePhrase).

    Documents are cut at paragraphs into chunks of ``min_chars`` to ``max_chars`` characters (about 512 to 2,000 tokens), and
    each chunk is shown to ``forms`` of the prompts, drawn by keyed hash. What comes back names its document in
    ``meta.made_from`` and stands under the strictest of its terms and the model's. The document is data to the model, as in
    ``label.llm``. Openings such as "Here is a paraphrase" go; what lacks the form that the prompt expects, or copies the
    document word for word, is rejected.

    Good and poor pages want other forms: let two steps read two halves (``select.where`` on a score), the poor one with
    ``prompts/rephrase-wikipedia``, the good one with questions, distillates, knowledge and lists.
    """

    revision: ClassVar[int] = 4
    reasons: ClassVar[Mapping[str, str]] = {
        **Written.reasons,
        "refused": answers.REFUSED,
        "truncated": answers.TRUNCATED,
        "too_short": "fewer than min_answer_chars characters",
        "wrong_form": "the answer has not the form that the prompt expects",
        "copied": "more than max_copied of its runs of eight words are the document's",
        "repetitive": "the share of distinct words is below min_unique_words",
        "leaked": answers.LEAKED,
        "contaminated": CONTAMINATED,
    }
    ledger: ClassVar[Mapping[str, str]] = {
        **Written.ledger,
        "refused": "refused",
        "truncated": "truncated",
        "too_short": "wrong_format",
        "wrong_form": "wrong_format",
        "copied": "low_score",
        "repetitive": "low_score",
        "leaked": "wrong_format",
        "contaminated": "contaminated",
    }
    reads_documents: ClassVar[bool] = True

    prompts: list[str] = Field(
        ["prompts/rephrase-textbook", "prompts/rephrase-faq", "prompts/rephrase-qa", "prompts/rephrase-distil"],
        min_length=1,
        description="forms to ask for, each a family: files in data/, or your own by their path",
    )
    documents: int = Field(500, ge=1, description="at most so many documents, drawn by keyed hash of their ids")
    forms: int = Field(1, ge=1, description="of how many of the prompts each chunk is shown to")
    chunks: int = Field(4, ge=1, description="chunks of a document at most, from its beginning")
    min_chars: int = Field(2_000, ge=50, description="shorter chunks join their neighbours; shorter documents are one")
    max_chars: int = Field(8_000, ge=100, description="longest chunk")
    least_chars: int = Field(200, ge=1, description="shorter documents are passed over")
    min_answer_chars: int = Field(120, ge=1, description="shorter answers are rejected")
    max_copied: float = Field(0.5, ge=0, le=1, description="share of runs of eight words that may be the document's")
    min_unique_words: float = Field(0.2, ge=0, le=1, description="least share of distinct words, from 50 words on")

    @model_validator(mode="after")
    def _sizes(self) -> GenerateRephrase:
        if self.min_chars > self.max_chars:
            raise ValueError("min_chars is greater than max_chars")
        if self.forms > len(self.prompts):
            raise ValueError("forms is greater than the number of prompts")
        return self

    # -- asking ------------------------------------------------------------------------------------------------

    def requests(self, docs: Iterable[Batch], ctx: Context) -> Generator[list[Request], None, Mapping[str, int]]:
        """One request a chunk and form; families take turns."""
        passed: Counter[str] = Counter()
        families = self.families(ctx, GIVES)
        with scratch() as folder, (folder / "chunks").open("w+b") as file:
            chunks = _Chunks(file)
            for drawn in self._drawn(docs, ctx, passed):
                chunks.add(drawn, cut(drawn.text, self.min_chars, self.max_chars)[: self.chunks])
            chunks.close()
            asked, key = [array("q") for _ in families], ctx.key(ctx.step, "form")
            for n in range(len(chunks)):
                for at, _ in draws([f"{chunks.name(n)}\x1f{prompt.name}" for prompt in families], self.forms, key):
                    asked[at].append(n)
            if not any(asked):
                raise InputError(
                    f"step '{ctx.step}': no documents to rephrase",
                    cure="look at what the steps before it drop, and least_chars",
                )
            mark = ctx.key(ctx.step, "mark")
            for family, some in turns([len(numbers) for numbers in asked], self.round):
                yield [self._request(families[family], chunks[asked[family][n]], mark) for n in some]
        return passed

    @property
    def _looked_at(self) -> int:
        """Characters of a document: one chunk more than is shown, so that the last one ends where a chunk does."""
        return self.max_chars * (self.chunks + 1)

    def _request(self, family: Prompt, chunk: _Chunk, mark: int) -> Request:
        values = {"extract": quoted(chunk.text, chunk.document, mark)}
        facts = {"chunk": chunk.number, "chunk_chars": len(chunk.text)}
        return self.ask(family, values, 0, facts, seeds={chunk.document: chunk.terms})

    def _drawn(self, docs: Iterable[Batch], ctx: Context, passed: Counter[str]) -> Iterator[_Drawn]:
        """The chosen documents without an item of a benchmark, as they come; counts the others. The documents are gone
        through once to choose, and once for the texts."""
        rows = self._chosen(docs, ctx, passed)
        places = np.argsort(rows)
        waiting: list[_Drawn] = []
        for some, span in rows_of(docs, rows[places]):
            texts = pc.utf8_slice_codeunits(some.column("text"), 0, self._looked_at)
            columns = (some.column("id"), texts, some.column("meta"))
            values = zip(*(column.to_pylist() for column in columns), strict=True)
            for place, (one, text, meta) in zip(places[span].tolist(), values, strict=True):
                waiting.append(_Drawn(place, one, text, terms_of(orjson.loads(meta))))
            if len(waiting) >= _SCREENED_AT_ONCE:
                yield from self._clean(waiting, ctx, passed)
                waiting = []
        yield from self._clean(waiting, ctx, passed)

    def _chosen(self, docs: Iterable[Batch], ctx: Context, passed: Counter[str]) -> npt.NDArray[np.int64]:
        """Numbers of the rows that are drawn, in the order of a keyed hash of their ids."""
        from curate.text.hashing import keyed_hash

        key = ctx.key(ctx.step, "documents")
        sample, first = Smallest(rows=self.documents), 0
        for batch in docs:
            chars = pc.utf8_length(pc.utf8_slice_codeunits(batch.text, 0, self._looked_at))
            long = pc.fill_null(pc.greater_equal(chars, self.least_chars), fill_value=False)
            rows = pa.table({"id": batch.column("id"), "row": pa.array(np.arange(first, first + len(batch)))}).filter(
                long
            )
            first += len(batch)
            passed[_TOO_SHORT] += len(batch) - rows.num_rows
            passed[_NOT_DRAWN] += rows.num_rows
            if rows.num_rows:
                sample.add(rows, keyed_hash(rows.column("id").combine_chunks(), key))
        found = sample.rows()
        chosen = np.zeros(0, np.int64) if found is None else found.column("row").to_numpy()
        passed[_NOT_DRAWN] -= len(chosen)
        return chosen

    def _clean(self, drawn: list[_Drawn], ctx: Context, passed: Counter[str]) -> Iterator[_Drawn]:
        kept = self.unknown([one.text for one in drawn], ctx, place=None) if drawn else []
        passed[HOLDS_ITEM] += len(kept) - sum(kept)
        yield from itertools.compress(drawn, kept)

    # -- answers -----------------------------------------------------------------------------------------------

    def accept(self, request: Request, answer: Answer, ctx: Context) -> Accepted | Rejected:
        """The text in its new form, or why there is none."""
        given = answers.plain(answer.text)
        if self.refused(given, answer.finish_reason):
            return Rejected("refused", answers.excerpt(given))
        was_cut = answer.finish_reason == "length"
        text = answers.unwrap(given)
        text = answers.whole_sentences(text) if was_cut else text
        if leak := answers.leaked(text, _asking(request)):
            return Rejected("leaked", answers.excerpt(leak))
        if len(text) < self.min_answer_chars:
            return Rejected("truncated" if was_cut else "too_short", f"{len(text)} characters: {answers.excerpt(text)}")
        expects = str(request.subject.get("expects", ""))
        if fault := lacks(text, expects):
            return Rejected("truncated" if was_cut else "wrong_form", f"{fault}: {answers.excerpt(text)}")
        unique = answers.unique_words(text)
        if len(text.split()) >= 50 and unique < self.min_unique_words:
            return Rejected("repetitive", f"{unique:.2f} of the words are distinct")
        share = answers.copied(text, answers.shown(_asking(request)))
        if share > self.max_copied:
            return Rejected("copied", f"{share:.2f} of the runs of {answers.RUN} words")
        if item := self.held(text, ctx):
            return Rejected("contaminated", item)
        checks = [*([f"form:{expects}"] if expects else []), "not_copied", "distinct_words"]
        return Accepted(text + "\n", self.record(request, answer, checks, copied=round(share, 3)))

    def report(self, docs: pa.Table, noted: Sequence[Mapping[str, Any]] = ()) -> Mapping[str, Any]:
        """Texts by family."""
        families = [orjson.loads(m).get("family", "") for m in docs.column("meta").to_pylist()]
        return {"texts": docs.num_rows, "by_family": {f: families.count(f) for f in sorted(set(families))}}


def _asking(request: Request) -> Sequence[Mapping[str, str]]:
    """The messages that asked, without corrections."""
    return request.messages[: int(request.subject["asked"]) + 1]


def cut(text: str, least: int, most: int) -> list[str]:
    """A document in chunks of ``least`` to ``most`` characters, at paragraphs where that can be, else at sentences.

    Together they are the text but for white space between them; only a document shorter than ``least`` gives a shorter one.
    """
    paragraphs: list[str] = []
    for paragraph in _BREAKS.split(text):
        rest = paragraph.strip("\n")
        while len(rest) > most:
            head = whole(rest[:most], cut=True)
            paragraphs.append(head)
            rest = rest[len(rest) - len(rest.lstrip()) + len(head) :].strip()
        if rest.strip():
            paragraphs.append(rest)
    found: list[str] = []
    for paragraph in paragraphs:
        joined = f"{found[-1]}\n\n{paragraph}" if found else ""
        if found and len(joined) <= most and (len(found[-1]) < least or len(paragraph) < least):
            found[-1] = joined
        else:
            found.append(paragraph)
    # What is left at the end and is too short for itself.
    if len(found) > 1 and len(found[-1]) < least and len(found[-2]) + len(found[-1]) + 2 <= most:
        found[-2:] = [f"{found[-2]}\n\n{found[-1]}"]
    return found


def lacks(text: str, form: str) -> str:
    """What a text lacks of the form that a prompt expects; empty where it has it, or where the form is none of these."""
    if form == "qa" and len(forms.pairs(text)) < 2:
        return "fewer than two questions with answers"
    if form == "table" and forms.table_rows(text) < 2:
        return "no table with two rows"
    if form == "steps" and len(_STEP.findall(text)) < 2:
        return "fewer than two numbered steps"
    if form == "list" and len(forms.entries(text)) < 3:
        return "fewer than three entries"
    if form == "problem" and not (_PROBLEM.search(text) and _SOLUTION.search(text)):
        return "no problem with a solution"
    return ""
