"""Amounts of money in what customers write: the signal ``amount``."""

from __future__ import annotations

import re

_SIGNS = "$€£¥₹₽₺₩₴"
_CODES = (
    "usd|eur|gbp|jpy|inr|chf|cad|aud|pln|sek|nok|dkk|czk|brl|mxn|uah|rub|cny|krw|dollars?|bucks|euros?|pounds?|quid|"
    "rupees?|francs?|franken|kronor|zł|zloty|złotych|lira|reais|pesos?|yen|грн|руб|рублей"
)
# Digits are taken whole and only in bounded number, so that a long row of them is looked at once.
_NUMBER = r"\d{1,15}(?:[.,'\u00a0\u202f ]\d{3}){0,4}(?:[.,]\d{1,2})?"
_AMOUNT = re.compile(
    rf"(?:[{_SIGNS}]|(?<![^\W_])(?:{_CODES}))[ \u00a0]?({_NUMBER})(?![\d])"
    rf"|(?<![\d.,{_SIGNS}])({_NUMBER})[ \u00a0]?(?:[{_SIGNS}円元원]|(?:{_CODES})(?![^\W_]))",
    re.IGNORECASE,
)
_HINT = re.compile(rf"[{_SIGNS}円元원]|{_CODES}", re.IGNORECASE)
_DIGIT = re.compile(r"\d")


def amount_in(text: str) -> float | None:
    """The largest amount of money that ``text`` names, in whatever currency; None where it names none."""
    if not _DIGIT.search(text) or not _HINT.search(text):
        return None
    found = [_value(match[1] or match[2]) for match in _AMOUNT.finditer(text)]
    return max(found, default=None)


def _value(number: str) -> float:
    """``1.234,50``, ``1,234.50`` and ``1 234`` as a number: one or two digits at the end are cents."""
    head, cents = number, ""
    cut = max(number.rfind("."), number.rfind(","))
    if cut >= 0 and len(number) - cut - 1 < 3:
        head, cents = number[:cut], number[cut + 1 :]
    digits = "".join(one for one in head if one.isdigit())
    return float(f"{int(digits)}.{cents or 0}")
