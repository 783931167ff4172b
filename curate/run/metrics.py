"""What Prometheus asks for while a run runs: the sums of its Status, in the text format of prometheus_client.

Off unless it is asked for, on loopback unless an address is given: whoever reaches the port reads names of steps, models and
reasons, and numbers. There is nothing to be done there, and no text of documents.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from curate.errors import RecipeError

if TYPE_CHECKING:
    from curate.run.status import Status

LOOPBACK: Final = "127.0.0.1"
_INSTALL: Final = "pip install 'phi-curate[metrics]'"

Address = tuple[str, int]


def address_of(given: str) -> Address:
    """Host and port of ``9464``, ``0.0.0.0:9464`` or ``[::]:9464``; raises RecipeError for anything else."""
    host, _, port = given.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not port.isascii() or not port.isdigit() or int(port) > 65535 or (":" in given and not host):
        raise RecipeError(f"--metrics {given} is no port", cure="write 9464, or HOST:9464 to be reached from elsewhere")
    return host or LOOPBACK, int(port)


@contextmanager
def served(status: Status, where: Address | None, note: Callable[[str], None] = lambda _: None) -> Iterator[int]:
    """Answer as long as the block lasts, if anybody is to be answered; the port that was taken, for which 0 is any.

    Where the library is missing, or another program has the port, that is a note: no run ends, or is none, for who looks at it.
    """
    if where is None:
        yield 0
        return
    try:
        from prometheus_client import CollectorRegistry, start_http_server
    except ImportError:
        note(f"no metrics are served: prometheus_client is missing; {_INSTALL}")
        yield 0
        return
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Sums(status))
    try:
        server, thread = start_http_server(where[1], where[0], registry)
    except OSError as error:
        why = error.strerror or error
        note(f"no metrics are served at {where[0]}:{where[1]} ({why}); choose another port, 0 takes any that is free")
        yield 0
        return
    note(f"metrics: http://{where[0]}:{server.server_port}/metrics")
    try:
        yield int(server.server_port)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Sums:
    """A collector: makes metrics of a Status each time they are asked for, so that nothing is counted twice."""

    def __init__(self, status: Status) -> None:
        self._status = status

    def collect(self) -> Iterator[Any]:
        """All families."""
        value = self._status.value(reasons=None)
        yield from _work(value)
        yield from _models(value)
        yield _rows(value)

    def describe(self) -> list[Any]:
        """Nothing ahead: what there is depends on the run."""
        return []


def _work(value: dict[str, Any]) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    yield CounterMetricFamily("curate_tasks_committed", "Tasks committed by this command", value["tasks_committed"])
    yield CounterMetricFamily("curate_retries", "Attempts whose worker died", value["retries"])
    yield GaugeMetricFamily("curate_workers", "Workers of the cluster", value["workers"])
    yield GaugeMetricFamily("curate_worker_threads", "Threads of all workers", value["threads"])
    now = value["now"] or {}
    left = now.get("tasks", 0) - now.get("done", 0)
    yield GaugeMetricFamily("curate_queue_tasks", "Tasks (or requests) of the present step that are to be done", left)
    rate = GaugeMetricFamily("curate_rate", "Bytes, or tasks, a second of the present step", labels=["of"])
    if now:
        rate.add_metric([now["rate_of"]], now["rate"])
    yield rate
    since = GaugeMetricFamily("curate_seconds_since_commit", "Since a task was committed, or since the start")
    last = value["last_commit"] or value.get("since")
    if last:
        since.add_metric([], max(0.0, time.time() - dt.datetime.fromisoformat(last).timestamp()))
    yield since
    cpu = CounterMetricFamily("curate_cpu_seconds", "CPU seconds", labels=["step", "work"])
    through = CounterMetricFamily("curate_work_bytes", "Bytes gone through", labels=["step", "work"])
    for step, kinds in value["cpu"].items():
        for kind, (seconds, size) in kinds.items():
            cpu.add_metric([step, kind], seconds)
            if size:
                through.add_metric([step, kind], size)
    yield from (cpu, through)


def _rows(value: dict[str, Any]) -> Any:
    """Rows that came in, stayed, and went, of all steps that began; of a step that is done before, as they were then."""
    from prometheus_client.core import CounterMetricFamily

    rows = CounterMetricFamily("curate_rows", "Rows by step and what became of them", labels=["step", "became"])
    for step in value["steps"]:
        if "rows_in" in step:
            rows.add_metric([step["id"], "in"], step["rows_in"])
            rows.add_metric([step["id"], "kept"], step["rows_out"])
            for reason, count in step["reasons"].items():
                rows.add_metric([step["id"], reason], count)
    return rows


def _models(value: dict[str, Any]) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    models = value["models"]
    yield GaugeMetricFamily("curate_llm_requests_in_flight", "Requests under way", models["in_flight"])
    yield GaugeMetricFamily("curate_llm_run_dollars", "Charged to the whole run, reserves included", models["dollars"])
    requests = CounterMetricFamily("curate_llm_requests", "Requests of closed rounds", labels=["model", "became"])
    tokens = CounterMetricFamily("curate_llm_tokens", "Tokens of closed rounds", labels=["model", "kind"])
    dollars = CounterMetricFamily("curate_llm_dollars", "Dollars of closed rounds", labels=["model"])
    for name, sums in models["by_model"].items():
        requests.add_metric([name, "answered"], sums["requests"] - sums["failed"])
        requests.add_metric([name, "failed"], sums["failed"])
        tokens.add_metric([name, "prompt"], sums["prompt_tokens"])
        tokens.add_metric([name, "completion"], sums["completion_tokens"])
        dollars.add_metric([name], sums["dollars"])
    yield from (requests, tokens, dollars)
