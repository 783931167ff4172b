"""Fixtures for all tests. This folder is on the path, so that tests share the helpers that lie beside this file."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from curate.startup import YOUNG

# The collector would walk through all tests and all that they import every few milliseconds: a tenth of the time.
gc.set_threshold(YOUNG, 20, 100)
# How long an example takes says how busy the machine is, and compiles a kernel the first time.
settings.register_profile("any machine", max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
# Some hundred processes are started: each would compile all modules of curate anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first: a run that compiles its kernels takes two minutes, which at the end nobody else would fill."""
    items.sort(key=lambda item: item.path.name != "test_phi_1_mini.py")


@pytest.fixture(scope="session", autouse=True)
def _benchmarks(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Indexes of benchmarks are made in a folder of the tests', here and in all that they start."""
    os.environ["CURATE_BENCHMARKS"] = str(tmp_path_factory.mktemp("benchmarks"))


@pytest.fixture(scope="session")
def curate() -> Iterator:
    """The command line: ``curate("run", recipe, ...)`` is a real process (see command.py)."""
    from command import Curate

    command = Curate()
    yield command
    command.close()


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with about 2 MB of prose and code in five containers (see corpus.py); read only."""
    from corpus import write_corpus

    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory, curate) -> Path:
    """The folder of a finished run with planted documents (see small_run.py); read only."""
    from small_run import write_run

    folder = tmp_path_factory.mktemp("small")
    curate.run(write_run(folder), folder / "run").ok()
    return folder / "run"


@pytest.fixture(scope="session")
def s3_server() -> Iterator:
    """A real S3 server on loopback, in a process of its own (see object_store.py)."""
    from object_store import S3Server

    with S3Server() as server:
        yield server


@pytest.fixture
def s3(s3_server, monkeypatch: pytest.MonkeyPatch) -> Iterator:
    """A proxy before the server, with a ``bucket`` of its own; this process and its children find it by the environment."""
    from object_store import Proxy, settings

    with Proxy(s3_server.url) as proxy:
        proxy.bucket = s3_server.new_bucket()
        monkeypatch.delenv("AWS_PROFILE", raising=False)
        for name, value in settings(proxy.url).items():
            monkeypatch.setenv(name, value)
        yield proxy
        if "s3fs" in sys.modules:
            # Connections to a proxy that is no more.
            sys.modules["s3fs"].S3FileSystem.clear_instance_cache()


@pytest.fixture(scope="session")
def google_server() -> Iterator:
    """A Google Cloud Storage server on loopback, in a process of its own (see google_store.py)."""
    from google_store import GoogleServer

    with GoogleServer() as server:
        yield server


@pytest.fixture
def google(google_server, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket of its own on that server; this process and its children find it by the environment."""
    for name, value in google_server.environment().items():
        monkeypatch.setenv(name, value)
    return google_server.new_bucket()
