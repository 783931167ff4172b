"""`curate explain`: one document's story."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate.cli.app import JSON, app, examples
from curate.errors import RecipeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from rich.text import Text

    from curate.report.explain import Event, Story, Twin
    from curate.report.run_folder import RunFolder
    from curate.report.sequence import Token
    from curate.report.side_by_side import Row

_STYLES = {"dropped": "red", "kept": "green", "written": "green", "never reached": "dim"}
_EXCERPT = 12
_WIDEST = 160
_MOST_HITS = 6
"""Of a document that holds many items of benchmarks."""


@app.command(
    short_help="One document's story: what was measured, why it went; or whose a token is.",
    epilog=examples(
        "curate explain phi-1-mini 7d89cf78               by the first digits of the id",
        "curate explain runs/phi-1-mini 7d89cf78 --text   with the whole text",
        "curate explain runs/phi-1-mini 7d89cf78 --json   for a script",
        "curate explain runs/phi-1-mini/dataset --sequence 17 --token 300",
        "                                                 which document a token of a dataset is of, and its story",
        after="Ids are shown by 'curate inspect'. The text of a row that went while it was read is not kept: it is read again "
        "from the input.",
    ),
)
def explain(
    run: Annotated[str, typer.Argument(metavar="RUN|DATASET", help="A run's folder, or its name below runs/.")],
    document: Annotated[
        str | None, typer.Argument(metavar="ID", help="The document's id: its first 4 or more hex digits.")
    ] = None,
    sequence: Annotated[
        int | None, typer.Option(help="Instead of an id: a row of a dataset of tokens, from 0 on.", min=0)
    ] = None,
    token: Annotated[int | None, typer.Option(help="With --sequence: which token of it, from 0 on.", min=0)] = None,
    made_by: Annotated[
        str | None, typer.Option("--run", help="The run that made the dataset. Default: the one in which it lies.")
    ] = None,
    text: Annotated[bool, typer.Option("--text", help="Show the whole text instead of its beginning.")] = False,
    as_json: JSON = False,
) -> None:
    """Tell one document's story: where it came from, what each step measured, why it stayed or went."""
    from curate.cli.tables import console
    from curate.report.run_folder import open_run

    out = console(_WIDEST)
    if sequence is not None:
        if document is not None:
            raise RecipeError("an id and --sequence name two documents", cure="give one of them")
        _token(out, run, made_by, sequence, token or 0, whole=text, as_json=as_json)
        return
    if document is None:
        raise RecipeError("no document is named", cure="give the first digits of its id, or DATASET --sequence N")
    if token is not None or made_by is not None:
        raise RecipeError("--token and --run belong to a sequence of a dataset", cure="add --sequence N")
    story = _story(out, open_run(run), document, whole=text, as_json=as_json)
    if as_json:
        print(json.dumps(dataclasses.asdict(story), indent=1))


def _token(
    out: Console, dataset: str, made_by: str | None, sequence: int, token: int, *, whole: bool, as_json: bool
) -> None:
    """Whose a token is; then that document's story, where its run is known."""
    from curate.report.dataset_folder import run_above, the_dataset
    from curate.report.run_folder import open_run
    from curate.report.sequence import token_at

    found = token_at(the_dataset(dataset), sequence, token)
    above = run_above(dataset)
    place = made_by or (str(above[0]) if above is not None else None)
    if not as_json:
        _place(out, found)
    if place is None or not found.document:
        if as_json:
            print(json.dumps({"token": dataclasses.asdict(found), "story": None}, indent=1))
        elif found.document:
            print("\nthe dataset lies alone: give the run that made it as --run for the document's story")
        return
    story = _story(out, open_run(place), found.document, whole=whole, as_json=as_json)
    if as_json:
        print(json.dumps({"token": dataclasses.asdict(found), "story": dataclasses.asdict(story)}, indent=1))


def _place(out: Console, found: Token) -> None:
    """Where a token stands, and what stands around it."""
    from rich.text import Text

    from curate.report.plain import escaped, one_line

    out.print(f"sequence {found.sequence:,}, token {found.token:,}: id {found.id:,}", style="bold")
    if not found.document:
        out.print("padding: no document is there\n")
        return
    part = (
        "all of it is here" if found.whole else f"tokens {found.begins:,} to {found.ends:,} of the sequence are of it"
    )
    target = {True: ", a target", False: ", no target", None: ""}[found.target]
    epoch = f", pass {found.epoch + 1}" if found.epoch else ""
    out.print(f"token {found.at:,} of document {found.document[:12]}{epoch}; {part}{target}")
    out.print(one_line(f"source {found.source}, component {found.component}", 200), style="dim")
    if found.note:
        out.print(found.note, style="yellow")
    shown = Text("  " + escaped(found.before).replace("\n", "\\n"))
    shown.append("[" + escaped(found.here).replace("\n", "\\n") + "]", style="bold yellow")
    shown.append(escaped(found.after).replace("\n", "\\n"))
    out.print(shown)
    out.print()


def _story(out: Console, opened: RunFolder, document: str, *, whole: bool, as_json: bool) -> Story:
    """A document's story, printed unless it is for a script."""
    from curate.report.explain import explain as tell

    story = tell(opened, document, out.width)
    if as_json:
        return story
    if opened.note:
        out.print(f"note: {opened.note}\n", style="yellow")
    _head(out, story)
    _steps(out, story)
    for event in story.events:
        _copies(out, story, event)
    if story.twin is not None:
        _twin(out, story, story.twin)
    if story.stands_for:
        out.print(f"\n{story.stands_for:,} duplicate{'s' * (story.stands_for > 1)} went in its favour")
    if story.dataset:
        out.print("\nin the dataset", style="bold")
    for line in story.dataset:
        out.print(f"  {line}")
    _text(out, story, whole=whole)
    return story


def _head(out: Console, story: Story) -> None:
    from curate.cli.tables import table
    from curate.report.plain import one_line

    facts = table("", "", fold=("",))
    facts.show_header = False
    facts.add_row("id", story.id)
    facts.add_row("source", one_line(story.source, 200))
    facts.add_row("origin", one_line(story.origin, 400))
    if story.content_hash:
        facts.add_row("content", story.content_hash)
    for name, value in (story.generated or {}).items():
        facts.add_row(one_line(name, 20), one_line(value, 400))
    known = {k: v for k, v in story.meta.items() if k not in (story.generated or {})}
    for name, value in list(known.items())[:16]:
        facts.add_row(one_line(name, 20), one_line(value, 200))
    out.print(facts)


def _steps(out: Console, story: Story) -> None:
    from rich.padding import Padding
    from rich.text import Text

    out.print()
    later = [e.step for e in story.events if e.state == "never reached"]
    for event in story.events:
        if event.state == "never reached":
            continue
        line = Text()
        line.append(f"{event.step:<14}", style="bold")
        line.append(f"{event.use:<20}", style="dim")
        line.append(event.state, style=_STYLES.get(event.state, ""))
        if event.reason:
            line.append(f": {event.reason}", style="red")
        out.print(line)
        for said, style in _said(event, out.width - 8):
            out.print(Padding(Text(said, style=style), (0, 0, 0, 6)))
        _diff(out, event.diff, "      ")
    if later:
        out.print(f"never reached {', '.join(later)}", style="dim")


def _said(event: Event, width: int) -> list[tuple[str, str]]:
    from curate.report.plain import number, one_line

    said = []
    if event.sentence:
        said.append((event.sentence, ""))
    if event.removed is not None:
        said.append((f"edited: {event.removed:,} characters removed" if event.diff else "not edited", ""))
    said += _held(event)
    if isinstance(event.detail, dict) and "kept" in event.detail:
        similar = event.detail.get("similarity")
        alike = f", similarity {similar:.3f}" if isinstance(similar, float | int) else ""
        said.append((f"kept instead: {event.detail['kept'][:12]}{alike}", ""))
    elif isinstance(event.detail, dict) and "chosen" in event.detail:
        gap, tier = number(event.detail.get("gap")), one_line(event.detail.get("tier"), 40)
        said.append((f"chosen over it: {event.detail['chosen'][:12]}, gap {gap}, tier {tier}", ""))
    elif event.detail is not None:
        said.append((one_line(event.detail, 400), ""))
    if event.signals:
        said += [(line, "dim") for line in _pairs("measured: ", {**event.signals, "hits": None}, width)]
    if event.reason and event.signals:
        said += [(line, "dim") for line in _pairs("settings: ", event.settings, width)]
    return said


def _held(event: Event) -> list[tuple[str, str]]:
    """What it has of items of benchmarks: first what it went by."""
    from curate.benchmarks.hits import LAYERS, decisive
    from curate.report.plain import one_line

    held = decisive(event.reason, event.signals)
    if held is None:
        return []
    item, strength = (event.signals[name] for name in held)
    how = {
        "containment": f"holds {strength:.0%} of {one_line(item)} ({event.signals.get('part')})",
        "tau": f"has a function like the solution of {one_line(item)} (tau {strength:.2f})",
        "likely": f"says {one_line(item)} in other words (likely {strength:.2f})",
    }
    said = [(how[held[1]], "" if event.reason else "dim")]
    hits = list(event.signals.get("hits") or [])
    layer = LAYERS[list(how).index(held[1])]
    first = next((i for i, hit in enumerate(hits) if (hit["item"], hit["layer"]) == (item, layer)), None)
    others = [hit for i, hit in enumerate(hits) if i != first]
    for hit in others[: _MOST_HITS - 1]:
        told = f"{hit['strength']:.2f} of {one_line(hit['item'])} ({hit['layer']}, {hit['part']})"
        said.append((f"also {told}", "dim"))
    if len(others) >= _MOST_HITS:
        said.append((f"and {len(others) - _MOST_HITS + 1:,} hits more", "dim"))
    return said


def _pairs(title: str, values: dict[str, Any], width: int) -> list[str]:
    """``name value`` pairs on as few lines as possible; only a pair that fills a line is broken."""
    import textwrap

    from curate.report.plain import number

    pairs = [f"{name} {number(value)}" for name, value in values.items() if value is not None]
    pairs = [p.replace(" ", "\u00a0") if len(p) <= width - len(title) else p for p in pairs]
    found = textwrap.wrap(title + "  ".join(pairs), width, subsequent_indent=" " * len(title), break_on_hyphens=False)
    return [line.replace("\u00a0", " ") for line in found] if pairs else []


def _twin(out: Console, story: Story, twin: Twin) -> None:
    """Both documents beside each other."""
    from curate.report.explain import column_width

    column = column_width(out.width)
    alike = "" if twin.similarity is None else f", similarity {twin.similarity:.4g}"
    mine, other = twin.titles
    out.print(f"\n{mine:<{column + 1}}  {other}{alike}", style="bold")
    facts = [
        (story.id, twin.id),
        (story.source, twin.source),
        (story.origin, twin.origin),
        *([(_length(story.text), _length(twin.text))] if story.text is not None and twin.text is not None else []),
        ("", twin.fate),
    ]
    _both(out, facts, column)
    out.print()
    if twin.note:
        out.print(twin.note, style="dim")
    _rows(out, twin.rows, column)


def _both(out: Console, facts: Sequence[tuple[str, str]], column: int) -> None:
    """What is said of two documents."""
    import itertools
    from textwrap import wrap

    from rich.text import Text

    from curate.report.plain import one_line

    for fact in facts:
        for pair in itertools.zip_longest(*(wrap(one_line(said, 400), column) for said in fact), fillvalue=""):
            beside(out, Text(pair[0]), " ", Text(pair[1]), column)


def _rows(out: Console, rows: Sequence[Row], column: int) -> None:
    """Rows of two texts beside each other."""
    for row in rows:
        left, right = pieces(row.left, "bold red"), pieces(row.right, "bold green")
        if row.mark == ":":
            left.stylize("dim")
        beside(out, left, row.mark.replace(":", " "), right, column)


def _copies(out: Console, story: Story, event: Event) -> None:
    """What a step cut, beside where it stays."""
    from curate.report.explain import column_width
    from curate.report.plain import one_line

    column = column_width(out.width)
    for copy in event.copies:
        mine = f"cut by {event.step}: bytes {copy.start:,} to {copy.stop:,}"
        other = "it stands in" if copy.at is None else f"{copy.bytes:,} bytes of it stand from byte {copy.at:,} on in"
        out.print(f"\n{mine:<{column + 1}}  {other}", style="bold")
        _both(out, [(story.id, copy.id), (story.source, copy.source), (story.origin, copy.origin)], column)
        if copy.note:
            out.print(one_line(copy.note, 200), style="dim")
        _rows(out, copy.rows, column)


def _length(text: str) -> str:
    return f"{len(text):,} characters, {len(text.split()):,} words"


def beside(out: Console, left: Text, mark: str, right: Text, column: int) -> None:
    """Print two texts beside each other, the left one filled to a column."""
    left.append(" " * max(0, column - left.cell_len))
    out.print(left.append(f" {mark} ", style="yellow").append_text(right), soft_wrap=True)


def pieces(parts: Sequence[tuple[str, bool]], style: str) -> Text:
    """A row's side, styled where the other side lacks it."""
    from rich.text import Text

    said = Text()
    for number, (text, differs) in enumerate(parts):
        said.append(" " * bool(number)).append(text, style=style if differs else "")
    return said


def _diff(out: Console, diff: list[str], indent: str) -> None:
    from rich.text import Text

    styles = {"-": "red", "+": "green", "@": "dim"}
    for line in diff:
        out.print(Text(f"{indent}{line}", style=styles.get(line[:1], "")), soft_wrap=True)


def _text(out: Console, story: Story, *, whole: bool) -> None:
    from rich.text import Text

    from curate.report.plain import lines

    out.print()
    if story.text is None:
        out.print(f"text: not kept; {story.no_text}", style="yellow")
        return
    again = {"input": ", read again from the input", "answer": ", from the model's answer"}.get(
        story.text_from or "", ""
    )
    if story.original is not None:
        again += f", {len(story.original):,} before it was edited"
    out.print(f"text ({len(story.text):,} characters{again})", style="bold")
    if story.note:
        out.print(story.note, style="yellow")
    for line in lines(story.text, out.width - 2, None if whole else _EXCERPT):
        out.print(Text(f"  {line}"), soft_wrap=True)
