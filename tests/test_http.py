"""How exchanges end, over real sockets and TLS; ``requests`` in one place and on its best behaviour."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import responses
import urllib3
from tests.desks import SimulatedAcme, raw_server

from handrail import NotDone, Refused, Unsure
from handrail import http as ours
from handrail.http import Http
from handrail.testing import SimulatedDesk
from handrail.wire import Wire

CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBlTCCATugAwIBAgIUMeetCh9xmV0DWLV1t+FC4zkffyowCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMzE1MDUyNFoYDzIxMjYxMDMw
MTUwNTI0WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAQJYoNPoczOtzLgH6hVHZq5rcszW+Udp4FWiPk0FPTY6tIMjw3kD6VU
W0+hR25xx5axsrrk4FsHUYJdRGW4fiIIo2kwZzAdBgNVHQ4EFgQUgcG8SpJbDkIN
Q+Mn/fZoBbPdEC4wHwYDVR0jBBgwFoAUgcG8SpJbDkINQ+Mn/fZoBbPdEC4wDwYD
VR0TAQH/BAUwAwEB/zAUBgNVHREEDTALgglsb2NhbGhvc3QwCgYIKoZIzj0EAwID
SAAwRQIges3jvbasCQOfTvlhIharUsBtI7yxu8RWN+GfOL0bkyICIQC2LCztS/fm
hQbXht5Vn94CnRqbR5KkL2gnd3/NlB6qlQ==
-----END CERTIFICATE-----
"""
KEY = """\
-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIHk99mvAKkW4g7F/2kyi1V4NmD23iWCoj9eDI64tOEkEoAoGCCqGSM49
AwEHoUQDQgAECWKDT6HMzrcy4B+oVR2aua3LM1vlHaeBVoj5NBT02OrSDI8N5A+l
VFtPoUducceWsbK65OBbB1GCXURluH4iCA==
-----END EC PRIVATE KEY-----
"""
"""A certificate of its own signature for localhost, for these tests only."""
GET = Wire("GET", "/v1/groups")


@contextlib.contextmanager
def opened(url: str, **more: Any) -> Iterator[Http]:
    http = Http(url, **{"timeout": 1.0} | more)
    yield http
    http.close()


def sent(url: str, wire: Wire = GET, headers: Any = None, **more: Any) -> Any:
    with opened(url, **more) as http:
        return http.send(wire, headers or {})


def told(*parts: bytes) -> Callable[[socket.socket, bytes], None]:
    """A server that says this, whatever it is asked."""
    return lambda connection, head: [connection.sendall(part) for part in parts] and None


def answered_by(*parts: bytes, **more: Any) -> Any:
    with raw_server(told(*parts)) as port:
        return sent(f"http://127.0.0.1:{port}", **more)


# Whole answers.


def test_a_whole_answer_is_a_reply(acme: SimulatedDesk) -> None:
    reply = sent(acme.url)
    assert (reply.status, reply.json[0]) == (200, {"name": "Support", "id": "1"})
    assert reply.headers["content-type"].startswith("application/json")
    assert reply.found is None


def test_any_status_is_a_reply(acme: SimulatedAcme) -> None:
    acme.fault("status", status=503, body="later")
    assert sent(acme.url).content == b"later"


def test_an_answer_in_chunks_and_compressed_is_read_to_its_end() -> None:
    content = gzip.compress(b'{"a": "' + b"x" * 200_000 + b'"}')
    chunks = [content[n : n + 100] for n in range(0, len(content), 100)]
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert len(answered_by(head, body).json["a"]) == 200_000


def test_an_answer_without_a_length_ends_with_the_connection() -> None:
    assert answered_by(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", b"all").content == b"all"


def test_redirects_are_not_followed(acme: SimulatedAcme) -> None:
    acme.fault("status", status=302, headers={"location": acme.url + "/v1/groups"})
    assert sent(acme.url).status == 302
    assert len(acme.requests) == 1


def test_a_connection_is_used_again(acme: SimulatedAcme) -> None:
    with opened(acme.url) as http:
        for _ in range(5):
            http.send(GET, {})
        (pool,) = http.adapter.poolmanager.pools._container.values()
    assert (pool.num_connections, pool.num_requests) == (1, 5)


def test_cookies_are_not_kept(acme: SimulatedAcme) -> None:
    acme.reply_headers = {"set-cookie": "session=1; Path=/"}
    with opened(acme.url) as http:
        http.send(GET, {})
        http.send(GET, {})
    assert [seen.headers.get("cookie") for seen in acme.requests] == [None, None]


def test_exactly_our_headers_and_bytes_go_out(acme: SimulatedAcme) -> None:
    body = '{"name": "Ann ü"}'.encode()
    wire = Wire("POST", "/v1/people?x=%20a%2Fb&y=1", {"Content-Type": "application/json"}, body)
    sent(acme.url, wire, {"Authorization": "Bearer t"})
    (seen,) = acme.requests
    assert seen.body == body
    assert seen.query == {"x": " a/b", "y": "1"}
    names = {"host", "user-agent", "authorization", "content-type", "content-length", "accept-encoding"}
    assert set(seen.headers) - names <= {"connection"}
    assert seen.headers["authorization"] == "Bearer t"


def test_netrc_is_not_read(acme: SimulatedAcme, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("default login somebody password else\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert requests.get(acme.url, timeout=5).request.headers["authorization"].startswith("Basic")

    sent(acme.url)
    sent(acme.url, headers={"Authorization": "Bearer t"})

    assert [seen.headers.get("authorization") for seen in acme.requests[1:]] == [None, "Bearer t"]


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_this_machine_is_not_reached_by_a_proxy(
    acme: SimulatedAcme, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Plain HTTP is for loopback addresses only: a proxy would see the credentials."""
    for other in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert sent(acme.url).status == 200


def test_a_proxy_that_is_not_there_is_not_done(monkeypatch: pytest.MonkeyPatch) -> None:
    for other in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    with pytest.raises(NotDone, match="proxy"):
        sent("https://desk.invalid")


# Nothing arrived.


def test_a_refused_connection_is_not_done(acme: SimulatedAcme) -> None:
    acme.refuse()
    with pytest.raises(NotDone, match="refused"):
        sent(acme.url)


def test_an_unknown_name_is_not_done() -> None:
    with pytest.raises(NotDone, match="name is unknown"):
        sent("http://desk.invalid")


def test_a_connection_that_nobody_accepts_in_time_is_not_done(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any, **__: Any) -> Any:
        raise TimeoutError("timed out")

    monkeypatch.setattr(urllib3.util.connection, "create_connection", never)
    with pytest.raises(NotDone, match="accept"):
        sent("http://127.0.0.1:9")


def test_an_address_that_is_none_is_a_no() -> None:
    with pytest.raises(Refused, match="InvalidURL"):
        sent("http://127.0.0.1:99999")


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "tökén→"])
def test_a_header_that_cannot_be_sent_is_a_no_and_not_quoted(acme: SimulatedAcme, value: str) -> None:
    with pytest.raises(Refused) as caught:
        sent(acme.url, headers={"Authorization": value})
    assert acme.requests == []
    assert "Evil" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.fixture
def tls(tmp_path: Path) -> Any:
    """A wrapper of TLS for a server's connections, with a certificate that only we know."""
    (tmp_path / "certificate.pem").write_text(CERTIFICATE)
    (tmp_path / "key.pem").write_text(KEY)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")
    return lambda connection: context.wrap_socket(connection, server_side=True)


WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


def test_a_certificate_that_is_not_valid_is_not_done(tls: Any) -> None:
    heads: list[bytes] = []
    with (
        raw_server(lambda connection, head: heads.append(head), tls) as port,
        pytest.raises(NotDone, match="certificate"),
    ):
        sent(f"https://127.0.0.1:{port}")
    assert heads == []


def test_a_certificate_that_is_trusted_is_enough(
    tls: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "certificate.pem"))
    with raw_server(told(WHOLE), tls) as port:
        assert sent(f"https://localhost:{port}").json == {}


def test_a_certificate_for_another_name_is_not_done(
    tls: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "certificate.pem"))
    with raw_server(told(WHOLE), tls) as port, pytest.raises(NotDone, match="certificate"):
        sent(f"https://127.0.0.1:{port}")


def test_a_port_without_tls_is_not_done() -> None:
    """No request leaves before the two sides agree."""

    def speak() -> None:
        with server.accept()[0] as connection:
            connection.recv(1)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=speak)
        thread.start()
        with pytest.raises(NotDone, match="agree on no TLS"):
            sent(f"https://127.0.0.1:{server.getsockname()[1]}")
        thread.join()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_a_server_of_an_old_tls_is_not_done(tmp_path: Path, tls: Any) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    old.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        raw_server(told(WHOLE), lambda each: old.wrap_socket(each, server_side=True)) as port,
        pytest.raises(NotDone, match="agree on no TLS"),
    ):
        sent(f"https://127.0.0.1:{port}")


# It may have happened.


def test_a_record_that_is_wrong_behind_the_handshake_is_unsure(
    tls: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a balancer writes past TLS into the connection is told in the words of a failed handshake."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "certificate.pem"))

    def past_tls(connection: socket.socket, _head: bytes) -> None:
        with socket.socket(fileno=os.dup(connection.fileno())) as bare:
            bare.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")

    with raw_server(past_tls, tls) as port, pytest.raises(Unsure):
        sent(f"https://localhost:{port}")


@pytest.mark.parametrize("kind", ["lose", "reset", "half", "hang"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_whole_answer_is_unsure(acme: SimulatedAcme, kind: Any, method: str) -> None:
    acme.fault(kind)
    with pytest.raises(Unsure):
        sent(acme.url, Wire(method, "/v1/people?name=x", {}, b"{}"), timeout=0.2)
    acme.release()
    assert len(acme.requests) == 1


@pytest.mark.parametrize(
    "parts",
    [
        [b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", b"{}"],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"5\r\nab"],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"2\r\nab\r\n"],
        [b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\n", b"abc"],
        [b"HTTP/1.1 ", b"two hundred\r\n\r\n"],
        [b"\x16\x03\x01 nonsense\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 200 + b"\r\n"],
        [b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000 + b"\r\n\r\n"],
    ],
)
def test_an_answer_that_is_broken_is_unsure(parts: list[bytes]) -> None:
    with pytest.raises(Unsure):
        answered_by(*parts)


def test_half_of_a_compressed_answer_is_unsure() -> None:
    content = gzip.compress(b"x" * 1000)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(content)
    with pytest.raises(Unsure):
        answered_by(head, content[:-12])


def test_an_answer_that_is_too_long_is_unsure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ours, "MAX_REPLY_BYTES", 1000)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n"
    with pytest.raises(Unsure, match="longer than 1,000 bytes"):
        answered_by(head, b"x" * 1001)
    assert len(answered_by(head.replace(b"1001", b"1000"), b"x" * 1000).content) == 1000


def test_a_small_answer_that_grows_when_it_is_unpacked_is_unsure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ours, "MAX_REPLY_BYTES", 100_000)
    content = gzip.compress(b"0" * 10_000_000)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(content)
    with pytest.raises(Unsure, match="longer than"):
        answered_by(head, content)


@pytest.mark.parametrize("head", [b"Content-Length: 100000", b"Transfer-Encoding: chunked"])
def test_an_answer_that_comes_drop_by_drop_ends(monkeypatch: pytest.MonkeyPatch, head: bytes) -> None:
    """Each wait is short enough; it is the whole that takes too long. The time is told, not waited for."""
    drops = threading.Event()
    times = iter(range(1000))
    monkeypatch.setattr(ours.time, "monotonic", lambda: next(times))

    def drip(connection: socket.socket, _: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n")
        with contextlib.suppress(OSError):
            while not drops.wait(0.001):
                connection.sendall(b"1\r\nx\r\n")

    with raw_server(drip) as port, contextlib.ExitStack() as stack:
        stack.callback(drops.set)
        with pytest.raises(Unsure, match="did not end within 3 seconds"):
            sent(f"http://127.0.0.1:{port}")


# What requests raises, one by one.

RAISED = [
    (requests.exceptions.ConnectTimeout(), NotDone),
    (requests.exceptions.ReadTimeout(), Unsure),
    (requests.exceptions.ProxyError(), NotDone),
    (requests.exceptions.SSLError(ssl.SSLCertVerificationError("no")), NotDone),
    (requests.exceptions.SSLError("handshake"), Unsure),
    (requests.exceptions.ConnectionError(), Unsure),
    (requests.exceptions.ConnectionError(urllib3.exceptions.ProtocolError("aborted")), Unsure),
    (requests.exceptions.ChunkedEncodingError(), Unsure),
    (requests.exceptions.ContentDecodingError(), Unsure),
    (requests.exceptions.InvalidURL("secret"), Refused),
    (requests.exceptions.InvalidHeader("secret"), Refused),
    (requests.exceptions.MissingSchema("secret"), Refused),
    (requests.exceptions.RequestException("secret"), Unsure),
]


@pytest.mark.parametrize(("error", "ending"), RAISED)
def test_what_requests_raises_means(error: Exception, ending: type) -> None:
    with responses.RequestsMock() as mock:
        mock.get("http://127.0.0.1:9/v1/groups", body=error)
        with pytest.raises(ending) as caught:
            sent("http://127.0.0.1:9")
    assert type(caught.value) is ending
    assert "secret" not in str(caught.value)


def test_no_error_names_an_address_or_a_header(acme: SimulatedAcme) -> None:
    acme.fault("lose")
    with pytest.raises(Unsure) as caught:
        sent(acme.url, Wire("GET", "/v1/groups?token=in-the-query"), {"Authorization": "Bearer in-a-header"})
    shown = json.dumps([str(caught.value), repr(caught.value), str(caught.value.__cause__)])
    assert "in-the-query" not in shown
    assert "in-a-header" not in shown
    assert "127.0.0.1" not in shown
