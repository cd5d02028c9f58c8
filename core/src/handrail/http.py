"""The one file that knows ``requests``: sends exact bytes and says how the exchange ended.

Done is a ``Reply`` that was read to its end. ``NotDone`` means that certainly nothing arrived, ``Unsure``
that something may have. Redirects are never followed, ``.netrc`` and cookies never used; proxies of the
environment (``HTTPS_PROXY``, as it is at the first request) are, but not on the way to this machine itself.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from traceback import walk_tb
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3.exceptions
from requests.adapters import HTTPAdapter
from urllib3.exceptions import MaxRetryError, NewConnectionError

from handrail.errors import NotDone, Refused, Unsure
from handrail.steps import Reply
from handrail.wire import Wire, is_loopback

MAX_REPLY_BYTES = 20_000_000
CONNECT_SECONDS = 10.0


class Http:
    """Connections to one desk (or subscriber), kept open between requests. Safe to use from many threads."""

    def __init__(
        self, base_url: str, *, timeout: float = 20.0, connections: int = 8, peer: str = "the desk"
    ) -> None:
        """``timeout`` in seconds: for the wait between two reads, and thrice that for the whole answer.

        ``peer`` is who answers, in messages to people.
        """
        self.base_url = base_url
        self.peer = peer
        self.timeout = timeout
        self._is_here = is_loopback(urlsplit(base_url).hostname)
        self.adapter = HTTPAdapter(pool_connections=1, pool_maxsize=connections, max_retries=0)

    def close(self) -> None:
        self.adapter.close()

    def watch(self, ring: Callable[[], None], stop: threading.Event) -> None:
        """Over HTTP a desk calls us, by webhooks: there is nothing to listen to."""

    def send(self, wire: Wire, headers: Mapping[str, str]) -> Reply:
        """One exchange. ``headers`` hold the credentials and are not remembered anywhere."""
        try:
            request = requests.Request(
                wire.method,
                wire.path if wire.path.startswith("https://") else self.base_url + wire.path,
                data=wire.body or None,
                headers={"Accept-Encoding": "gzip, deflate", **headers, **wire.headers},
                auth=_as_it_is,
            )
            prepared = request.prepare()
            ways = self._ways(prepared.url) if wire.path.startswith("https://") else self._way
            answer = self.adapter.send(
                prepared, timeout=(min(CONNECT_SECONDS, self.timeout), self.timeout), **ways
            )
            with answer:
                return Reply(
                    answer.status_code, self._read(answer), {k.lower(): v for k, v in answer.headers.items()}
                )
        except requests.RequestException as error:
            raise _outcome(error, self.peer) from None
        except UnicodeError:  # raised before a byte goes out; its own words would quote the header
            raise Refused("the request cannot be sent: a header has characters outside of Latin-1") from None

    @cached_property
    def _way(self) -> dict[str, Any]:
        """``_ways`` to the desk itself: to read the environment costs more than to send a request."""
        return self._ways(self.base_url)

    def _ways(self, url: str | None) -> dict[str, Any]:
        """What the environment says of an address: proxies, and certificates to trust."""
        proxies = _no_proxies() if self._is_here else {}
        return dict(requests.Session().merge_environment_settings(url, proxies, True, None, None))

    def _read(self, answer: requests.Response) -> bytes:
        deadline = time.monotonic() + 3 * self.timeout
        parts, size = [], 0
        for part in _arriving(answer):
            parts.append(part)
            size += len(part)
            if size > MAX_REPLY_BYTES:
                raise Unsure(f"{self.peer}'s answer is longer than {MAX_REPLY_BYTES:,} bytes")
            if time.monotonic() > deadline:
                raise Unsure(f"{self.peer}'s answer did not end within {3 * self.timeout:.0f} seconds")
        return b"".join(parts)


def _no_proxies() -> dict[str, Any]:
    """What makes requests leave out the proxies that the environment names."""
    return {"http": None, "https": None, "all": None}


def _arriving(answer: requests.Response) -> Iterator[bytes]:
    """The content in the pieces in which it comes; ``iter_content`` would wait until a piece is full."""
    try:
        while part := answer.raw.read1(65536, decode_content=True):
            yield part
    except urllib3.exceptions.HTTPError as error:
        raise requests.exceptions.ConnectionError(error) from None


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Without an ``auth`` of our own, requests would put credentials from the address over ours."""
    return request


_BEFORE_SENDING = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidHeader,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
)


def _outcome(error: requests.RequestException, peer: str) -> NotDone | Unsure | Refused:
    """How an exchange ended that brought no whole answer. The message names no address and no header."""
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return NotDone(f"{peer} did not accept the connection in time")
    if isinstance(error, requests.exceptions.SSLError) and _caused_by(error, ssl.SSLCertVerificationError):
        return NotDone(f"{peer}'s TLS certificate is not valid; nothing was sent")
    if any(map(_is_of_handshake, _causes(error))):
        return NotDone(f"{peer} and we agree on no TLS; nothing was sent: look at url and its port")
    if isinstance(error, requests.exceptions.ProxyError):
        return NotDone(f"the proxy did not connect to {peer}")
    if isinstance(error, _BEFORE_SENDING):
        return Refused(f"the request cannot be sent: {type(error).__name__}")
    if _caused_by(error, NewConnectionError):
        return NotDone(f"no connection to {peer}: it refused, or its name is unknown")
    if isinstance(error, requests.exceptions.Timeout):
        return Unsure(f"{peer} did not answer in time")
    return Unsure("the connection broke before the whole answer was read")


def _is_of_handshake(error: BaseException) -> bool:
    """True for what was raised while the two sides agreed on TLS, before which no request leaves.

    The reason alone does not tell: a later record may be as wrong as the first.
    """
    return any(frame.f_code.co_name == "do_handshake" for frame, _ in walk_tb(error.__traceback__))


def _caused_by(error: BaseException, kind: type[BaseException]) -> bool:
    return any(isinstance(each, kind) for each in _causes(error))


def _causes(error: BaseException) -> list[BaseException]:
    """An error with all that it came from."""
    seen: list[BaseException] = [error]
    for each in seen:
        inner = [each.__cause__, each.__context__, *each.args]
        inner += [each.reason] if isinstance(each, MaxRetryError) else []
        seen += [one for one in inner if isinstance(one, BaseException) and one not in seen]
    return seen
