"""The S3 server and the proxy that other tests stand on: If-None-Match holds, and each fault does what it says."""

from __future__ import annotations

import http.client
import threading

import pytest
from object_store import Fault, Proxy, S3Server, request


def test_only_one_put_if_absent_wins(s3: Proxy) -> None:
    """Ten writers at once, each with other bytes: one wins, nine are told so, and the winner's bytes stay."""
    import s3fs

    fs, won, lost = s3fs.S3FileSystem(), list[int](), list[int]()

    def put(number: int) -> None:
        try:
            fs.pipe_file(f"{s3.bucket}/r.json", b"%d" % number, mode="create")
            won.append(number)
        except FileExistsError:
            lost.append(number)

    threads = [threading.Thread(target=put, args=(n,)) for n in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert len(lost) == 9
    assert fs.cat_file(f"{s3.bucket}/r.json") == b"%d" % won[0]


@pytest.mark.parametrize("kind", ["drop_before", "drop_after"])
def test_cut_connections(s3: Proxy, s3_server: S3Server, kind: str) -> None:
    """A connection is cut once; only what was dropped afterwards was done."""
    fault, key = s3.add(Fault(kind, first=1, methods=("PUT",))), f"/{s3.bucket}/made"
    with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
        request(s3.url, "PUT", key, b"y")
    assert fault.hits == 1
    assert s3_server.request("GET", key)[0] == (200 if kind == "drop_after" else 404)
    assert request(s3.url, "PUT", key, b"z")[0] == 200
    assert request(s3.url, "GET", key) == (200, b"z")


def test_throttling_and_half_an_answer(s3: Proxy) -> None:
    """503 SlowDown to as many as it says, to nothing else; half of a body, once."""
    key, other = f"/{s3.bucket}/slow", f"/{s3.bucket}/other"
    s3.add(Fault("slow_down", first=2, contains="slow"))
    answers = [request(s3.url, "PUT", at, b"x" * 1000) for at in (key, other, key, key)]
    assert [status for status, _ in answers] == [503, 200, 503, 200]
    assert b"SlowDown" in answers[0][1]
    s3.add(Fault("cut", first=1, methods=("GET",)))
    with pytest.raises(http.client.IncompleteRead):
        request(s3.url, "GET", key)
    assert request(s3.url, "GET", key) == (200, b"x" * 1000)


def test_share_is_drawn_by_seed(s3_server: S3Server) -> None:
    """A share of the requests is hit: the same ones for the same seed."""
    drawn = []
    for seed in (1, 1, 2):
        with Proxy(s3_server.url, seed=seed) as proxy:
            proxy.add(Fault("slow_down", share=0.3))
            drawn.append([bool(proxy.chosen("GET", "/")) for _ in range(200)])
    assert drawn[0] == drawn[1] != drawn[2]
    assert 30 < sum(drawn[0]) < 90


def test_gone(s3: Proxy) -> None:
    """While the server is gone nothing gets through; then it is there again."""
    with s3.gone():
        with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
            request(s3.url, "PUT", f"/{s3.bucket}/a", b"1")
        assert s3.requests[-1].status == 0
    assert request(s3.url, "PUT", f"/{s3.bucket}/a", b"1")[0] == 200
    assert s3.count("PUT", "/a") == 2
