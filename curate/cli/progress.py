"""What a person sees while a recipe runs, and at its end. Bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from curate.cli.cpu import show_cpu
from curate.cli.reconciled import show as show_reconciled
from curate.cli.tables import WIDTH, console, table
from curate.recipe.recipe import Recipe
from curate.report.clusters import cluster_lines
from curate.report.families import not_asked_lines
from curate.report.judge import second_looks
from curate.report.kept import emptied_lines
from curate.report.mixture import mixture_lines
from curate.report.pairs import pair_lines
from curate.report.plain import edited_line, field_lines, one_line, size
from curate.report.split import split_lines
from curate.run.progress import Stretch
from curate.run.status import CpuByStep
from curate.store.files import Store
from curate.store.latest import latest
from curate.store.records import Counts, StepRecord

LINE_SECONDS = 15.0
"""How often a long step says where it is when there is no terminal to draw on."""
MOST_COMPONENTS = 12
"""Rows of the table from documents to tokens; `curate inspect` and the card have all."""
_ANY_WIDTH = 1 << 12


def short_reasons(counts: Counts, most: int = 3) -> str:
    """The most frequent reasons, the rest summed up."""
    ordered = sorted(counts.reasons.items(), key=lambda item: (-item[1], item[0]))
    said = [f"{reason} {rows:,}" for reason, rows in ordered[:most]]
    rest = sum(rows for _, rows in ordered[most:])
    return ", ".join([*said, *([f"other {rest:,}"] if rest else [])])


class View(Stretch):
    """A Stretch that can be shown."""

    def __init__(self) -> None:
        super().__init__()
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def begin(self, recipe: Recipe, store: Store) -> None:
        """The run starts."""

    def summary(self, manifest: dict[str, Any], store: Store, cpu: CpuByStep) -> None:
        """The end of the run."""

    def _head(self) -> str:
        return one_line(f"{' > '.join(self._steps)}: {self._what}", 120)

    def _speed(self) -> str:
        rate = self.rate()
        if self._total_bytes:
            return f"{size(rate)}/s" if rate else ""
        return f"{self._done:,}/{self._tasks:,}" + (f" {_pace(rate)}/s" if rate else "")

    def _line(self) -> str:
        parts = [self._head(), f"{self._done:,}/{self._tasks:,}"]
        if self._total_bytes:
            parts.append(f"{size(self._bytes)} of {size(self._total_bytes)}")
        rate = self.rate()
        if rate:
            parts.append(f"{size(rate) if self._total_bytes else _pace(rate)}/s, {self.left() / rate:.0f} s left")
        else:
            # The same line again would look like standing still.
            parts.append(f"for {self.elapsed():.0f} s")
        reasons = short_reasons(_sum(self._counts), 3)
        return ", ".join(parts) + (f"  ({reasons})" if reasons else "")


class PlainView(View):
    """Lines for a log: one when a step ends, and one every few seconds of a long one."""

    def __init__(self) -> None:
        super().__init__()
        self._console = console(_ANY_WIDTH)
        self._said = time.monotonic()
        self._widest = 0

    def begin(self, recipe: Recipe, store: Store) -> None:
        """Say what runs and where."""
        self._widest = max((len(step.id) for step in recipe.steps), default=0)
        self._say(one_line(f"{recipe.name}: {recipe.about}".rstrip(": "), 400))
        for line in recipe.trusts():
            self._say(one_line(line, 400))
        self._say(f"results: {shown(store)}\n")

    def advance(self, bytes_done: int, counts: dict[str, Counts]) -> None:
        """Say where a long step is."""
        super().advance(bytes_done, counts)
        if time.monotonic() - self._said > LINE_SECONDS:
            self._said = time.monotonic()
            self._say("  " + self._line())

    def note(self, line: str) -> None:
        """Say it."""
        self._say(f"  {one_line(line, 400)}")

    def finished(self, record: StepRecord, seconds: float, reused: bool) -> None:
        """One line for the step."""
        super().finished(record, seconds, reused)
        self._said = time.monotonic()
        self._say(finished_line(record, seconds, reused, self._widest))

    def summary(self, manifest: dict[str, Any], store: Store, cpu: CpuByStep) -> None:
        """The tables."""
        show_summary(self._console, manifest, store, self.seconds, time.monotonic() - self._started, cpu)

    def _say(self, line: str | Text) -> None:
        # A log has no width: its lines are not broken.
        self._console.print(line, soft_wrap=not self._console.is_terminal)


class BarView(PlainView):
    """Bars on a terminal."""

    def __enter__(self) -> Self:
        # What comes last gives way where the terminal is narrow: the reasons, not the time that is left.
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
            BarColumn(bar_width=24 if self._console.width >= WIDTH else 10),
            TextColumn("{task.fields[speed]}", markup=False, table_column=Column(no_wrap=True)),
            TimeRemainingColumn(compact=True),
            TextColumn(
                "{task.fields[reasons]}",
                style="dim",
                markup=False,
                table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1),
            ),
            console=self._console,
            transient=True,
            expand=True,
        )
        self._task: TaskID | None = None
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def step(self, steps: tuple[str, ...], what: str, total_bytes: int, tasks: int, done: int) -> None:
        """A new bar."""
        super().step(steps, what, total_bytes, tasks, done)
        if self._task is not None:
            self._bar.remove_task(self._task)
        head = one_line(self._head(), max(24, self._console.width // 3))
        self._task = self._bar.add_task(
            head, total=total_bytes or tasks or None, completed=self._old_done, speed="", reasons=""
        )

    def expect(self, tasks: int) -> None:
        """Make the bar longer, or shorter."""
        super().expect(tasks)
        if self._task is not None and not self._total_bytes:
            self._bar.update(self._task, total=tasks)

    def advance(self, bytes_done: int, counts: dict[str, Counts]) -> None:
        """Move the bar."""
        View.advance(self, bytes_done, counts)
        if self._task is None:
            return
        done = self._bytes if self._total_bytes else self._done
        if done == (self._old_bytes if self._total_bytes else self._old_done):
            # The bar's own estimate of the time that is left forgets what was committed before.
            self._bar.reset(self._task, completed=done)
        self._bar.update(self._task, completed=done, speed=self._speed(), reasons=short_reasons(_sum(self._counts), 2))

    def finished(self, record: StepRecord, seconds: float, reused: bool) -> None:
        """The bar gives way to a line."""
        if self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None
        super().finished(record, seconds, reused)

    def summary(self, manifest: dict[str, Any], store: Store, cpu: CpuByStep) -> None:
        """The tables, after the bars are gone."""
        self._bar.stop()
        super().summary(manifest, store, cpu)


def choose_view(*, as_json: bool) -> View:
    """Nothing for scripts, bars on a terminal, lines elsewhere."""
    if as_json:
        return View()
    return BarView() if sys.stdout.isatty() else PlainView()


def shown(store: Store) -> str:
    """A store as a user would type it."""
    if store.remote:
        return str(store)
    try:
        return str(store.root.relative_to(Path.cwd()))
    except ValueError:
        return str(store)


def finished_line(record: StepRecord, seconds: float, reused: bool, widest: int = 0) -> Text:
    """``✓ rules   3,100 of 4,000 rows kept, 0.4 s  (too_short 600, ...)``, with room for a name of ``widest`` characters."""
    counts = record.counts
    line = Text()
    line.append("= " if reused else "✓ ", style="dim" if reused else "green")
    line.append(f"{record.step:<{max(widest, 13)}} ", style="bold")
    line.append(f"{record.use:<19} ", style="dim")
    if record.shards:
        line.append(f"{_shards(record.shards)}, {sum(int(s['rows']) for s in record.shards):,} rows")
    elif record.folder is not None:
        line.append(f"trained on {counts.rows_in:,} rows")
    else:
        line.append(f"{counts.rows_out:,} of {counts.rows_in:,} kept, {size(counts.bytes_out)}")
    line.append(" (done before)" if reused else f", {seconds:.1f} s", style="dim")
    reasons = short_reasons(counts)
    if reasons:
        line.append(f"  {reasons}", style="yellow")
    return line


def show_summary(
    out: Console,
    manifest: dict[str, Any],
    store: Store,
    seconds: dict[str, float],
    in_all: float,
    cpu: CpuByStep,
) -> None:
    """Where the time went, what each step kept and dropped and why, and how to open the result."""
    made = table(
        *("step", "in", "kept", "text", "seconds", "dropped because"),
        right=("in", "kept", "text", "seconds"),
        fold=("dropped because",),
    )
    in_steps = sum(seconds.values())
    for step in manifest["steps"]:
        spent = seconds.get(step["id"], 0.0)
        made.add_row(
            step["id"],
            f"{step['rows_in']:,}",
            f"{step['rows_out']:,}",
            size(step["bytes_out"]),
            f"{spent:.1f} {spent / in_steps:>4.0%}" if spent else "",
            ", ".join(
                [f"{r} {n:,}" for r, n in sorted(step["reasons"].items(), key=lambda x: (-x[1], x[0]))]
                + edited_line(step)
            ),
        )
    out.print()
    out.print(made)
    for step in manifest["steps"]:
        for line in report_lines(step):
            out.print(one_line(line, 400), soft_wrap=True)
    for step in manifest["steps"]:
        show_reconciled(out, step["id"], step["report"], step["settings"], step["shards"], MOST_COMPONENTS)
    show_cpu(out, cpu)
    out.print(f"\n{in_steps:.1f} s in steps, {in_all:.1f} s in all")
    out.print(f"What, why and of what: {shown(store)}/manifest.json, README.md", soft_wrap=True)
    writers = [s for s in manifest["steps"] if s["shards"]]
    if writers:
        out.print("\nOpen it:", style="bold")
        out.print("  import datasets")
    for step in writers:
        path = f"{shown(store)}/{latest(store, step['id'])}"
        out.print(f"  data = datasets.load_from_disk({path!r})", soft_wrap=True)
        out.print(f"  data = datasets.load_dataset('arrow', data_files={path + '/*.arrow'!r})", soft_wrap=True)
    name = quote(shown(store))
    out.print(f"\nLook at it:             curate inspect --plain {name}", soft_wrap=True)
    out.print(f"Ask about one document: curate explain {name} ID", soft_wrap=True)


def report_lines(step: dict[str, Any]) -> list[str]:
    """The few numbers of a step's report that belong on the screen."""
    report, name = step["report"], step["id"]
    lines = []
    if step["shards"]:
        tokens = sum(s.get("tokens", 0) for s in step["shards"])
        facts = [f"{sum(s['rows'] for s in step['shards']):,} rows", *([f"{tokens:,} tokens"] if tokens else [])]
        facts += [_shards(step["shards"]), size(sum(s["size"] for s in step["shards"]))]
        lines.append(f"{name}: {', '.join(facts)}")
        lines += [f"{name}: {line}" for line in mixture_lines(report)]
    if "completion_tokens" in report:
        asked = f"{report['prompt_tokens']:,} prompt and {report['completion_tokens']:,} completion tokens"
        stopped = f"; stopped by the {report['stopped']}" if "stopped" in report else ""
        lines.append(f"{name}: {report['model']}, {asked}{stopped}")
        lines += [f"{name}: {line}" for line in not_asked_lines(report)]
    if label := report.get("label"):
        lines.append(
            f"{name}: agrees with the labels on {_share(label['agreement'])} of {label['rows']} documents "
            f"(kappa {_number(label['cohen_kappa'])}); mean score of good {_number(label['mean_score_good'])}, "
            f"of bad {_number(label['mean_score_bad'])}"
        )
    lines += [f"{name}: {line}" for line in second_looks(report)]
    if tests := report.get("tests"):
        lines.append(
            f"{name}: on {tests['rows']} documents of sources it has never seen ROC AUC {_number(tests['roc_auc'])}, "
            f"length-matched {_number(tests['length_matched_auc'])}"
        )
    if held := report.get("held_out"):
        lines.append(
            f"{name}: on {held['rows']} held-out documents ROC AUC {_number(held['roc_auc'])}, "
            f"accuracy {_share(held['accuracy'])}; the whole card: {name}/card.md"
        )
    if fertility := report.get("bytes_per_token"):
        whole = fertility["all"]
        per, of_word = whole["bytes_per_token"], whole.get("tokens_per_word")
        lines.append(
            f"{name}: {report['vocab_size']:,} pieces, {_number(per)} bytes per token and {_number(of_word)} tokens per "
            "word on held-out documents"
        )
    said = (*cluster_lines(report), *split_lines(report), *pair_lines(report), *emptied_lines(step.get("kept_by", {})))
    said += tuple(field_lines(step))
    lines += [f"{name}: {line}" for line in said]
    return lines


def _shards(shards: Sequence[Any]) -> str:
    return f"{len(shards):,} shard{'s' * (len(shards) != 1)}"


def _pace(rate: float) -> str:
    return f"{rate:,.1f}" if rate >= 1 else f"{rate:.2g}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _sum(counts: dict[str, Counts]) -> Counts:
    result = Counts()
    for each in counts.values():
        result.add(each)
    return result
