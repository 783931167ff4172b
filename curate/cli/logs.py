"""`curate logs`: what a driver printed, or without such a file what its record says."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Final

import typer

from curate.cli.app import app, examples
from curate.cli.status import RUN, event_line, located

if TYPE_CHECKING:
    from curate.run.status import Going
    from curate.store.files import Store

_POLL_SECONDS: Final = 0.5
_REMOTE_SECONDS: Final = 5.0


@app.command(
    short_help="Show what a run says: its driver's output, or its record of events.",
    epilog=examples(
        "curate logs phi-1-mini -f          what a detached run printed, and prints, until it ends",
        "curate logs phi-1-mini -n 100      the last hundred lines",
        "curate logs phi-1-mini --events    steps, notes, workers, rounds, from any machine; --tasks for each task, too",
        "curate logs phi-1-mini --json      the same as JSON lines",
    ),
)
def logs(
    run: RUN,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on until the run ends.")] = False,
    lines: Annotated[int, typer.Option("-n", "--lines", help="Begin with so many of the last lines.", min=0)] = 30,
    events: Annotated[
        bool, typer.Option("--events", help="The record, also where there is a driver's output.")
    ] = False,
    tasks: Annotated[bool, typer.Option("--tasks", help="The record, with a line for each task.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The record as JSON lines.")] = False,
) -> None:
    """Show the last lines of what a run says."""
    from curate.report.plain import escaped
    from curate.run.status import Going

    store = located(run)
    going = Going(store) if follow else None
    record = events or tasks or as_json or not _printed(store)
    for line in _record(store, lines, going, tasks=tasks, as_json=as_json) if record else _output(store, lines, going):
        print(escaped(line.rstrip("\n")), flush=follow)
    if going is not None and going.gone is not None:
        said = f"curate: its driver ({going.gone}) gives no sign of life any more: see curate status {quote(run)}"
        print(escaped(said), file=sys.stderr)


def _printed(store: Store) -> bool:
    from curate.run.status import said, submitted
    from curate.run.watch import LOG, LOGS

    there = store.state(LOG).is_file() or (store.remote and store.exists(LOGS))
    # Of a run on a terminal there is no output here, but perhaps of an earlier one.
    return there and (submitted(store) is not None or bool((said(store) or {}).get("log", True)))


def _output(store: Store, most: int, going: Going | None) -> Iterator[str]:
    """Of the file that a detached driver of this machine writes, or of its copies in an object store."""
    from curate.run.events import last_lines, lines_from
    from curate.run.watch import LOG, LOGS

    path = store.state(LOG)
    if not path.is_file():
        found, place = last_lines(store, LOGS, most)
        yield from (line.decode("utf-8", "replace") for line in found)
        while going:
            over = not going()
            for after, line in lines_from(store, LOGS, place):
                place = after
                yield line.decode("utf-8", "replace")
            if over:
                return
            time.sleep(_REMOTE_SECONDS)
        return
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1] if going else data
    yield from (line.decode("utf-8", "replace") for line in whole.splitlines()[-most:] if most)
    at = len(whole)
    while going:
        over = not going()
        with path.open("rb") as file:
            file.seek(at)
            data = file.read()
        new = data if over else data[: data.rfind(b"\n") + 1]
        at += len(new)
        yield from (line.decode("utf-8", "replace") for line in new.splitlines())
        if over:
            return
        time.sleep(_POLL_SECONDS)


def _record(store: Store, most: int, going: Going | None, *, tasks: bool, as_json: bool) -> Iterator[str]:
    from curate.run.events import FOLDER, last_lines, lines_from, read_event

    def shown(line: bytes) -> Iterator[str]:
        event = read_event(line)
        if event is not None and (tasks or event["event"] != "task"):
            yield line.decode() if as_json else event_line(event)

    # Of a thousand lines most may be of tasks.
    found, place = last_lines(store, FOLDER, most if tasks or not most else sys.maxsize)
    said = [text for line in found for text in shown(line)]
    yield from said[-most:] if most else []
    while going:
        over = not going()
        for after, line in lines_from(store, FOLDER, place):
            place = after
            yield from shown(line)
        if over:
            return
        time.sleep(_REMOTE_SECONDS if store.remote else _POLL_SECONDS)
