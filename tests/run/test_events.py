"""The record of a run: lines that nothing breaks, in files that do not grow without end, and that no run waits for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from curate.errors import StorageError
from curate.run import events
from curate.run.events import FOLDER, Events, Trail, last_lines, lines_from, read_event, trail
from curate.store.files import Store


def told(store: Store) -> list[dict[str, object]]:
    return [event for _, line in lines_from(store, FOLDER) if (event := read_event(line)) is not None]


@pytest.fixture(params=["disk", "objects"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store(tmp_path) if request.param == "disk" else Store(f"memory://{tmp_path.name}/run")


def test_hostile_text_is_a_line_of_plain_characters(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Line ends, escapes, marks that turn text, half characters: one line of ASCII each; keys are blotted out."""
    monkeypatch.setattr("curate.environment._held", {"SOME_KEY": "sk-0123456789"})
    said = "a\nb\r\x1b]0;title\x07\x9b31m\u202eevil\u2028\x7f\udc80"
    seen = Events(store)
    seen.note(said)
    seen.event("retry", task="s3://user:password@host/x?X-Amz-Signature=abc sk-0123456789", how="Task")
    seen.flush()
    data = b"".join(store.read(key) or b"" for _, key in trail(store, FOLDER))
    assert data.count(b"\n") == 2
    assert all(0x20 <= byte < 0x7F or byte == 0x0A for byte in data)
    first, second = told(store)
    assert first["text"] == said
    assert "password" not in str(second)
    assert "sk-0123456789" not in str(second)


def test_keys_go_out_of_texts_and_out_of_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a key is made of: names of fields, numbers, and the words by which programs tell events stay."""
    keys = ("worker", "123456", "finished", 'quo"te\\d', "schlüssel")
    monkeypatch.setattr("curate.environment._held", {f"PASSWORD_{n}": key for n, key in enumerate(keys)})
    told = {"event": "workers", "workers": 1, "bytes": 1234567, "outcome": "finished", "share": 0.123456, "none": None}
    said = {"text": " ".join(keys), "argv": ["--say", "=123456"], "by_model": {"worker": {"text": "a worker"}}}
    value = json.loads(events.plain_json({**told, **said, "path": Path("/x/schlüssel")}))
    assert {name: value[name] for name in told} == told
    assert value["text"] == "*** *** *** *** ***"
    assert value["argv"] == ["--say", "=***"]
    assert value["by_model"] == {"worker": {"text": "a ***"}}
    assert value["path"] == "/x/***"


def test_files_are_many_small_ones_and_the_oldest_go(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounded in all; a reader goes on where it was; the last lines are read from the end."""
    monkeypatch.setattr(events, "FILE_BYTES", 1000)
    monkeypatch.setattr(events, "OBJECT_BYTES", 1000)
    monkeypatch.setattr(events, "MOST_BYTES", 5000)
    written = Trail(store, "events", "jsonl")
    for number in range(200):
        written.write(f'{{"event": "note", "n": {number:04d}}}\n'.encode())
    there = trail(store, "events")
    assert 3 <= len(there) <= 6
    assert sum(entry.size for entry in store.list("events")) <= 6 * 1100
    lines, place = last_lines(store, "events", 3)
    assert [int(line[-6:-2]) for line in lines] == [197, 198, 199]
    assert list(lines_from(store, "events", place)) == []
    written.write(b'{"event": "note", "n": 0200}\n')
    assert [line for _, line in lines_from(store, "events", place)] == [b'{"event": "note", "n": 0200}\n']


def test_a_carriage_return_ends_no_line(store: Store) -> None:
    """As a progress bar prints them: who follows goes on behind it."""
    written = Trail(store, "logs", "log")
    written.write(b"10 %\r20 %\r\ndone\n")
    assert last_lines(store, "logs", 2)[0] == [b"10 %\r20 %\r\n", b"done\n"]
    assert [line for _, line in lines_from(store, "logs")] == [b"10 %\r20 %\r\n", b"done\n"]


def test_what_could_not_be_put_is_not_put_with_what_follows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Who writes may give it again: it is not there twice."""
    store = Store(f"memory://{tmp_path.name}/run")
    written = Trail(store, "logs", "log")
    written.write(b"one\n")

    def away(*_: object) -> None:
        raise StorageError("is away", place="there")

    with monkeypatch.context() as broken:
        broken.setattr(Store, "replace", away)
        with pytest.raises(StorageError):
            written.write(b"two\n")
    written.write(b"two\n")
    assert [line for _, line in lines_from(store, "logs")] == [b"one\n", b"two\n"]


def test_half_a_line_is_passed_over_and_never_written_on(tmp_path: Path) -> None:
    """What a power cut left stays as it is; the next driver begins another file."""
    store = Store(tmp_path)
    Trail(store, "events", "jsonl").write(b'{"event": "begin"}\n{"event": "no')
    after = Events(store)
    after.note("on we go")
    after.flush()
    assert len(trail(store, "events")) == 2
    assert [event["event"] for event in told(store)] == ["begin", "note"]
    store.path(trail(store, "events")[0][1]).write_bytes(b"\xff\x00[]\n17\n{}\n")
    assert [event["event"] for event in told(store)] == ["note"]


def test_a_store_that_is_away_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be written is counted, and said later."""
    store, seen = Store(tmp_path), None
    seen = Events(store)

    def away(self: Trail, data: bytes) -> None:
        raise StorageError("is away", place="there")

    with monkeypatch.context() as broken:
        broken.setattr(Trail, "write", away)
        seen.note("one")
        seen.note("two")
        seen.flush()
    seen.note("three")
    seen.flush()
    assert [(event["event"], event.get("text"), event.get("lines")) for event in told(store)] == [
        ("note", "three", None),
        ("lost", None, 2),
    ]
    json.dumps(told(store))


def test_who_came_and_who_went_is_said_where_somebody_did() -> None:
    """No empty lists of workers."""
    from curate.cli.status import event_line

    event = {"at": "2026-11-28T00:30:12.000Z", "event": "workers", "workers": 2, "threads": 2}
    assert event_line({**event, "joined": ["tcp://a:1", "tcp://b:1"], "lost": []}) == (
        "00:30:12 workers: 2; came: tcp://a:1, tcp://b:1"
    )
    assert event_line({**event, "joined": [], "lost": ["tcp://a:1"]}) == "00:30:12 workers: 2; went: tcp://a:1"
