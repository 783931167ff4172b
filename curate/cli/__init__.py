"""The command line: the only place that prints."""

from curate.cli.app import main

__all__ = ["main"]
