"""The mail transport against servers that insist, refuse and lie: TLS, tokens, greylisting, odd answers."""

from __future__ import annotations

import base64
import imaplib
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from aiosmtpd.controller import Controller

from handrail import DeskPaused, MailServer, MailServers, NotDone, SendMail, Unsure
from handrail import mail as transport_module
from handrail import mailbox as mailbox_module
from handrail.mail import MailTransport
from handrail.wire import Wire
from handrail_email.simulated import SimulatedMail

MAIL = SendMail(b"Subject: x\r\n\r\n.dot\r\n..\r\nend", "bot@x.test", "a@desk.test", repeatable=True)


def wire(step: SendMail = MAIL) -> Wire:
    return step.wire("", "", 0)


class Kept:
    """An SMTP handler that keeps what it takes."""

    def __init__(self) -> None:
        self.mails: list[bytes] = []
        self.encrypted: list[bool] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.mails.append(envelope.content)
        self.encrypted.append(session.ssl is not None)
        return "250 ok"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for ``localhost`` and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed; it makes the test's certificate")
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    made = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    made += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(made, check=True, capture_output=True)
    return cert, key


@pytest.fixture
def context(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(*certificate)
    return made


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine counts as a foreign one."""
    for module in (transport_module, mailbox_module):
        monkeypatch.setattr(module, "is_loopback", lambda host: False)


@pytest.fixture
def trusted(certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))


@pytest.fixture
def serve() -> Iterator[Callable[..., tuple[Kept, int]]]:
    running: list[Controller] = []

    def start(**options: Any) -> tuple[Kept, int]:
        handler, port = Kept(), _free_port()
        controller = Controller(handler, hostname="127.0.0.1", port=port, **options)
        controller.start()
        running.append(controller)
        return handler, port

    yield start
    for controller in running:
        controller.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def transport(smtp: str, **more: Any) -> MailTransport:
    return MailTransport(MailServers(smtp, **more), timeout=2)


# TLS.


def test_starttls_is_used_and_the_server_verified(
    serve: Any, context: Any, elsewhere: None, trusted: None
) -> None:
    kept, port = serve(tls_context=context)

    assert transport(f"smtp://localhost:{port}").send(wire(), {}).status == 200
    assert kept.encrypted == [True]


def test_tls_from_the_beginning(serve: Any, context: Any, elsewhere: None, trusted: None) -> None:
    kept, port = serve(ssl_context=context, server_hostname="localhost")
    assert transport(f"smtps://localhost:{port}").send(wire(), {}).status == 200
    assert len(kept.mails) == 1


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_a_server_that_cannot_prove_its_name_gets_nothing(
    serve: Any, context: Any, elsewhere: None, scheme: str
) -> None:
    options = {"tls_context": context} if scheme == "smtp" else {"ssl_context": context}
    kept, port = serve(**options, **({} if scheme == "smtp" else {"server_hostname": "localhost"}))

    with pytest.raises(NotDone, match="certificate is not valid; nothing was sent"):
        transport(f"{scheme}://localhost:{port}").send(wire(), {})
    assert kept.mails == []


def test_nothing_goes_out_in_the_clear(serve: Any, elsewhere: None) -> None:
    kept, port = serve()

    with pytest.raises(NotDone, match="offers no TLS; nothing was sent"):
        transport(f"smtp://user:secret@127.0.0.1:{port}").send(wire(), {})
    assert kept.mails == []


def test_imap_insists_on_tls_too(elsewhere: None) -> None:
    seen: list[bytes] = []

    def plain(file: BinaryIO) -> None:
        file.write(b"* OK [CAPABILITY IMAP4rev1] hi\r\n")
        file.flush()
        while line := file.readline():
            seen.append(line)
            tag = line.split()[0]
            file.write(b"* CAPABILITY IMAP4rev1\r\n" + tag + b" OK done\r\n")
            file.flush()

    with Scripted(plain) as port, pytest.raises(NotDone):
        transport("smtp://x", imap=f"imap://user:secret@127.0.0.1:{port}").send(_fetch(), {})
    assert seen
    assert not any(b"secret" in line for line in seen)


def test_imap_over_tls(context: ssl.SSLContext, trusted: None) -> None:
    with Scripted(_empty_mailbox, context) as port:
        reply = transport("smtp://x", imap=f"imaps://user:secret@localhost:{port}").send(_fetch(), {})

    assert reply.found.mails == []
    assert reply.found.cursor == "7:41"


# What is sent.


def test_dots_and_line_ends_arrive_as_they_were(serve: Any) -> None:
    kept, port = serve()
    content = b"Subject: x\n\n.one\r\n..two\r\n.\r\nlast"
    transport(f"smtp://127.0.0.1:{port}").send(
        wire(SendMail(content, "b@x.test", "a@y.test", repeatable=True)), {}
    )

    assert kept.mails == [b"Subject: x\r\n\r\n.one\r\n..two\r\n.\r\nlast\r\n"]


@pytest.mark.parametrize("address", ["a@x.test\r\nRCPT TO:<evil@x.test>", "a@x.test\nDATA"])
def test_an_address_cannot_smuggle_a_command(serve: Any, address: str) -> None:
    kept, port = serve()
    with pytest.raises(NotDone):
        transport(f"smtp://127.0.0.1:{port}").send(
            wire(SendMail(b"x", "bot@x.test", address, repeatable=True)), {}
        )
    assert kept.mails == []


def test_reports_are_asked_for_where_the_server_makes_them() -> None:
    said: list[bytes] = []
    script = {b"EHLO": b"250-mx\r\n250-DSN\r\n250 SIZE 1000000", b"DATA": b"354 go"}
    with Scripted(_smtp(script, said)) as port:
        step = SendMail(b"x", "b@x.test", "a@y.test", "c@x.test", "ID.0", repeatable=True)
        transport(f"smtp://127.0.0.1:{port}").send(wire(step), {})

    assert b"MAIL FROM:<b@x.test> SIZE=1 RET=HDRS ENVID=ID.0\r\n" in said
    assert b"RCPT TO:<a@y.test> NOTIFY=FAILURE,DELAY\r\n" in said
    assert b"RCPT TO:<c@x.test> NOTIFY=NEVER\r\n" in said


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("Greylisted, try again in 300 seconds", 300), ("come back in 5 minutes", 300), ("try later", None)],
)
def test_a_greylisting_server_is_asked_again_when_it_said(text: str, seconds: float | None) -> None:
    with (
        Scripted(_smtp({b"RCPT": f"450 4.7.1 {text}".encode()}, [])) as port,
        pytest.raises(NotDone) as caught,
    ):
        transport(f"smtp://127.0.0.1:{port}").send(wire(), {})
    assert caught.value.after == seconds


@pytest.mark.parametrize("answer", [b"354 go on", b"99", b"hello", b"\xff\xfe"])
def test_an_answer_to_the_final_dot_that_means_nothing_leaves_a_doubt(answer: bytes) -> None:
    with Scripted(_smtp({b"DATA": b"354 go", b".\r\n": answer}, [])) as port, pytest.raises(Unsure):
        transport(f"smtp://127.0.0.1:{port}").send(wire(), {})


@pytest.mark.parametrize("greeting", [b"554 no service", b"421 busy", b"nonsense", b""])
def test_a_greeting_that_is_no_welcome_is_tried_later(greeting: bytes) -> None:
    with Scripted(_smtp({}, [], greeting)) as port, pytest.raises(NotDone):
        transport(f"smtp://127.0.0.1:{port}").send(wire(), {})


def test_nobody_listens() -> None:
    with pytest.raises(NotDone, match="cannot be reached"):
        transport(f"smtp://127.0.0.1:{_free_port()}").send(wire(), {})
    with pytest.raises(NotDone):
        transport("smtp://x", imap=f"imap://127.0.0.1:{_free_port()}").send(_fetch(), {})


def test_a_server_without_sign_in_pauses_the_desk(serve: Any) -> None:
    _, port = serve()
    with pytest.raises(DeskPaused, match="no sign-in of ours"):
        transport(f"smtp://user:secret@127.0.0.1:{port}").send(wire(), {})


# Tokens.


def _command(code: str) -> str:
    return f'{sys.executable} -c "{code}"'


def test_a_token_from_a_command_signs_in_at_both_servers(tmp_path: Path) -> None:
    counter = tmp_path / "runs"
    command = _command(f"open('{counter}', 'a').write('x'); print('tok')")
    expected = base64.b64encode(b"user=bot@x.test\x01auth=Bearer tok\x01\x01")
    said: list[bytes] = []
    smtp = _smtp({b"EHLO": b"250-mx\r\n250 AUTH XOAUTH2", b"AUTH": b"235 ok", b"DATA": b"354 go"}, said)
    with Scripted(smtp) as first, Scripted(_xoauth2_mailbox(expected)) as second:
        both = transport(
            f"smtp://bot%40x.test@127.0.0.1:{first}",
            imap=f"imap://bot%40x.test@127.0.0.1:{second}",
            token_command=command,
        )
        assert both.send(wire(), {}).status == 200
        assert both.send(wire(), {}).status == 200
        assert both.send(_fetch(), {}).found.cursor == "7:41"

    assert said.count(b"AUTH XOAUTH2 " + expected + b"\r\n") == 2
    assert counter.read_text() == "x"


def test_a_refused_token_pauses_the_desk_and_is_fetched_anew() -> None:
    said: list[bytes] = []
    answers = {
        b"EHLO": b"250-mx\r\n250 AUTH XOAUTH2",
        b"AUTH": b"334 eyJzdGF0dXMiOiI0MDAifQ==",
        b"\r\n": b"535 no",
    }
    command = _command("import time; print(time.time_ns())")
    with Scripted(_smtp(answers, said)) as port:
        mail = transport(f"smtp://bot@127.0.0.1:{port}", token_command=command)
        for _ in range(2):
            with pytest.raises(DeskPaused, match="535 no"):
                mail.send(wire(), {})

    assert len({line for line in said if line.startswith(b"AUTH")}) == 2


@pytest.mark.parametrize(
    ("command", "error", "words"),
    [
        ("/no/such/program", DeskPaused, "cannot be run"),
        (_command("raise SystemExit(3)"), NotDone, "exit status 3"),
        (_command("print()"), NotDone, "brought no token"),
    ],
)
def test_a_command_that_brings_no_token(command: str, error: Any, words: str) -> None:
    with Scripted(_smtp({b"EHLO": b"250 AUTH XOAUTH2"}, [])) as port, pytest.raises(error, match=words):
        transport(f"smtp://bot@127.0.0.1:{port}", token_command=command).send(wire(), {})


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"NO [AUTHENTICATIONFAILED] no", DeskPaused),
        (b"NO [UNAVAILABLE] later", NotDone),
        (b"NO no", DeskPaused),
    ],
)
def test_a_mailbox_that_refuses_the_sign_in(answer: bytes, error: Any) -> None:
    with Scripted(_imap({b"LOGIN": answer})) as port, pytest.raises(error) as caught:
        transport("smtp://x", imap=f"imap://user:secret-word@127.0.0.1:{port}").send(_fetch(), {})
    assert "secret-word" not in str(caught.value)
    assert "b'" not in str(caught.value), "the server's words, not how Python writes them"


def test_a_server_that_will_not_say_goodbye_is_left_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[socket.socket] = []
    create = imaplib.IMAP4._create_socket

    def created(imap: imaplib.IMAP4, timeout: float | None) -> socket.socket:
        opened.append(create(imap, timeout))
        return opened[-1]

    monkeypatch.setattr(imaplib.IMAP4, "_create_socket", created)
    with Scripted(_imap({b"LOGOUT": b"BAD what"})) as port:
        transport("smtp://x", imap=f"imap://user:secret@127.0.0.1:{port}").send(_fetch(), {})
        left = [each.fileno() for each in opened]
        for each in opened:
            each.close()
    assert left == [-1]


def test_the_simulated_server_refuses_a_wrong_password_as_servers_do() -> None:
    with SimulatedMail() as desk:
        url = desk.settings()["smtp"].replace(":simulated-password@", ":another-word@")
        with pytest.raises(DeskPaused, match="535"):
            transport(url).send(wire(), {})


def test_a_desk_without_imap_is_asked_for_mails() -> None:
    with pytest.raises(DeskPaused, match="no imap server"):
        transport("smtp://x").send(_fetch(), {})


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtp://mail.test", ("smtp", "mail.test", None, "", "", "")),
        ("smtps://u:p@mail.test:465", ("smtps", "mail.test", 465, "u", "p", "")),
        (
            "smtp://u@x.test:p@ss/w#rd:?@mail.test:587",
            ("smtp", "mail.test", 587, "u@x.test", "p@ss/w#rd:?", ""),
        ),
        (
            "imaps://u%40x.test:p%2F@mail.test/Re%20plies",
            ("imaps", "mail.test", None, "u@x.test", "p/", "Re plies"),
        ),
        ("imap://[::1]:143/", ("imap", "::1", 143, "", "", "")),
    ],
)
def test_a_password_may_hold_anything(url: str, expected: tuple[Any, ...]) -> None:
    server = MailServer.of(url)

    found = (server.scheme, server.host, server.port, server.user, server.password, server.folder)
    assert found == expected
    assert "ss/w" not in repr(server)


def test_a_url_that_is_none_is_not_quoted() -> None:
    with pytest.raises(ValueError, match="scheme://USER") as caught:
        MailServer.of("smtp://user:secret@host:port")
    assert "secret" not in str(caught.value)


def test_the_servers_show_no_password() -> None:
    servers = MailServers("smtp://u:smtp-pw@x", "imap://u:imap-pw@x", "get-token --key k3y")
    assert "pw" not in repr(servers)
    assert "k3y" not in repr(servers)


# Servers that say what they are told to.


class Scripted:
    """A server that lets ``talk`` have each connection."""

    def __init__(self, talk: Callable[[BinaryIO], None], context: ssl.SSLContext | None = None) -> None:
        self.talk, self.context = talk, context
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            if self.context:
                connection = self.context.wrap_socket(connection, server_side=True)
            with connection, connection.makefile("rwb") as file, suppress(OSError):  # the client may leave
                self.talk(file)  # type: ignore[arg-type]

    def __enter__(self) -> int:
        self.thread.start()
        port: int = self.listening.getsockname()[1]
        return port

    def __exit__(self, *_: object) -> None:
        self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()
        self.thread.join()


def _smtp(
    answers: dict[bytes, bytes], said: list[bytes], greeting: bytes = b"220 hi"
) -> Callable[[BinaryIO], None]:
    """Answers by what a line begins with; 250 to everything else."""

    def talk(file: BinaryIO) -> None:
        file.write(greeting + b"\r\n" if greeting else b"")
        file.flush()
        content = False
        while greeting and (line := file.readline()):
            said.append(line)
            if content and line != b".\r\n":
                continue
            found = next((answers[key] for key in answers if line.upper().startswith(key)), b"250 ok")
            content = found.startswith(b"354") and line.startswith(b"DATA")
            file.write(found + b"\r\n")
            file.flush()

    return talk


def _imap(answers: dict[bytes, bytes]) -> Callable[[BinaryIO], None]:
    known = {b"CAPABILITY": b"* CAPABILITY IMAP4rev1 AUTH=XOAUTH2\r\n", b"UID": b"* SEARCH\r\n"}
    opened = b"* 0 EXISTS\r\n* OK [UIDVALIDITY 7] ok\r\n* OK [UIDNEXT 42] ok\r\n"

    def talk(file: BinaryIO) -> None:
        file.write(b"* OK hi\r\n")
        file.flush()
        while line := file.readline():
            tag, command = line.split()[:2]
            before = opened if command == b"EXAMINE" else known.get(command, b"")
            file.write(before + tag + b" " + answers.get(command, b"OK done") + b"\r\n")
            file.flush()

    return talk


_empty_mailbox = _imap({})


def _xoauth2_mailbox(expected: bytes) -> Callable[[BinaryIO], None]:
    def talk(file: BinaryIO) -> None:
        file.write(b"* OK hi\r\n")
        file.flush()
        tag, *_ = file.readline().split()
        file.write(b"* CAPABILITY IMAP4rev1 AUTH=XOAUTH2\r\n" + tag + b" OK done\r\n")
        file.flush()
        tag, *command = file.readline().split()
        assert command == [b"AUTHENTICATE", b"XOAUTH2"]
        file.write(b"+ \r\n")
        file.flush()
        good = file.readline().strip() == expected
        file.write(tag + (b" OK done\r\n" if good else b" NO no\r\n"))
        file.flush()
        while line := file.readline():
            tag, command = line.split()[:2]
            opened = b"* OK [UIDVALIDITY 7] ok\r\n* OK [UIDNEXT 42] ok\r\n" if command == b"EXAMINE" else b""
            file.write(opened + (b"* SEARCH\r\n" if command == b"UID" else b"") + tag + b" OK done\r\n")
            file.flush()

    return talk


def _fetch() -> Wire:
    from handrail import FetchMail

    return FetchMail(headers=[("Message-ID", "<x@y.test>")]).wire("", "", 0)
