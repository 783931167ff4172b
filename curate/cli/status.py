"""`curate status`: where a run stands, from any machine that sees its store."""

from __future__ import annotations

import datetime as dt
import json
import re
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from curate.cli.app import JSON, app, examples
from curate.errors import DamagedError, RecipeError

if TYPE_CHECKING:
    from rich.console import Console

    from curate.store.files import Store

RUN = Annotated[str, typer.Argument(help="A run's folder or address, or its name below runs/.")]
MOST_STEPS: Final = 40
_CLEAR: Final = "\x1b[H\x1b[2J"


def located(name: str) -> Store:
    """The store of a run, also of one that has done nothing yet; raises RecipeError when there is none."""
    from curate.report.run_folder import locate_run
    from curate.store.files import store_at

    for where in (name,) if "://" in name else (name, f"runs/{name}"):
        store = store_at(where)
        if any(store.exists(key) for key in ("lease", "status.json", "submitted.json")):
            return store
    return locate_run(name)


@app.command(
    short_help="Say where a run stands, from any machine that sees its store.",
    epilog=examples(
        "curate status phi-1-mini               running, finished, failed, killed; which step, how fast, at what cost",
        "curate status s3://bucket/run --watch  again every few seconds, until it ends",
        "curate status phi-1-mini --json        for scripts; exit code 0 whatever the state",
        after="A run on another machine whose lease looks old is watched for up to 45 s: clocks may differ, renewals do not lie.",
    ),
)
def status(
    run: RUN,
    watch: Annotated[bool, typer.Option("--watch", help="Go on until the run ends.")] = False,
    every: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.2, max=86_400)] = 2.0,
    as_json: JSON = False,
) -> None:
    """Say where a run stands: its state, what it does now and how fast, what it kept, spent, and said last."""
    from curate.cli.tables import console
    from curate.run.status import RUNNING, look

    store = located(run)
    while True:
        value = look(store, lambda line: print(f"curate: {line}", file=sys.stderr))
        if as_json:
            print(json.dumps(value), flush=True)
        else:
            out = console()
            with out.capture() as said:
                try:
                    _show(value, out)
                except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
                    raise DamagedError(
                        "status.json is not what this curate writes", place=str(store), cure="--json shows it as it is"
                    ) from None
            # At once: a terminal that is cleared and slowly filled flickers.
            text = re.sub(r"[ \t]+(?=\n)", "", said.get())
            print((_CLEAR if watch and sys.stdout.isatty() else "") + text, end="", flush=True)
        if not watch or value["state"] not in (RUNNING, "queued", "in use"):
            return
        time.sleep(max(every, 10.0) if store.remote and not sys.stdout.isatty() else every)


def _show(value: Mapping[str, Any], out: Console) -> None:
    from curate.cli.cpu import show_cpu
    from curate.report.plain import one_line

    styles = {"running": "green", "finished": "green", "killed": "red", "failed": "red"}
    name = one_line(value.get("recipe") or value["store"], 60)
    out.print(f"{name}: {_state(value)}", style=styles.get(value["state"], "yellow"), soft_wrap=True)
    for line in _lines(value):
        out.print(f"  {one_line(line, 300)}", soft_wrap=True)
    _show_steps(out, value.get("steps") or [], going=value["state"] == "running")
    if isinstance(value.get("cpu"), dict):
        show_cpu(out, value["cpu"], 6)
    if recent := value.get("recent"):
        out.print()
        for event in recent:
            out.print(event_line(event), soft_wrap=True)


def _state(value: Mapping[str, Any]) -> str:
    from curate.report.plain import one_line

    state, said = value["state"], str(value.get("outcome", ""))
    if state == "failed":
        return f"failed ({one_line(said.partition(': ')[2], 300)})"
    if state == "killed":
        return "killed: its driver is gone, and said nothing; the same command goes on from what is committed"
    if state == "interrupted":
        return "interrupted; the same command goes on from what is committed"
    if state == "in use":
        return f"in use by {one_line(value['lease']['what'])}; the newest run of the recipe: {one_line(said)}"
    if state == "running" and value.get("no_workers_since"):
        return f"running; waits for workers since {_short(value['no_workers_since'])}"
    if state == "queued":
        return f"waits to begin ({one_line(value['submitted'])})"
    return str(state)


def _lines(value: Mapping[str, Any]) -> list[str]:
    """What is known, a line for each thing."""
    from curate.report.plain import size

    lines = []
    if now := value.get("now"):
        names = [step["id"] for step in value["steps"]]
        at = 1 + max(names.index(step) for step in now["steps"] if step in names) if names else 0
        line = f"step {at} of {len(names)}: {' > '.join(now['steps'])}: {now['what']}, {now['done']:,}/{now['tasks']:,}"
        if now["total_bytes"]:
            line += f", {size(now['bytes'])} of {size(now['total_bytes'])}"
        if now["rate"] and value["state"] == "running":
            speed = f"{size(now['rate'])}/s" if now["rate_of"] == "bytes" else f"{now['rate']:.1f}/s"
            line += f", {speed}, about {span(now['seconds_left'] or 0)} left"
        lines.append(line)
    if value.get("since"):
        job = f", {value['job']}" if value.get("job") else ""
        ended = f", ended {_short(value['ended'])}" if value.get("ended") else ""
        lines.append(f"since {_short(value['since'])}{_age(value)}{ended}, pid {value['pid']} on {value['host']}{job}")
    if value.get("last_commit"):
        lines.append(f"{value['tasks_committed']:,} tasks committed, the last one {_short(value['last_commit'])}")
    if value.get("workers") or value.get("retries"):
        lines.append(
            f"workers: {value['workers']:,}, threads: {value['threads']:,}, tries that ended with their worker: {value['retries']:,}"
        )
    models = value.get("models") or {}
    if models.get("completion_tokens") or models.get("in_flight"):
        lines.append(
            f"models: {models['prompt_tokens']:,} prompt and {models['completion_tokens']:,} completion tokens, "
            f"${models['dollars']:,.4f}; {models['in_flight']:,} requests under way"
        )
    lines += [
        f"waits for the store: {one['what']}, pid {one['pid']} on {one['host']}" for one in value.get("waiting", ())
    ]
    return lines


def _show_steps(out: Console, steps: list[Mapping[str, Any]], *, going: bool) -> None:
    from curate.cli.tables import table
    from curate.report.plain import one_line, size

    if not steps:
        return
    made = table(
        *("step", "state", "in", "kept", "text", "seconds", "dropped because"),
        right=("in", "kept", "text", "seconds"),
        fold=("dropped because",),
    )
    for step in steps[:MOST_STEPS]:
        state = "begun" if step["state"] == "running" and not going else step["state"]
        row = [one_line(step["id"], 24), one_line(state)]
        if "rows_in" in step:
            row += [f"{step['rows_in']:,}", f"{step['rows_out']:,}", size(step["bytes_out"])]
            row.append(f"{step['seconds']:.1f}" if step.get("seconds") else "")
            row.append(", ".join(f"{one_line(reason, 40)} {n:,}" for reason, n in list(step["reasons"].items())[:3]))
        made.add_row(*row)
    out.print()
    out.print(made)
    if len(steps) > MOST_STEPS:
        out.print(f"and {len(steps) - MOST_STEPS} more steps")


def span(seconds: float) -> str:
    """A length of time for people."""
    seconds = round(seconds)
    if seconds < 100:
        return f"{seconds} s"
    if seconds < 6000:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


def _short(moment: str) -> str:
    return f"{moment[:10]} {moment[11:19]} UTC"


def _age(value: Mapping[str, Any]) -> str:
    """How long it has run, or ran, by its own clock."""
    try:
        begin, end = (dt.datetime.fromisoformat(value[name]) for name in ("since", "at"))
    except (KeyError, ValueError):
        return ""
    return f" ({span(max(0.0, (end - begin).total_seconds()))})"


_SHOWN: Final = {
    "note": "{text}",
    "begin": "begin {recipe}, pid {pid} on {host}",
    "end": "end: {outcome}",
    "step": "{steps}: {what}, {done}/{tasks} done",
    "finished": "✓ {step}: {kept:,} of {rows:,} kept, {seconds:.1f} s",
    "task": "{steps}: task {key:.12}, {seconds:.2f} s, {cpu:.2f} s CPU, {worker}",
    "workers": "workers: {workers}{came}{went}",
    "retry": "a worker died: {task} is tried again ({how})",
    "bisected": "{steps}: {rows} rows kill their worker and are set aside",
    "round": "{step}: round of {requests} {family} closed by {model}, {failed} failed, {completion_tokens:,} tokens, ${dollars:.4f}",
    "cancel": "asked to stop by {by}",
    "lost": "{lines} lines could not be written",
}


def event_line(event: Mapping[str, Any]) -> str:
    """An event as a line for people; what an unknown one says as it stands."""
    from curate.report.plain import one_line

    facts = {
        name: (" > " if name == "steps" else ", ").join(map(str, value)) if isinstance(value, list) else value
        for name, value in event.items()
    }
    for name, which in (("came", "joined"), ("went", "lost")):
        facts[name] = f"; {name}: {facts[which]}" if facts.get(which) else ""
    try:
        said = _SHOWN[str(event["event"])].format(**facts)
    except (ArithmeticError, LookupError, TypeError, ValueError):
        said = json.dumps({k: v for k, v in event.items() if k != "at"})
    return one_line(f"{str(event.get('at', ''))[11:19]}  {said}", 400)


def not_running(store: Store, state: str) -> RecipeError:
    """For commands about a run that goes on."""
    return RecipeError(f"no run is going on here (the newest one: {state})", place=str(store))
