"""OAuth access tokens of mail servers, from a command of the user's."""

from __future__ import annotations

import shlex
import subprocess
import threading

from handrail.errors import DeskPaused, NotDone

COMMAND_SECONDS = 30


class Tokens:
    """Runs the command for a token when none is at hand, or when the last one was refused."""

    def __init__(self, command: str) -> None:
        self._command = shlex.split(command)
        self._lock = threading.Lock()
        self._token: str | None = None

    def current(self) -> str:
        with self._lock:
            self._token = self._token or self._fetched()
            return self._token

    def forget(self, token: str) -> None:
        """The server refused this one: the next sign-in asks the command again."""
        with self._lock:
            if self._token == token:
                self._token = None

    def _fetched(self) -> str:
        try:
            done = subprocess.run(  # noqa: S603 - the operator's own command, and no shell
                self._command, capture_output=True, timeout=COMMAND_SECONDS, check=False, text=True
            )
        except OSError as error:
            raise DeskPaused(f"oauth_token_command cannot be run: {error.strerror}") from None
        except subprocess.TimeoutExpired:
            raise NotDone(f"oauth_token_command did not end within {COMMAND_SECONDS} seconds") from None
        token = done.stdout.strip()
        if done.returncode or not token:
            raise NotDone(f"oauth_token_command brought no token (exit status {done.returncode})")
        return token


def bearer(user: str, token: str) -> bytes:
    """What XOAUTH2 sends. https://developers.google.com/workspace/gmail/imap/xoauth2-protocol"""
    return f"user={user}\x01auth=Bearer {token}\x01\x01".encode()
