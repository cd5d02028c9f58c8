"""Amounts of money in what customers write: the signal ``amount``."""

from __future__ import annotations

import re

from handrail.policy.phrases import Heard

_SIGNS = "$€£¥₹₽₺₩₴"
_CODES = (
    "usd eur gbp jpy inr chf cad aud pln sek nok dkk czk brl mxn uah rub cny krw dollar dollars bucks euro "
    "euros pound pounds quid rupee rupees franc francs franken kronor zł zloty złotych lira reais peso pesos "
    "yen грн руб рублей"
)
# Digits are taken whole and only in bounded number, so that a long row of them is looked at once.
_NUMBER = re.compile(r"(?<![\d.,])\d{1,15}(?:[.,'\u00a0\u202f ]\d{3}(?!\d)){0,4}(?:[.,]\d{1,2}(?!\d))?(?!\d)")
_NEAR = 12
"""The currency stands within so many characters of the number."""
_WORD = re.compile(r"[^\W\d_]+")
_SPACES = " \u00a0"
_CURRENCIES = frozenset(_CODES.split())
_DIGIT = re.compile("[0-9]")
_SYMBOLS = frozenset(f"{_SIGNS}円元원")
_SYMBOL = re.compile(f"[{''.join(sorted(_SYMBOLS))}]")


def amount_in(heard: Heard) -> float | None:
    """The largest amount of money that a message names, in whatever currency; None where it names none."""
    if not _DIGIT.search(heard.plain):
        return None
    if not _SYMBOL.search(heard.plain) and not any(map(_names_money, heard.unique)):
        return None
    text = heard.plain
    found = [_value(number[0]) for number in _NUMBER.finditer(text) if _is_money(text, *number.span())]
    return max(found, default=None)


def _is_money(text: str, start: int, end: int) -> bool:
    before = text[max(0, start - _NEAR) : start].rstrip(_SPACES)
    after = text[end : end + _NEAR].lstrip(_SPACES)
    if before[-1:] in _SYMBOLS or after[:1] in _SYMBOLS:
        return True
    words = [*_WORD.findall(before)[-1:], *_WORD.findall(after)[:1]]
    return not _CURRENCIES.isdisjoint(words)


def _names_money(word: str) -> bool:
    return word.lstrip("0123456789") in _CURRENCIES


def _value(number: str) -> float:
    """``1.234,50``, ``1,234.50`` and ``1 234`` as a number: one or two digits at the end are cents."""
    head, cents = number, ""
    cut = max(number.rfind("."), number.rfind(","))
    if cut >= 0 and len(number) - cut - 1 < 3:
        head, cents = number[:cut], number[cut + 1 :]
    digits = "".join(one for one in head if one.isdigit())
    return float(f"{int(digits)}.{cents or 0}")
