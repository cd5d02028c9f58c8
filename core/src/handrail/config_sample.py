"""What people start a configuration from: a commented sample file, and the JSON Schema of desks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from itertools import chain, combinations
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from handrail.config_source import is_secret, names
from handrail.connector import Connector
from handrail.durations import format_duration
from handrail.errors import ConfigError

_HEAD = """\
# The configuration of Handrail. Settings behind a # are optional and show their default.
# "${NAME}" is the environment variable NAME: keep secrets there. Durations: 30s, 10m, 24h, 2d.
# `handrail check` says whether all of this works.

# Where everything is kept, before a help desk is asked: sqlite:///FILE or postgresql://USER@HOST/DATABASE
store = "sqlite:///handrail.db"

# The desk that handoffs go to
desk = "{desk}"

# Desks that are tried in this order when the first cannot take a handoff
# fallback = []

# How long a desk is tried before the next one is asked
# give_up_after = "24h"
"""
POLICY = """
# The policy: the first trigger that fires decides. Few triggers, each with a name that the team knows.
# A condition may name topic, intent, tags, channel, language, confidence, sentiment, customer.segments,
# fields.ANYTHING, turns, failed_attempts, asked_for_human, repeated_question, sensitive, amount, text, last.
# `handrail decide FILE` says what it makes of a conversation, and why.

# A customer who asks for a person gets one
[[triggers]]
name = "asked-for-a-person"
when = "asked_for_human"
reason = "customer_request"
timing = "now"
urgency = "high"

# Thoughts of self-harm, legal threats, a stolen account, a disputed payment: nothing for a machine
[[triggers]]
name = "sensitive"
when = "sensitive"
reason = "sensitive"
timing = "now"
urgency = "urgent"

# What the AI tried fails, or the customer has to ask again
[[triggers]]
name = "not-getting-anywhere"
when = "failed_attempts >= 3 or repeated_question"
reason = "unclear"
timing = "now"

# The AI itself is not sure; it may try a little longer: timing = { wait = "10m" }
# [[triggers]]
# name = "unsure"
# when = "confidence < 0.3"
# reason = "unclear"

# To whom: a route sets what no earlier one and not the trigger has set
# [[routes]]
# when = 'topic == "refund"'
# group = "billing"
# next_steps = ["Check the payment provider's record"]

# [[routes]]
# when = '"gold" in customer.segments'
# urgency = "+1"
"""
_TAIL = """
# Times that the team promises, by urgency
# A duration counts working time where hours are named: with 9 hours a day, "18h" are two days
# [sla.default]
# first_response = { urgent = "30m", high = "2h", normal = "8h", low = "2d" }
# resolution = { urgent = "4h", high = "1d", normal = "3d", low = "5d" }
# hours = "default"

# Business hours, by name. Holidays: a country (FR), a region (DE-BY), a date (2026-12-24), or a list of these
# [hours.default]
# timezone = "Europe/Paris"
# days = { mon-fri = "09:00-18:00" }
# holidays = "FR"

# What happens to a handoff that nobody has taken (or: answered, solved) after a share of the promised time
# [[raise]]
# unless = "taken"
# at = "75%"
# urgency = "+1"
# notice = "Nobody has taken this yet; the first answer is due soon."

# Who gets updates as signed webhooks (Standard Webhooks); without events all kinds
# [[subscribers]]
# url = "https://app.example.com/handrail"
# secret = "${SUBSCRIBER_SECRET}"
# events = ["status", "reply"]
"""


_OTHER = """
# Another desk that is installed. Take the "# " away if it is yours, and see `handrail connectors {name}`"""


def sample(installed: Mapping[str, type[Connector]], wanted: Iterable[str] = ()) -> str:
    """A commented ``handrail.toml`` with a desk for each ``wanted`` connector, by default for the first.

    It loads once its variables are set. Settings that are required, that carry ``examples``, or that the
    connector's own checks ask for are filled in; the others stand as comments with their default. So do, in
    short, the desks of the other installed connectors: a desk that nobody has would fail every check.
    """
    if not installed:
        raise ConfigError(
            "no connector is installed; install that of your desk first: `pip install handrail-NAME`"
        )
    chosen = list(dict.fromkeys(wanted)) or [next(iter(installed))]
    others = [name for name in installed if name not in chosen]
    desks = chain(
        *(_desk(name, installed[name]) for name in chosen),
        *(_other(name, installed[name]) for name in others),
    )
    head = _HEAD.replace("{desk}", chosen[0])
    return head + "\n".join(desks) + "\n" + POLICY + _TAIL


def _desk(name: str, connector: type[Connector]) -> Iterator[str]:
    filled = _filled(name, connector)
    yield f"\n[desks.{name}]"
    yield f"connector = {_toml(name)}"
    for key, info in _own_first(connector).items():
        yield f"\n# {info.description or key}" + (" (required)" if info.is_required() else "")
        value = filled.get(key, _default(info) if not is_secret(info) else _variable(name, key))
        yield f"{'' if key in filled else '# '}{key} = {_toml(value)}"


def _other(name: str, connector: type[Connector]) -> Iterator[str]:
    yield _OTHER.replace("{name}", name)
    yield f"# [desks.{name}]"
    yield f"# connector = {_toml(name)}"
    for key, value in _filled(name, connector).items():
        yield f"# {key} = {_toml(value)}"


def _filled(name: str, connector: type[Connector]) -> dict[str, Any]:
    """The settings that the sample fills in: enough for the connector, the first of its alternatives."""
    fields = _own_first(connector)
    offered = {key: _offer(name, key, info) for key, info in fields.items()}
    needed = [key for key, info in fields.items() if info.is_required() or info.examples]
    optional = [key for key, info in fields.items() if key not in needed and info.default in (None, "")]
    for more in _selections(optional):
        chosen = {key: offered[key] for key in fields if key in (*needed, *more)}
        if _accepts(connector, chosen):
            return _pruned(connector, chosen, more)
    return {key: offered[key] for key in needed}


def _selections(optional: list[str]) -> Iterator[list[str]]:
    """Up to three of ``optional``, those first that were declared first."""
    places = range(len(optional))
    for chosen in sorted(chain.from_iterable(combinations(places, count) for count in range(4))):
        yield [optional[place] for place in chosen]


def _pruned(connector: type[Connector], chosen: dict[str, Any], optional: list[str]) -> dict[str, Any]:
    """``chosen`` without those of ``optional`` that the connector does not ask for."""
    for key in optional:
        less = {name: value for name, value in chosen.items() if name != key}
        chosen = less if _accepts(connector, less) else chosen
    return chosen


def _accepts(connector: type[Connector], settings: Mapping[str, Any]) -> bool:
    try:
        connector.model_validate(settings)
    except ValidationError:
        return False
    return True


def _own_first(connector: type[Connector]) -> dict[str, FieldInfo]:
    """The settings, those of the base last."""
    fields, base = names(connector), names(Connector)
    return {k: v for k, v in fields.items() if k not in base} | {k: v for k, v in fields.items() if k in base}


def _offer(name: str, key: str, info: FieldInfo) -> Any:
    if is_secret(info):
        return _variable(name, key)
    if info.examples:
        return info.examples[0]
    if key == "url":
        return "https://desk.example.com"
    if key == "email":
        return "you@example.com"
    plain: dict[Any, Any] = {bool: False, int: 1, float: 1.0, timedelta: timedelta(minutes=1)}
    return plain.get(info.annotation or str, f"your-{key.replace('_', '-')}")


def _variable(name: str, key: str) -> str:
    prefix = name.upper().replace("-", "_")
    return "${" + f"{prefix}_{key.upper()}".replace(f"{prefix}_{prefix}_", f"{prefix}_") + "}"


def _default(info: FieldInfo) -> Any:
    default = info.get_default(call_default_factory=True)
    return "" if default is None else default


def _toml(value: Any) -> str:
    """``value`` as TOML on one line."""
    if isinstance(value, timedelta):
        return _toml(format_duration(value))
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, Mapping):
        return (
            "{ " + ", ".join(f"{_toml(str(k))} = {_toml(v)}" for k, v in value.items()) + " }"
            if value
            else "{}"
        )
    if isinstance(value, Iterable) and not isinstance(value, str):
        return "[" + ", ".join(map(_toml, value)) + "]"
    text = str(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{text}"'


def desks_schema(installed: Mapping[str, type[Connector]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The JSON Schema of ``[desks]``, and the definitions that it refers to."""
    kinds: list[dict[str, Any]] = []
    defs: dict[str, Any] = {}
    for name, connector in installed.items():
        schema = connector.model_json_schema(ref_template=f"#/$defs/{name}.{{model}}")
        defs |= {f"{name}.{key}": value for key, value in schema.pop("$defs", {}).items()}
        schema["properties"] = {"connector": {"const": name}} | schema["properties"]
        schema["required"] = ["connector", *schema.get("required", [])]
        kinds.append(schema | {"title": connector.title or name})
    return {
        "type": "object",
        "description": "Help desks, by names of yours",
        "propertyNames": {"pattern": "^[A-Za-z0-9_-]{1,64}$"},
        "additionalProperties": {"oneOf": kinds} if kinds else False,
        "minProperties": 1,
    }, defs


def mark_secrets(schema: Any) -> None:
    """Turn our own ``secret`` mark into the standard ``writeOnly``, everywhere in ``schema``."""
    if isinstance(schema, dict):
        if schema.get("secret") is True:
            del schema["secret"]
            schema["writeOnly"] = True
        schema = list(schema.values())
    if isinstance(schema, list):
        for value in schema:
            mark_secrets(value)


def settings(connector: type[Connector]) -> Iterator[dict[str, Any]]:
    """The settings of a connector, for ``handrail connectors NAME``: its own first."""
    for name, info in _own_first(connector).items():
        default = None if info.is_required() else info.get_default(call_default_factory=True)
        yield {
            "name": name,
            "description": info.description,
            "required": info.is_required(),
            "default": format_duration(default) if isinstance(default, timedelta) else default,
            "secret": is_secret(info),
        }
