"""Keys leave the environment before any child starts, and stand in nothing that is written or shown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from command import Curate
from recipes import step, write
from small_run import prose

from curate import environment, wheels
from curate.environment import STORAGE, bare, client, is_secret, redacted, secret, withhold
from curate.errors import CurateError, EndpointError
from curate.llm.client import Client
from curate.llm.local import LocalServer
from curate.llm.model import Model
from curate.quality.fasttext_train import FastTextSettings, train_fasttext
from curate.quality.text_form import TextForm
from curate.sandbox.runner import Program, Sandbox
from curate.stages import package_archives

SECRETS = {
    "OPENAI_API_KEY": "sk-1234567890abcdef",
    "ANTHROPIC_API_KEY": "x",
    "GOOGLE_API_KEY": "x",
    "GITHUB_TOKEN": "ghp_x",
    "AWS_BEARER_TOKEN_BEDROCK": "x",
    "SOME_SECRET": "x",
    "DB_PASSWORD": "x",
    "WANDB_API_KEY_2": "x",
    "DATABASE_URL": "postgres://me:pass-word@host/db",
    "MY_CREDENTIALS": '{"private_key": "x"}',
    "BIG_TOKEN": "/" + "a" * 5000,
}
ORDINARY = {
    "PATH": "/bin",
    "TOKENIZERS_PARALLELISM": "false",
    "KEYBOARD": "us",
    "NUMBA_CACHE_DIR": "/tmp",
    "OPENAI_API_KEY_FILE": "/run/secrets/key",
    "HTTPS_PROXY": "http://me:word@proxy:3128",
    "PIP_INDEX_URL": "https://me:word@index/simple",
    "DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY": "/etc/dask/key.pem",
    "MY_TLS_KEY": "/etc/passwd",
    "LS_COLORS": "rs=0:di=01;34",
    "FSSPEC_S3_SECRET": "x",
}


@pytest.fixture(autouse=True)
def _own_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that one test withholds is known to the next."""
    monkeypatch.setattr(environment, "_held", {})


def test_secrets_are_known_by_name_or_by_a_password_in_an_address() -> None:
    """Keys, tokens, passwords; not the stores' own credentials, settings, paths, proxies and indexes."""
    assert [name for name, value in SECRETS.items() if not is_secret(name, value)] == []
    assert [name for name, value in (ORDINARY | dict.fromkeys(STORAGE, "x")).items() if is_secret(name, value)] == []


def test_what_is_withheld_is_in_memory_alone() -> None:
    """A real process: nothing is left in its environment, where the kernel shows it, in a child, or in a core file."""
    code = """
import os, resource, subprocess, sys
from pathlib import Path
from curate.environment import bare, secret, withhold
withhold(["ODDLY_NAMED"])
withhold()
raw = Path("/proc/self/environ").read_bytes() if sys.platform == "linux" else b""
child = subprocess.run([sys.executable, "-c", "import os; print(dict(os.environ))"], capture_output=True, text=True)
for name, value in (("OPENAI_API_KEY", "sk-1234567890abcdef"), ("ODDLY_NAMED", "hunter2hunter2")):
    assert secret(name) == value
    assert name not in os.environ and value.encode() not in raw and value not in child.stdout
assert os.environ["AWS_SECRET_ACCESS_KEY"] == "storage-1" and b"storage-1" in raw
assert "AWS_SECRET_ACCESS_KEY" in child.stdout and "AWS_SECRET_ACCESS_KEY" not in bare()
assert resource.getrlimit(resource.RLIMIT_CORE)[0] == 0
"""
    own = {"ODDLY_NAMED": "hunter2hunter2", "AWS_SECRET_ACCESS_KEY": "storage-1"}
    subprocess.run([sys.executable, "-c", code], env={**os.environ, **SECRETS, **own}, check=True, timeout=60)


def test_children_get_what_they_need_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trainer and the local server no credential at all; a registry's client only those of its registry."""
    everything = SECRETS | ORDINARY | dict.fromkeys(STORAGE, "x")
    for name, value in everything.items():
        monkeypatch.setenv(name, value)
    assert set(bare()) & set(everything) == {"PATH"}
    assert set(client()) & set(everything) == {"PATH", "PIP_INDEX_URL", "HTTPS_PROXY"}


def test_every_child_gets_an_environment_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The trainer, the local server, the sandbox, pip twice: started in earnest, with a Python that writes down what it got."""
    seen, python = tmp_path / "seen", tmp_path / "python"
    python.write_text(f"#!/bin/sh\n/usr/bin/env >> {seen}\nexit 1\n")
    python.chmod(0o755)
    (tmp_path / "x.gguf").write_bytes(b"GGUF....")
    monkeypatch.setattr(sys, "executable", str(python))
    for name in (*SECRETS, *STORAGE):
        monkeypatch.setenv(name, f"secret-{name}")
    monkeypatch.setenv("ORDINARY", "ordinary")
    text = pa.array(["one two", "three four"] * 4, pa.large_string())
    starts: dict[str, Callable[[], object]] = {
        "trainer": lambda: train_fasttext(
            text, [1, 0] * 4, FastTextSettings(bucket=0, word_ngrams=1), TextForm(), tmp_path / "m"
        ),
        "server": LocalServer(Model(model="mine", weights=str(tmp_path / "x.gguf")), log=tmp_path / "log").__enter__,
        "sandbox": lambda: Sandbox().run(Program("")),
        "pip's index": package_archives.package_index,
        "pip's download": lambda: wheels.download("demo==1", tmp_path),
    }
    for name, start in starts.items():
        with pytest.raises((CurateError, ValueError)):
            start()
        got = seen.read_text()
        assert "PWD=" in got, name  # the shell's own
        assert "secret-" not in got and "ordinary" not in got, name
        seen.unlink()


def test_a_key_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """NAME_FILE names it; a variable goes first; a file that can't be read is said, with no byte of it."""
    monkeypatch.delenv("TEACHER_KEY", raising=False)
    (tmp_path / "key").write_text("sk-from-a-file\n")
    monkeypatch.setenv("TEACHER_KEY_FILE", str(tmp_path / "key"))
    assert secret("TEACHER_KEY") == "sk-from-a-file"
    assert redacted("it is sk-from-a-file") == "it is ***"
    for path, why in ((tmp_path / "none", "No such file"), (tmp_path, "Is a directory")):
        monkeypatch.setenv("OTHER_KEY_FILE", str(path))
        with pytest.raises(EndpointError, match=why):
            secret("OTHER_KEY")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00secret")
    monkeypatch.setenv("OTHER_KEY_FILE", str(tmp_path / "binary"))
    with pytest.raises(EndpointError, match="it is no text") as caught:
        secret("OTHER_KEY")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("sk-1234567890abcdef failed", "*** failed"),
        ("https://me:word@host/v1", "https://***@host/v1"),
        ("s3://key:secret@bucket/x", "s3://***@bucket/x"),
        ("https://token@host/", "https://***@host/"),
        ("bad address 'me:word@host:9'", "bad address '***@host:9'"),
        ("pages.jsonl#@1234: too large", "pages.jsonl#@1234: too large"),
        ("https://b/o?X-Amz-Credential=AK%2F1&X-Amz-Signature=abc&part=2", "https://b/o?X-Amz-Credential=***&X-Amz-Signature=***&part=2"),
        ("https://b/o?sv=1&sig=ab%3D", "https://b/o?sv=1&sig=***"),
        ("mail me@host or see https://host/a@b", "mail me@host or see https://host/a@b"),
        ("step 'value.score' at 0.5", "step 'value.score' at 0.5"),
    ],
)  # fmt: skip
def test_what_is_shown_has_no_key_in_it(monkeypatch: pytest.MonkeyPatch, text: str, shown: str) -> None:
    """Withheld values, users and passwords of addresses, signatures of presigned ones."""
    monkeypatch.setenv("OPENAI_API_KEY", SECRETS["OPENAI_API_KEY"])
    monkeypatch.setenv("SHORT_KEY", "at")
    withhold()
    assert redacted(text) == shown


def test_arguments_with_a_key_are_not_kept(curate: Curate, tmp_path: Path) -> None:
    """run.json has the command line and the error: neither shows what stands before an address's @, or a key."""
    (tmp_path / "docs.jsonl").write_text(json.dumps({"text": prose(1)}))
    recipe = write(tmp_path / "r.yaml", [step("docs", "read.jsonl", paths=["docs.jsonl"]), step("out", "write.text")])
    key, word = "sk-of-the-command-line", "swordfish"
    done = curate(
        *("run", recipe, "--store", tmp_path / "run", "--cluster", f"carrier-pigeon://{key}:{word}@127.0.0.1:9"),
        env={"SOME_API_KEY": key},
    )
    assert done.code == 4
    run = (tmp_path / "run" / "run.json").read_text()
    assert "carrier-pigeon://***@127.0.0.1:9" in run
    assert key not in run + done.err + done.out and word not in run + done.err + done.out


def test_an_address_of_an_input_holds_no_key(curate: Curate, tmp_path: Path) -> None:
    """It would be part of names and origins: refused, and not shown."""
    steps = [step("docs", "read.jsonl", paths=["s3://AKIAME:swordfish@bucket/docs.jsonl"]), step("out", "write.text")]
    done = curate("run", write(tmp_path / "r.yaml", steps), "--store", tmp_path / "run", "--workers", 0)
    assert done.code == 3 and "s3://***@bucket/docs.jsonl: an address holds no user and no key" in done.line
    assert "swordfish" not in done.err + done.out + (tmp_path / "run" / "run.json").read_text()


def test_a_mistake_of_ours_shows_no_key(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The traceback of an error that nobody foresaw may be sent to strangers."""
    from curate.cli import app

    monkeypatch.setenv("OPENAI_API_KEY", SECRETS["OPENAI_API_KEY"])
    withhold()
    error = RuntimeError(f"with {SECRETS['OPENAI_API_KEY']}")
    app._unexpected(type(error), error, error.__traceback__)
    said = capsys.readouterr().err
    assert "RuntimeError: with ***" in said and SECRETS["OPENAI_API_KEY"] not in said


@pytest.mark.parametrize("name", ["sk-proj-a1/b2+c3", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN"])
def test_a_recipe_names_no_key_and_no_stores_credential(curate: Curate, tmp_path: Path, name: str) -> None:
    """A key that was pasted is not echoed; a recipe of a stranger can't send the cloud's keys to an endpoint of his."""
    models = {"writer": {"model": "m", "base_url": "https://example.org/v1", "key_env": name}}
    recipe = write(tmp_path / "r.yaml", [step("docs", "read.jsonl", paths=["docs.jsonl"])], models=models)
    done = curate("plan", recipe)
    assert done.code == 2
    assert ("never the key itself" in done.line) == name.startswith("sk-")
    assert name.startswith("sk-") != (name in done.line)


def test_the_users_account_is_told_to_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """OPENAI_ORG_ID, OPENAI_PROJECT_ID and OPENAI_CUSTOM_HEADERS go to OpenAI, or to whom OPENAI_BASE_URL names."""
    monkeypatch.setenv("OPENAI_ORG_ID", "org-mine")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-mine")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Gateway: mine")

    def told(url: str) -> list[int]:
        client = Client(Model(model="m", base_url=url, concurrency=40), url)
        return [str(dict(pool.api.default_headers)).count("mine") for pool in client._pools]

    assert told("https://api.openai.com/v1") == [3, 3, 3]
    for url in ("https://elsewhere.example/v1", "http://127.0.0.1:8000/v1"):
        assert told(url) == [0, 0, 0]
    monkeypatch.setenv("OPENAI_BASE_URL", "https://elsewhere.example/v1")
    assert told("https://elsewhere.example/v1") == [3, 3, 3]
    assert os.environ["OPENAI_ORG_ID"] == "org-mine"
