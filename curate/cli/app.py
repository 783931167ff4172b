"""The `curate` command: its subcommands, and what becomes of errors."""

from __future__ import annotations

import io
import os
import signal
import sys
from types import TracebackType
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from curate import __version__, environment, startup
from curate.errors import CurateError, StorageError


class _ByName(TyperGroup):
    """Commands as one looks for them: Typer has them in the order in which files happen to be imported."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx))


app = typer.Typer(
    name="curate",
    cls=_ByName,
    help="Textbook-quality data for small language models: score, generate, prove, deduplicate, decontaminate, pack.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def examples(*lines: str, after: str = "") -> str:
    """The end of a command's help: examples, then a sentence."""
    # A backspace tells click to leave the lines of a paragraph as they are.
    return "\n".join(("\b", "Examples:", *(f"  {line}" for line in lines))) + (f"\n\n{after}" if after else "")


JSON = Annotated[bool, typer.Option("--json", help="Print JSON for a script instead of tables for a person.")]


def _version(wanted: bool) -> None:
    if wanted:
        print(f"curate {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[  # noqa: ARG001 - its callback has printed it
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    plugin: Annotated[
        list[str] | None,
        typer.Option("--plugin", help="Load the stages of this installed distribution; may be given several times."),
    ] = None,
) -> None:
    """Textbook-quality data for small language models."""
    if plugin:
        from curate.stages.plugins import load_plugin

        for name in plugin:
            load_plugin(name)


def commands() -> None:
    """Import every command, which registers it."""
    from curate.cli import (  # noqa: F401
        audit,
        benchmarks,
        calibrate,
        cancel,
        check,
        copy,
        diff,
        diversity,
        explain,
        export,
        gc,
        inspect,
        ledger,
        logs,
        plan,
        push,
        recipes,
        run,
        score,
        stages,
        status,
        takedown,
        tokenizer,
        train,
        verify,
    )


def _interrupted(number: int, _frame: object) -> NoReturn:
    print("\ncurate: interrupted; run the same command again to go on from what is committed", file=sys.stderr)
    # SystemExit, so that files, bars, workers and servers are closed on the way out.
    sys.exit(128 + number)


def main() -> None:
    """Run the command line; a user's mistake is one line on stderr and its exit code, never a traceback."""
    # Before anything else: what reads text of strangers, and every child process, finds no key in the environment.
    environment.withhold()
    # Nor does any Python that is started from here, a worker or a helper of its, load a module of the folder that it is run in.
    os.environ["PYTHONSAFEPATH"] = "1"
    startup.prepare()
    sys.excepthook = _unexpected
    commands()
    # A character that this terminal or file has no bytes for is written as an escape: no reason to lose a run's end.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # Typer would turn Ctrl-C into "Aborted!"; a run that goes on later deserves a better word.
    signal.signal(signal.SIGINT, _interrupted)
    try:
        app(standalone_mode=True)
    except CurateError as error:
        _say(str(error))
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # `curate inspect | head` is no error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        # A file that a user named can't be read or written; without a name it is no user's mistake.
        if error.filename is None:
            raise
        _say(f"{error.filename}: {(error.strerror or str(error)).lower()}; check the path and its permissions")
        sys.exit(StorageError.exit_code)


def say_now(message: str) -> None:
    """A line on stderr from a signal's handler: between two instructions, perhaps of a print, no stream can be used."""
    os.write(2, f"curate: {message}\n".encode())


def _say(message: str) -> None:
    from curate.report.plain import one_line

    # Names of files and fields, of whoever made them, are in it: no byte of them may reach the terminal as a command.
    print(f"curate: {one_line(environment.redacted(message), 4000)}", file=sys.stderr)


def _unexpected(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A mistake of ours: the traceback helps whoever reads its report, and may be sent to strangers."""
    import traceback

    from curate.report.plain import escaped

    said = "".join(traceback.format_exception(kind, error, trace))
    print(escaped(environment.redacted(said)), end="", file=sys.stderr)
