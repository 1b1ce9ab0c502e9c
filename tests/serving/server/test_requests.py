import asyncio
import gzip

import pytest
from starlette.requests import Request

from ikelos.serving.server import requests
from ikelos.serving.server.errors import RequestError
from ikelos.serving.server.requests import check_origin, read_body, uncompressed


def request(messages=(), **headers):
    left = iter(messages)

    async def receive():
        message = next(left)
        await asyncio.sleep(message.pop("wait", 0))
        return {"type": "http.request", "more_body": False} | message

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "headers": raw}, receive)


def read(*messages, max_bytes=10, **headers):
    sent = request(messages, **headers)
    return uncompressed(sent, asyncio.run(read_body(sent, max_bytes)), max_bytes)


def test_a_body_in_parts():
    assert read({"body": b"01234", "more_body": True}, {"body": b"56789"}) == b"0123456789"


def test_a_body_that_is_too_long_is_read_to_its_end():
    last = {"body": b"x"}
    with pytest.raises(RequestError, match=r"must have at most 10 bytes\. Received: at least 41 bytes") as raised:
        read(*[{"body": b"0" * 10, "more_body": True}] * 4, last)
    assert raised.value.http_status == 413


def test_a_compressed_body():
    zipped = gzip.compress(b"0123456789", mtime=0)
    compressed = {"content-encoding": "gzip", "max_bytes": len(zipped)}
    assert read({"body": zipped}, **compressed) == b"0123456789"
    for body, received in [(zipped[:-9], "a part of it"), (b"01", "Error"), (b"", "a part of it")]:
        with pytest.raises(RequestError, match=f"one complete gzip stream, .* Received: {received}"):
            read({"body": body}, **compressed)


@pytest.mark.parametrize("more", [gzip.compress(b"56789", mtime=0), b"56789"], ids=["gzip", "text"])
def test_data_behind_a_compressed_body_is_refused(more):
    with pytest.raises(RequestError, match=r"one complete gzip stream, .* Received: data behind it"):
        read({"body": gzip.compress(b"01234", mtime=0) + more}, **{"content-encoding": "gzip", "max_bytes": 100})


def test_a_small_body_that_is_large_when_it_is_uncompressed():
    zipped = gzip.compress(bytes(10_000), mtime=0)
    with pytest.raises(RequestError, match="at most 100 bytes") as raised:
        read({"body": zipped}, **{"content-encoding": "gzip", "max_bytes": 100})
    assert raised.value.http_status == 413


def test_a_body_that_does_not_come(monkeypatch):
    monkeypatch.setattr(requests, "_SECONDS", 0.05)
    with pytest.raises(RequestError, match=r"must come within 0\.05 s") as raised:
        read({"body": b"0", "more_body": True}, {"body": b"1", "wait": 60})
    assert raised.value.http_status == 408


def test_a_client_that_is_gone():
    with pytest.raises(RequestError) as raised:
        read({"body": b"0", "more_body": True}, {"type": "http.disconnect"})
    assert raised.value.http_status == 499


def test_an_open_server_may_have_any_name():
    check_origin(request(host="models.example"), "0.0.0.0")
    check_origin(request(host="models.example", origin="http://models.example"), "0.0.0.0")
    check_origin(request(), "127.0.0.1")  # HTTP/1.0 has no Host
    with pytest.raises(RequestError, match="Origin: http://evil"):
        check_origin(request(host="models.example", origin="http://evil.example"), "0.0.0.0")
