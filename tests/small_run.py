"""A small run to look at, with planted truth: what each planted document must be said to be."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any, Final

from recipes import small_classifier, step, write

ROOT: Final = Path(__file__).resolve().parents[1]
HOSTILE: Final = "\x1b[2J\x1b[31mred\x1b]0;title\x07 <script>alert(1)</script> \u202egnp.exe\u202c \x9b5A \u200bhidden | `code` [bold]markup[/bold]"
"""What a stranger may put into a text: escape sequences, HTML, marks that reorder and hide, rich's own markup."""
MAY_REPEAT: Final = {
    "max_duplicate_lines": 1,
    "max_duplicate_line_chars": 1,
    **{f"max_top_{n}gram": 1 for n in (2, 3, 4)},
    **{f"max_duplicate_{n}gram": 1 for n in range(5, 11)},
}
"""Settings of filter.massivetext that keep the huge line, which is one phrase over and over."""
_WORDS: Final = """
the of and to in that is for it as with on be by this are from at or an function value list loop name string
number class return object module method index tuple key file line text code test error call example reader
writes learns carefully because every small program explains one idea at a time before another begins
"""


def prose(seed: int, words: int = 120) -> str:
    """Sentences of their own for each seed; the rules keep them."""
    draw = random.Random(seed)
    lines = []
    while sum(len(line.split()) for line in lines) < words:
        sentence = [*draw.choices(_WORDS.split(), k=10), f"w{seed}x{draw.randrange(10**6)}", "and", "the"]
        lines.append(f"{' '.join(sentence).capitalize()}.")
    return "\n".join(lines)


def benchmark_item() -> str:
    """The prompt of a HumanEval problem, as a page would quote it."""
    first = json.loads((ROOT / "data/benchmarks/humaneval.jsonl").read_text(encoding="utf-8").splitlines()[0])
    return str(first["prompt"])


def documents() -> list[dict[str, Any]]:
    """The rows: 120 of ordinary prose from two sources, and those that were planted."""
    rows = [
        {
            "id": f"p{n}",
            "text": prose(n),
            "source": "lessons" if n % 2 else "notes",
            "license": "MIT" if n % 2 else "CC-BY-4.0",
        }
        for n in range(120)
    ]
    near = prose(1).split("\n")
    near[-1] = "Another ending, and the only line of it that is new."
    rows += [
        {"id": "same", "text": prose(0) + "\n", "source": "copies", "license": "MIT"},
        {"id": "alike", "text": "\n".join(near), "source": "copies", "license": "MIT"},
        {"id": "short", "text": "Too short to keep, and so it goes.", "source": "notes"},
        {"id": "leak", "text": f"{prose(500)}\n{benchmark_item()}\n", "source": "lessons"},
        {"id": "hostile-kept", "text": f"{HOSTILE}\n{prose(501)}", "source": HOSTILE, "license": HOSTILE},
        {"id": f"hostile-dropped{HOSTILE}", "text": HOSTILE, "source": "notes"},
        {"id": "huge-line", "text": prose(502).replace("\n", " ") + " and the word" * 20_000 + ".", "source": "notes"},
    ]
    return rows


def steps() -> list[dict[str, Any]]:
    """Rules, both kinds of duplicates, decontamination, a classifier, a selection, three writers."""
    return [
        step("docs", "read.jsonl", paths=["docs.jsonl"]),
        step("rules", "filter.massivetext", min_words=20, **MAY_REPEAT),
        step("unique", "dedup.exact"),
        step("near", "dedup.near"),
        step("clean", "decontaminate", against=["humaneval"]),
        step("labels", "label.contrast", "clean", positive=["lessons"], negative=["notes"]),
        small_classifier(),
        step("scored", "score.classifier", "clean", classifier="value"),
        step("good", "select.where", column="scored.score", at_least=0.001),
        step("pages", "write.text", documents_per_shard=60),
        step("words", "train.tokenizer", "good", vocab_size=512),
        step("encoded", "encode.tokens", "good", tokenizer="words"),
        step(
            "tokens",
            "write.tokens",
            tokens="encoded",
            sequence=64,
            tail="pad",
            position_ids=True,
            loss_mask=True,
            segments=True,
            sequences_per_shard=200,
        ),
        step("documents", "write.encoded", "encoded", tokens="encoded"),
    ]


def write_run(folder: Path) -> Path:
    """Write documents and recipe; the recipe's path. Run it with ``--store folder / "run"``."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(row) for row in documents()] + ["no JSON \x1b[31m"]
    (folder / "docs.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return write(folder / "recipe.yaml", steps(), name="small", about="A run to look at. <b>[bold]|")
