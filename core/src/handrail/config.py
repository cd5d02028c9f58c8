"""The configuration file ``handrail.toml``: found, read, checked, and turned into objects.

Every complaint is a ``ConfigError`` that names the file, the line where it is known, the key and the cure,
and never the value of a secret.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from handrail.config_sample import desks_schema, mark_secrets, sample
from handrail.config_source import ENCODING, Complaint, Keys, Source, expand, listed, names, unknown_key
from handrail.config_subscribers import Subscriber
from handrail.connector import Connector
from handrail.durations import Duration
from handrail.errors import ConfigError
from handrail.model import Urgency
from handrail.policy import timing
from handrail.policy.chain import Raise, longest, share
from handrail.policy.due import promised
from handrail.policy.hours import Calendar, Hours
from handrail.policy.load import FILE, SECTIONS, PolicyText, Sections
from handrail.policy.model import Signals

__all__ = ["Config", "Server", "Sla", "find", "load", "not_installed", "sample"]

_DESK_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_STORES = ("sqlite", "postgresql")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, populate_by_name=True)


class Sla(_Section):
    """How long the team may take, by urgency."""

    first_response: dict[Urgency, Duration] = Field(
        default={}, description="Until a person answers, by urgency"
    )
    resolution: dict[Urgency, Duration] = Field(default={}, description="Until it is solved, by urgency")
    hours: str | None = Field(default=None, description="Business hours that count; a name of [hours]")


class Server(_Section):
    """Settings of ``handrail serve``."""

    tokens: list[str] = Field(
        default=[],
        repr=False,
        description="Bearer tokens of the HTTP API; none: only loopback clients are served",
        json_schema_extra={"secret": True},
    )


class Config(_Section):
    """A whole configuration. ``desk`` and each of ``fallback`` are names in ``desks``.

    ``store`` is a database URL; a relative SQLite path has been made absolute, from the file's folder.
    """

    path: Path
    store: str = Field(
        default="sqlite:///handrail.db", repr=False, description="Database URL, sqlite or postgresql"
    )
    desk: str = Field(default="", description="Where handoffs go; with one desk configured, that one")
    fallback: tuple[str, ...] = Field(
        default=(), description="Desks that are tried in this order when the first cannot"
    )
    give_up_after: Duration = Field(
        default=timedelta(hours=24), description="When delivery moves on to the next desk"
    )
    desks: dict[str, Connector] = {}
    sla: dict[str, Sla] = Field(default={}, description="Times that the team promises, by name")
    hours: dict[str, Hours] = Field(default={}, description="Business hours, by name")
    raises: tuple[Raise, ...] = Field(
        default=(), alias="raise", description="What happens to a handoff that nobody takes in time"
    )
    server: Server = Server()
    subscribers: tuple[Subscriber, ...] = Field(
        default=(), description="Who gets updates as signed webhooks (Standard Webhooks)"
    )
    policy: Any = Field(default=None, exclude=True, repr=False, description=FILE)
    """In a file a path; in a loaded configuration a ``handrail.policy.policy.Policy``, or None."""

    def calendar(self, sla: Sla) -> Calendar | None:
        """The business hours that a promise counts in; None: all hours."""
        return self.hours[sla.hours].calendar if sla.hours else None

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """JSON Schema of the whole file, with the settings of each installed connector."""
        from handrail.plugins import connectors

        schema = cls.model_json_schema(mode="validation")
        schema["$defs"].pop("Connector")
        sections = Sections.model_json_schema(mode="validation")
        schema["properties"] |= sections["properties"] | {"policy": {"type": "string", "description": FILE}}
        schema["$defs"] |= sections["$defs"]
        schema["properties"].pop("path")
        schema["properties"]["desks"], defs = desks_schema(connectors())
        schema["$defs"] |= defs
        mark_secrets(schema)
        head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "handrail.toml"}
        return head | schema | head | {"required": ["desks"], "description": "The configuration of Handrail"}


_SECTIONS: dict[str, type[BaseModel]] = {
    "sla": Sla,
    "hours": Hours,
    "raise": Raise,
    "server": Server,
    "subscribers": Subscriber,
}


def load(path: str | Path | None = None, environ: Mapping[str, str] = os.environ) -> Config:
    """Read the file at ``path``, else at $HANDRAIL_CONFIG, else ./handrail.toml. Raises ``ConfigError``."""
    place = find(path, environ)
    source = Source(place, _read(place))
    data = source.parse()
    _refuse_unknown(source, data)
    data = expand(source, data, environ)
    policy = PolicyText.taken(source, data, environ)
    source.hide(data.get("server"), Server)
    subscribers = data.get("subscribers")
    for table in subscribers if isinstance(subscribers, list) else [subscribers]:
        source.hide(table, Subscriber)
    desks = _desks(source, data.pop("desks", None))
    try:
        config = Config.model_validate({**data, "path": place, "desks": desks})
    except ValidationError as error:
        source.fail(_complaints(error, Config))
    _refuse_empty_tokens(source, config)
    _check_promises(source, config)
    _check_raises(source, config, policy.sections.signals)
    chosen = _choose_desk(source, config)
    changes = {"desk": chosen, "store": _store(source, config), "policy": _policy(policy, config, chosen)}
    return config.model_copy(update=changes)


def _policy(text: PolicyText, config: Config, desk: str) -> Any:
    sla = config.sla.get("default", Sla())
    made = [name for name in ("first_response", "resolution") if getattr(sla, name)]
    return text.made(config.desks, desk, made, due_by=promised(sla, config.calendar(sla)))


def find(path: str | Path | None = None, environ: Mapping[str, str] = os.environ) -> Path:
    """Where the configuration is expected: ``path``, $HANDRAIL_CONFIG, ./handrail.toml."""
    return Path(path or environ.get("HANDRAIL_CONFIG") or "handrail.toml").absolute()


def _read(place: Path) -> str:
    try:
        return place.read_text(ENCODING)
    except FileNotFoundError:
        raise ConfigError(
            f"no configuration at {place}: write one with `handrail init`, or name yours with --config or "
            "$HANDRAIL_CONFIG"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        why = "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise ConfigError(f"cannot read the configuration {place}: {why}") from None


def _refuse_unknown(source: Source, data: Mapping[str, Any]) -> None:
    known = [*(name for name in names(Config) if name != "path"), *SECTIONS]
    unknown: list[Complaint] = [((name,), unknown_key(name, known)) for name in data if name not in known]
    for section in ("sla", "hours"):
        table = data.get(section)
        unnamed = (
            [key for key in table if key in names(_SECTIONS[section])] if isinstance(table, dict) else []
        )
        unknown += [
            ((section, key), f"stands in no table with a name; write [{section}.default]") for key in unnamed
        ]
    if unknown:
        source.fail(unknown)


def _desks(source: Source, tables: Any) -> dict[str, Connector]:
    from handrail.plugins import connectors

    if not tables:
        source.fail([(("desks",), "no desk is configured; add a table [desks.NAME], see `handrail init`")])
    if not isinstance(tables, dict):
        source.fail([(("desks",), "must be tables [desks.NAME], each with connector = ...")])
    installed, complaints, desks = connectors(), list[Complaint](), dict[str, Connector]()
    for name, table in tables.items():
        try:
            desks[name] = _desk(source, name, table, installed)
        except _Complaints as found:
            complaints += found.complaints
    if complaints:
        source.fail(complaints)
    return desks


class _Complaints(Exception):
    def __init__(self, *complaints: Complaint) -> None:
        self.complaints = complaints


def _desk(source: Source, name: str, table: Any, installed: Mapping[str, type[Connector]]) -> Connector:
    keys = ("desks", name)
    if not _DESK_NAME.fullmatch(name):
        raise _Complaints((keys, "a desk's name has letters, digits, - and _, at most 64"))
    if not isinstance(table, dict) or not isinstance(table.get("connector"), str):
        raise _Complaints(
            ((*keys, "connector"), f"missing; write connector = ..., one of {listed(installed)}")
        )
    kind = table["connector"]
    if kind not in installed:
        raise _Complaints(((*keys, "connector"), not_installed(kind, installed)))
    settings = {key: value for key, value in table.items() if key != "connector"}
    source.hide(settings, installed[kind])
    try:
        return installed[kind].model_validate(settings)
    except ValidationError as error:
        raise _Complaints(*_complaints(error, installed[kind], keys)) from None


def not_installed(name: str, installed: Iterable[str]) -> str:
    """What is said of a connector that is not there."""
    known = sorted(installed)
    near = get_close_matches(name, known, n=1, cutoff=0.6)
    cure = f"did you mean {near[0]!r}? Otherwise" if near else "install it with"
    others = f"Installed: {listed(known)}"
    return f"no connector {name!r} is installed; {cure} `pip install handrail-{name}`. {others}"


def _complaints(error: ValidationError, model: type[BaseModel], keys: Keys = ()) -> Iterator[Complaint]:
    """pydantic's findings with whole key paths, in our words, without the values."""
    for found in error.errors(include_input=False, include_url=False, include_context=False):
        where = tuple(part for part in found["loc"] if part != "[key]")
        message = found["msg"].removeprefix("Value error, ")
        head, colon, rest = message.partition(": ")
        if found["type"] == "extra_forbidden":
            message = unknown_key(str(where[-1]), _siblings(model, where))
        elif found["type"] == "missing":
            message = f"missing; it is required ({_described(model, where)})"
        elif found["type"] == "string_pattern_mismatch":
            message = f"has not the right form ({_described(model, where)})"
        elif colon and not where and head.split(".")[0] in names(model):
            where, message = tuple(head.split(".")), rest
        yield (
            (*keys, *where),
            message.replace("Input should", "should", 1)
            .replace("valid dictionary", "table")
            .replace("valid tuple", "list; write [[raise]]" if where == ("raise",) else "list")
            .replace("a valid string", "a text; put it in quotes"),
        )


def _siblings(model: type[BaseModel], where: Keys) -> Iterable[str]:
    if len(where) == 1:
        return [*names(model), *(["connector"] if issubclass(model, Connector) else [])]
    return names(_model_at(model, where))


def _model_at(model: type[BaseModel], where: Keys) -> type[BaseModel]:
    return _SECTIONS.get(str(where[0]), model) if model is Config and len(where) > 1 else model


def _described(model: type[BaseModel], where: Keys) -> str:
    info = names(_model_at(model, where)).get(str(where[-1]))
    return (info.description if info else None) or "see `handrail schema`"


def _check_promises(source: Source, config: Config) -> None:
    """Every promise names hours that are there, and that have so much working time."""
    for name, sla in config.sla.items():
        if sla.hours is not None and sla.hours not in config.hours:
            near = get_close_matches(sla.hours, config.hours, n=1, cutoff=0.6)
            cure = f"did you mean {near[0]!r}?" if near else f"add a table [hours.{sla.hours}]"
            source.fail([(("sla", name, "hours"), f"no hours {sla.hours!r} are configured; {cure}")])
        endless = timing.endless(sla, config.calendar(sla))
        if endless:
            source.fail((("sla", name, *keys), why) for keys, why in endless)


def _check_raises(source: Source, config: Config, signals: Signals) -> None:
    """Every raise has a desk that is there, a promise of which it is a share, and a condition to be read."""
    complaints, sla = list[Complaint](), config.sla.get("default", Sla())
    for number, rule in enumerate(config.raises):
        if rule.desk is not None and rule.desk not in config.desks:
            why = f"no desk {rule.desk!r} is configured; write one of {listed(config.desks)}"
            complaints.append((("raise", number, "desk"), why))
        if share(rule.at) is not None and not getattr(sla, rule.of):
            why = f"{rule.at} of nothing: add {rule.of} to [sla.default], or write a duration such as 30m"
            complaints.append((("raise", number, "at"), why))
        most = longest(rule.at, getattr(sla, rule.of).values())
        if long := timing.too_long(most, config.calendar(sla)):
            complaints.append((("raise", number, "at"), f"{long}; write less"))
        if rule.when is not None and (wrong := _unreadable(rule.when, signals)):
            complaints.append((("raise", number, "when"), wrong))
    if complaints:
        source.fail(complaints)


def _unreadable(when: str, signals: Signals) -> str | None:
    from handrail.policy.condition import Conditions

    return Conditions(signals).wrong(when)


def _refuse_empty_tokens(source: Source, config: Config) -> None:
    if "" in config.server.tokens:
        source.fail([(("server", "tokens"), "a token is empty; every caller would know it")])
    urls = [subscriber.url for subscriber in config.subscribers]
    twice = [number for number, url in enumerate(urls) if url in urls[:number]]
    if twice:
        why = "another subscriber has this url; write one table for both"
        source.fail((("subscribers", number, "url"), why) for number in twice)


def _choose_desk(source: Source, config: Config) -> str:
    known = listed(config.desks)
    if not config.desk and len(config.desks) > 1:
        source.fail([(("desk",), f"missing; say which desk handoffs go to, one of {known}")])
    chosen = config.desk or next(iter(config.desks))
    wanted: list[Complaint] = [(("desk",), chosen)]
    wanted += [(("fallback", number), name) for number, name in enumerate(config.fallback)]
    unknown = [
        (keys, f"no desk {name!r} is configured; write one of {known}")
        for keys, name in wanted
        if name not in config.desks
    ]
    if unknown:
        source.fail(unknown)
    return chosen


def _store(source: Source, config: Config) -> str:
    scheme, separator, rest = config.store.partition("://")
    if not separator or scheme.partition("+")[0] not in _STORES:
        source.fail([(("store",), "must be sqlite:///FILE or postgresql://USER@HOST/DATABASE")])
    if not scheme.startswith("sqlite"):
        return config.store
    file, mark, options = rest.removeprefix("/").partition("?")
    if not rest.startswith("/") or file in ("", ":memory:"):
        source.fail([(("store",), "keeps nothing in a file; write sqlite:///handrail.db")])
    return f"{scheme}:///{(config.path.parent / file).as_posix()}{mark}{options}"
