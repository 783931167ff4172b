"""`curate tokenizer`: what a tokenizer is, and how many tokens it makes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from curate.cli.app import JSON, app, examples
from curate.errors import RecipeError

if TYPE_CHECKING:
    from curate.report.tokenizer import Looked

_MOST_CONTROLS = 12


@app.command(
    short_help="Look at a tokenizer, and how many tokens it makes of documents.",
    epilog=examples(
        "curate tokenizer codegen                        fetched once: size, end of text, control symbols",
        "curate tokenizer runs/mine/tokenizer a.jsonl    bytes per token and tokens per word, by source",
        "curate tokenizer given.model --mend -o mine     one that changes texts, without what changes them",
        "curate tokenizer runs/mine/dataset --transformers -o hf   for AutoTokenizer and trl, ChatML as its template",
    ),
)
def tokenizer(
    what: Annotated[
        str, typer.Argument(metavar="NAME|FILE", help="A name, a .model, tokenizer.json or .tiktoken, or its folder.")
    ],
    files: Annotated[
        list[str] | None, typer.Argument(metavar="FILE", help="JSON lines (.gz, .zst too), Parquet or Arrow.")
    ] = None,
    text: Annotated[str, typer.Option(help="The field that holds the text.")] = "text",
    mend: Annotated[bool, typer.Option("--mend", help="Without its normalisation; with -o.")] = False,
    transformers: Annotated[
        bool, typer.Option("--transformers", help="As transformers opens it, with a chat template; with -o.")
    ] = False,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write its files to this folder.")] = None,
    as_json: JSON = False,
) -> None:
    """Say what a tokenizer is, whether it changes texts, and how many tokens it makes of documents."""
    from curate.report.tokenizer import find_tokenizer, look

    if mend and transformers:
        raise RecipeError(
            "--mend and --transformers write two tokenizers", cure="mend it first, then give the folder again"
        )
    if (mend or transformers) and output is None:
        option = "--mend" if mend else "--transformers"
        raise RecipeError(f"{option} writes a tokenizer", cure="say where with -o FOLDER")
    place = find_tokenizer(what)
    if output is not None:
        place = _written(place, output, mend=mend, transformers=transformers)
    found = look(place, files or [], text)
    if as_json:
        print(json.dumps(dataclasses.asdict(found), indent=1))
    else:
        _show(found)


def _written(place: Path, output: Path, *, mend: bool, transformers: bool) -> Path:
    from curate.stages.shards_file import tokenizer_files
    from curate.stages.tokenizer_mended import mended
    from curate.stages.tokenizer_transformers import transformers_files

    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise RecipeError("exists already", place=str(output), cure="choose another folder with -o")
    files = (mended if mend else transformers_files if transformers else tokenizer_files)(place)
    output.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (output / name).write_bytes(data)
    return output


def _show(found: Looked) -> None:
    from curate.cli.tables import console
    from curate.report.plain import one_line

    out = console()
    out.print(f"{found.vocab_size:,} ids ({found.dtype}), end of text {found.end_of_text}, padding {found.padding}")
    out.print(one_line(found.changes or "texts come back as they were", 300), markup=False)
    some = [f"{one_line(name, 40)} {i}" for name, i in list(found.controls.items())[:_MOST_CONTROLS]]
    more = f" and {len(found.controls) - len(some):,} more" if len(found.controls) > len(some) else ""
    out.print(f"control symbols: {', '.join(some) or 'none'}{more}", markup=False)
    if found.fertility:
        out.print(f"\n{'source':24} {'documents':>9} {'MB':>8} {'tokens':>13} {'bytes/token':>11} {'tokens/word':>11}")
        for name, of in (*found.fertility["by_source"].items(), ("all", found.fertility["all"])):
            per = [f"{of[key]:11.2f}" if of[key] else f"{'-':>11}" for key in ("bytes_per_token", "tokens_per_word")]
            line = f"{of['documents']:9,} {of['bytes'] / 1e6:8.1f} {of['tokens']:13,} {' '.join(per)}"
            out.print(f"{one_line(name, 24):24} {line}", markup=False)
    out.print(f"\n{found.file}", markup=False)
