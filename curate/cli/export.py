"""`curate export`: a dataset in the format of another trainer."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from curate.cli.app import JSON, app, examples


@app.command(
    short_help="A dataset as Parquet, chats, pairs, Megatron, nanotron, litdata, MDS, ...",
    epilog=examples(
        "curate export runs/phi-1/documents --to megatron out     .bin and .idx, from encoded documents",
        "curate export runs/phi-1/documents --to nanotron out     .ds, .ds.index, .ds.loss where chats are masked",
        "curate export runs/phi-1/dataset --to mds out            packed sequences for MosaicML streaming",
        "curate export runs/phi-1/dataset --to parquet out --columns input_ids,loss_mask",
        "curate export runs/contrast/dataset --to dpo out         prompt, chosen, rejected, from pair.answers",
        after="Formats: parquet, jsonl, chat, chat-last, dpo, dpo-strings, megatron, nanotron, litdata, mds. With those of "
        "chats and pairs --columns names what stands beside theirs. chat-last has the last answer apart: what is trained "
        "on where a teacher answered a chat that a log began. Megatron and nanotron pack by themselves: they "
        "take what write.encoded wrote. The folder is there as a whole or not at all; its export.json has the SHA-256 of "
        "every file.",
    ),
)
def export(
    dataset: Annotated[str, typer.Argument(help="A written dataset's folder or address, or RUN/STEP.")],
    out: Annotated[Path, typer.Argument(help="The folder to make; must not be there.")],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="FORMAT",
            help="parquet, jsonl, chat, chat-last, dpo, dpo-strings, megatron, nanotron, litdata, mds.",
        ),
    ],
    columns: Annotated[
        str | None, typer.Option(help="Columns to write, with commas between. Default: all that the format holds.")
    ] = None,
    shard_mb: Annotated[
        float | None,
        typer.Option(
            help="MB of a file, before compression. Default: what readers of the format expect.", min=0.001, max=1e9
        ),
    ] = None,
    as_json: JSON = False,
) -> None:
    """Write a dataset in the format of another trainer, with its tokenizer and its provenance."""
    from curate.cli.check import Progress
    from curate.export.export import export as write
    from curate.report.dataset_folder import the_dataset

    opened = the_dataset(dataset)
    names = None if columns is None else [name.strip() for name in columns.split(",") if name.strip()]
    size = None if shard_mb is None else max(1, int(shard_mb * 1e6))
    with Progress(sum(max(0, s.size) for s in opened.shards), "exporting", quiet=as_json) as progress:
        found = write(opened, to, out, names, size, progress.advance)
    if as_json:
        print(json.dumps(dataclasses.asdict(found), indent=1))
        return
    from curate.report.plain import one_line
    from curate.report.plain import size as shown

    tokens = f", {found.tokens:,} tokens" if found.tokens else ""
    print(f"{one_line(out, 400)}: {found.rows:,} rows{tokens}, {len(found.files):,} files, {shown(found.bytes)}")
    print(f"read it with {found.about}")
