"""Masks card numbers and credentials before anything is stored or sent. Every pattern runs in linear time.

What is masked leaves a trace that a person understands: ``[card ending 1111]``, ``[credential removed]``.
Rules are tried only where one of their words stands in the conversation: ordinary ones cost next to nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from handrail.model import Attempt, Conversation, Customer, Message

REMOVED = "[credential removed]"

_SEPARATOR = "[ \\t\u00a0\u2007\u2009\u202f\u2010-\u2015-]"
_DIGITS = re.compile(rf"\d+(?:{_SEPARATOR}{{1,3}}\d+)*")
_GROUPS = re.compile(r"\d+")
_DIGIT = re.compile(r"\d")
_CANDIDATE = re.compile(
    rf"(?<!\d)(?=(\d{{13,19}}(?!\d)|\d{{4}}(?:{_SEPARATOR}{{1,3}}\d{{3,7}}(?!\d)){{1,4}}))"
)
_LONGEST_CARD = 19 + 18 * 3
_SHORTEST_CARD = 13
_LONGEST_PHONE = 14
_DOUBLED = str.maketrans("0123456789", "0246813579")
_ELSE_BEFORE = re.compile(r"[A-Za-z]{2}\d{1,2}[ -]?\Z|(?<!\d)\d{1,5}[.,]\Z")
_DECIMALS = re.compile(r"\.\d{1,6}(?!\d)")


@dataclass(frozen=True)
class _Rule:
    """A pattern that is tried where the lower-case text holds one of ``words``."""

    words: tuple[str, ...]
    pattern: re.Pattern[str]
    mask: str = REMOVED


def _token(words: str, shape: str) -> _Rule:
    """A token of a well-known shape, standing alone."""
    return _Rule(tuple(words.split()), re.compile(rf"(?<![A-Za-z0-9_-])(?:{shape})"))


_LABELS = (
    "password|passwd|pwd|passphrase|passcode|passwort|kennwort|mot de passe|contraseña|contrasena|senha"
    "|palavra-passe|parola d'ordine|wachtwoord|lösenord|adgangskode|hasło|пароль|パスワード|密码|密碼"
)
_KEYS = (
    "api[ _-]?key|secret[ _-]?access[ _-]?key|client[ _-]?secret|secret[ _-]?key|private[ _-]?key|secret"
    "|access[ _-]?token|refresh[ _-]?token|auth[ _-]?token|bearer[ _-]?token|api[ _-]?token"
    "|session[ _-]?token|token"
)
_CARD_CODE = "cvv2?|cvc2?|card security code|card verification (?:code|value)"
_ASSIGN = r"\\{0,3}[\"']?[ \t]{0,5}(?:=>|:=|[:=：])[ \t]{0,5}"
_NOT_YET = rf"(?!{re.escape(REMOVED)})"
_VALUE = rf"{_NOT_YET}(?:\\{{0,3}}\"[^\"\n]{{1,200}}\"|'[^'\n]{{1,200}}'|[^\s\"'&]{{3,}})"
_GUESSABLE = rf"{_NOT_YET}\\{{0,3}}[\"']?(?=[^\s\"'&,;]{{0,99}}[0-9])[^\s\"'&,;]{{8,}}[\"']?"
_CODED = rf"{_NOT_YET}(?=[^\s]{{0,99}}[0-9#$%&*+=@^_~])[^\s\"'<>,;]{{6,}}"


def _pair(labels: str, between: str, value: str) -> _Rule:
    """``label: value``: the label stays, the value goes."""
    words = [re.sub(r"\[ _-\]\?.*|\(.*|\d\?", "", label) for label in labels.split("|")]
    pattern = rf"(?<![^\W_])((?:{labels}){between})(?:{value})"
    return _Rule(tuple(words), re.compile(pattern, re.IGNORECASE), rf"\g<1>{REMOVED}")


_RULES = (
    _pair(_LABELS, _ASSIGN, _VALUE),
    _pair(_LABELS, r"[ \t]{1,5}(?:is|ist|lautet|est|es|è|é)[ \t]{0,5}:?[ \t]{1,5}", _CODED),
    _pair(_KEYS, _ASSIGN, _GUESSABLE),
    _pair(_CARD_CODE, rf"(?:{_ASSIGN}|[ \t]{{1,5}}(?:is[ \t]{{1,5}})?)", r"[0-9]{3,4}(?![0-9])"),
    _pair("authorization", rf"{_ASSIGN}[\"']?(?:bearer|basic|token|digest|apikey)[ \t]{{1,5}}", _VALUE),
    _pair("bearer", r"[ \t]{1,5}", r"(?=[^\s]{0,99}[0-9])[A-Za-z0-9._~+/-]{16,}=*"),
    _Rule(("://",), re.compile(r"://[^\s/:@]{0,200}:[^\s/]{1,500}@"), f"://{REMOVED}@"),
    _token("akia asia abia acca", r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])"),
    _token("ghp_ gho_ ghu_ ghs_ ghr_ github_pat_", r"gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}"),
    _token("glpat- gldt- glrt- glcbt- glptt- glsoat-", r"gl(?:pat|dt|rt|cbt|ptt|soat)-[\w.-]{16,}"),
    _token("xox xapp-", r"xox[a-z]-[A-Za-z0-9-]{10,}|xapp-[A-Za-z0-9-]{10,}"),
    _token(
        "_live_ _test_ whsec_", r"(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{10,}|whsec_[A-Za-z0-9+/=_-]{16,}"
    ),
    _token("sk-", r"sk-(?=[\w-]{0,99}[0-9])[\w-]{20,}"),
    _token("aiza ya29.", r"AIza[\w-]{30,}|ya29\.[\w-]{20,}"),
    _token(
        "npm_ pypi- hf_ shpat_ dop_v1_",
        r"npm_\w{30,}|pypi-[\w-]{40,}|hf_\w{30,}|shpat_\w{30,}|dop_v1_\w{40,}",
    ),
    _token("sg. atatt3", r"SG\.[\w-]{16,}\.[\w-]{16,}|ATATT3[\w=-]{30,}"),
    _token("eyj", r"eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*){0,3}"),
)

_SECRET_NAME = re.compile(
    rf"(?:\w*[_-])?(?:{_LABELS}|{_KEYS}|authorization|credentials?)|pass|cvv2?|cvc2?|pin|otp",
    re.IGNORECASE,
)
_KEY_WORD = "private key"
_KEY_MARKS = re.compile(r"-----(?:(BEGIN)|END) [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_KEY_BODY = re.compile(r"[A-Za-z0-9+/=\s\\]*")


@cache
def _first_looks() -> tuple[Any, Any]:
    """Two patterns for the whole of a text, in UTF-8: any word of any rule; digits enough for a card.

    JSON writes a tab as two characters, and one may stand within a card's number. Loaded with the first text
    that is looked at, not with Handrail.
    """
    import re2

    options = re2.Options()
    options.case_sensitive = False
    options.never_capture = True
    words = {_KEY_WORD, *(word for rule in _RULES for word in rule.words)}
    between = r"(?:[ \t\x{a0}\x{2007}\x{2009}\x{202f}\x{2010}-\x{2015}-]|\\t){0,3}"
    card = rf"\p{{Nd}}(?:{between}\p{{Nd}}){{{_SHORTEST_CARD - 1}}}"
    return re2.compile("|".join(map(re2.escape, sorted(words))), options), re2.compile(card, options)


def redact(conversation: Conversation) -> Conversation:
    """The conversation with card numbers and credentials masked, wherever they may stand.

    ``id`` and ``customer.id`` stay: they are keys of the host, by which it finds them again.
    """
    masking = _Masking(conversation.model_dump_json())
    return masking.conversation(conversation) if masking.has_work else conversation


def mask(text: str) -> str:
    """The same text without card numbers and credentials; masking twice changes nothing more."""
    return _Masking(text).text(text)


class _Masking:
    """The rules that are worth trying on any part of a text, found by one look at the whole of it."""

    def __init__(self, whole: str) -> None:
        any_word, card = _first_looks()
        encoded = whole.encode("utf-8", "replace")
        lower = whole.lower() if any_word.search(encoded) else ""
        self.rules = [rule for rule in _RULES if any(map(lower.__contains__, rule.words))]
        self.has_key = _KEY_WORD in lower
        self.has_card = card.search(encoded) is not None

    @property
    def has_work(self) -> bool:
        return bool(self.rules or self.has_key or self.has_card)

    def text(self, text: str) -> str:
        text = self._without_credentials(text)
        return _DIGITS.sub(_without_cards, text) if self.has_card else text

    def _without_credentials(self, text: str) -> str:
        if self.has_key:
            text = _without_private_keys(text)
        for rule in self.rules:
            text = rule.pattern.sub(rule.mask, text)
        return text

    def conversation(self, conversation: Conversation) -> Conversation:
        return conversation.model_copy(
            update={
                "channel": self._maybe(conversation.channel),
                "language": self._maybe(conversation.language),
                "sentiment": self._sentiment(conversation.sentiment),
                "subject": self._maybe(conversation.subject),
                "url": self._maybe(conversation.url),
                "topic": self._maybe(conversation.topic),
                "intent": self._maybe(conversation.intent),
                "tags": tuple(map(self.text, conversation.tags)),
                "messages": tuple(map(self._message, conversation.messages)),
                "attempts": tuple(map(self._attempt, conversation.attempts)),
                "customer": self._customer(conversation.customer),
                "fields": self._json(conversation.fields),
            }
        )

    def _maybe(self, text: str | None) -> str | None:
        return None if text is None else self.text(text)

    def _sentiment(self, value: float | str | None) -> float | str | None:
        return self.text(value) if isinstance(value, str) else value

    def _phone(self, number: str | None) -> str | None:
        """Without its plus, one number in ten of 13 or 14 digits would pass for a card's."""
        if number is None or len(_DIGIT.findall(number)) > _LONGEST_PHONE:
            return self._maybe(number)
        return self._without_credentials(number)

    def _message(self, message: Message) -> Message:
        text, name = self.text(message.text), self._maybe(message.name)
        if (text, name) == (message.text, message.name):
            return message
        return message.model_copy(update={"text": text, "name": name})

    def _attempt(self, attempt: Attempt) -> Attempt:
        changes = {"arguments": self._json(attempt.arguments), "detail": self._maybe(attempt.detail)}
        return attempt.model_copy(update={"action": self.text(attempt.action), **changes})

    def _customer(self, customer: Customer) -> Customer:
        masked = {
            "segments": tuple(map(self.text, customer.segments)),
            "attributes": self._json(customer.attributes),
            "name": self._maybe(customer.name),
            "email": self._maybe(customer.email),
            "phone": self._phone(customer.phone),
        }
        return customer.model_copy(update=masked)

    def _json(self, value: Any, name: str = "") -> Any:
        if isinstance(value, Mapping):
            return {self.text(key): self._json(item, key) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._json(item, name) for item in value]
        if isinstance(value, bool) or value is None:
            return value
        if name and value != "" and _SECRET_NAME.fullmatch(name):
            return REMOVED
        if isinstance(value, int):
            return self._number(value)
        return self.text(value) if isinstance(value, str) else value

    def _number(self, value: int) -> int | str:
        masked = self.text(str(value)) if 10**12 <= value < 10**19 else ""
        return masked if "[" in masked else value


def _without_private_keys(text: str) -> str:
    """Masks PEM blocks; one that was cut off goes as far as its base64 goes."""
    parts, done, begin = [], 0, None
    for mark in [*_KEY_MARKS.finditer(text), None]:
        if begin is not None:
            closed = mark is not None and not mark[1]
            parts += [text[done : begin.start()], REMOVED]
            done = mark.end() if mark and closed else _end_of_key(text, begin.end())
        begin = mark if mark and mark[1] else None
    return "".join([*parts, text[done:]])


def _end_of_key(text: str, start: int) -> int:
    body = _KEY_BODY.match(text, start)
    return body.end() if body else start


def _without_cards(run: re.Match[str]) -> str:
    """A run of digit groups with every card number in it masked."""
    if len(run[0]) < 13 or _is_other_number(run):
        return run[0]
    number = _card("".join(_GROUPS.findall(run[0]))) if len(run[0]) <= _LONGEST_CARD else None
    return _ending(number) if number else _cards_among(run[0])


def _is_other_number(run: re.Match[str]) -> bool:
    """True for a phone number with its plus, a part of a decimal, of an IBAN or of a word."""
    before, after = run.string[max(0, run.start() - 8) : run.start()], run.string[run.end() : run.end() + 8]
    if before[-1:].isalnum() or before[-1:] == "+" or after[:1].isalpha():
        return True
    return bool(_ELSE_BEFORE.search(before) or _DECIMALS.match(after))


def _cards_among(text: str) -> str:
    """The card of ``order 17 4111 1111 1111 1111``: one group, or groups after one of four digits."""
    parts, done = [], 0
    for candidate in _CANDIDATE.finditer(text):
        found = _card_at_start(candidate[1]) if candidate.start() >= done else None
        if found:
            number, length = found
            parts += [text[done : candidate.start()], _ending(number)]
            done = candidate.start() + length
    return "".join([*parts, text[done:]])


def _card_at_start(text: str) -> tuple[str, int] | None:
    """The card number that ``text`` begins with, and how many characters it takes."""
    digits = ""
    for group in _GROUPS.finditer(text):
        digits += group[0]
        number = _card(digits) if len(digits) >= 13 else None
        if number:
            return number, group.end()
    return None


def _ending(number: str) -> str:
    return f"[card ending {number[-4:]}]"


def _card(digits: str) -> str | None:
    """The number, if these are 13 to 19 digits of a range that card schemes use with a right check digit."""
    if not 13 <= len(digits) <= 19 or not _of_a_scheme(int(digits[:4])):
        return None
    number = str(int(digits))  # also fullwidth and other digits
    return number if _has_check_digit(number) else None


def _of_a_scheme(beginning: int) -> bool:
    """ISO/IEC 7812: cards begin with 3 to 6, Mastercard also with 2221 to 2720, Mir with 2200 to 2204."""
    return 3000 <= beginning < 7000 or 2200 <= beginning <= 2204 or 2221 <= beginning <= 2720


def _has_check_digit(number: str) -> bool:
    """The Luhn formula: every second digit from the right counts double, with its own digits added."""
    total = sum(map(int, number[-1::-2])) + sum(map(int, number[-2::-2].translate(_DOUBLED)))
    return total % 10 == 0
