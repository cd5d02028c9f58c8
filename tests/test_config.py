"""The configuration: what loads, what is refused, and that no message holds a secret."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import model_validator
from tests.test_imports import loaded_by

from handrail import ConfigError, Connector, secret, setting
from handrail.config import Config, load, sample
from handrail.config_source import _line_of

SECRET = "s3cr3t-value"


class Acme(Connector):
    """A desk that wants an address and one of two credentials."""

    name: ClassVar[str] = "acme"
    title: ClassVar[str] = "Acme Desk"

    brand: str | None = setting("Brand of new tickets", default=None)
    account: str | None = setting("The 'x' of x.acme.example", default=None)
    token: str | None = secret("API token", default=None)
    password: str | None = secret("Password", default=None)
    visibility: str = setting("Who sees it", default="note", pattern="^(note|public)$")
    tags: list[str] = setting("Tags of every ticket", default=[])

    @property
    def base_url(self) -> str:
        return super().base_url or (f"https://{self.account}.acme.example" if self.account else "")

    @model_validator(mode="after")
    def _one_credential(self) -> Acme:
        if (self.token is None) == (self.password is None):
            raise ValueError(f"token: give token or password, exactly one of them (not {self.token!r})")
        if "gold" in self.groups:
            raise ValueError("groups.gold: there is no gold")
        return self


class Post(Connector):
    """A desk with a setting whose name is a word of Python, and with required settings."""

    name: ClassVar[str] = "post"

    smtp: str = secret("SMTP address", examples=["smtp://localhost"])
    from_: str = setting("Sender", alias="from", examples=["AI desk <handoff@example.com>"])

    @property
    def base_url(self) -> str:
        return "https://localhost"


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handrail.plugins.connectors", lambda: {"acme": Acme, "post": Post})


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def written(text: str) -> Path:
        path = tmp_path / "handrail.toml"
        path.write_text(text, "utf-8")
        return path

    return written


ONE = """
[desks.support]
connector = "acme"
account = "x"
token = "${ACME_TOKEN}"
"""
ENV = {"ACME_TOKEN": SECRET}
HOURS = """
[hours.default]
timezone = "Europe/Paris"
days = { mon-fri = "09:00-18:00" }
holidays = ["FR", 2026-12-24, "2026-12-31"]
"""


def complaint(path: Path, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load(path, ENV if environ is None else environ)
    assert caught.value.__cause__ is None
    return str(caught.value).replace(str(path), "FILE")


def test_the_shortest_file_has_the_contract_s_defaults(write: Any, tmp_path: Path) -> None:
    config = load(write(ONE), ENV)
    assert config.path == tmp_path / "handrail.toml"
    assert config.store == f"sqlite:///{tmp_path}/handrail.db"
    assert (config.desk, config.fallback, config.give_up_after) == ("support", (), timedelta(hours=24))
    assert config.desks["support"] == Acme(account="x", token=SECRET)
    assert config.server.tokens == []
    assert SECRET not in repr(config)


def test_everything_that_can_be_set_arrives(write: Any) -> None:
    head = """store = "sqlite:////var/x.db?timeout=5"
desk = "support"
fallback = ["b-2"]
give_up_after = "1h30m"
"""
    more = """groups = { billing = "Tier 2" }
urgency = { urgent = "P1" }
poll = "2m"
[desks.b-2]
connector = "post"
smtp = "smtp://u:${SMTP_PASSWORD}@mail"
from = "a@b.c"
[sla.default]
first_response = { urgent = "30m" }
[server]
tokens = ["${T}", "two"]
"""
    config = load(write(head + ONE + more), ENV | {"SMTP_PASSWORD": "pw", "T": "one"})
    assert config.store == "sqlite:////var/x.db?timeout=5"
    assert config.fallback == ("b-2",)
    assert config.give_up_after == timedelta(minutes=90)
    assert config.desks["support"].groups == {"billing": "Tier 2"}
    assert config.desks["support"].poll == timedelta(minutes=2)
    backup = config.desks["b-2"]
    assert isinstance(backup, Post)
    assert (backup.smtp, backup.from_) == ("smtp://u:pw@mail", "a@b.c")
    assert config.sla["default"].first_response == {"urgent": timedelta(minutes=30)}
    assert config.server.tokens == ["one", "two"]
    assert "tokens" not in repr(config)


def test_business_hours_are_read_and_promises_count_in_them(write: Any) -> None:
    config = load(write(ONE + HOURS + '[sla.default]\nresolution = { low = "2h" }\nhours = "default"'), ENV)
    assert config.hours["default"].holidays == ("FR", "2026-12-24", "2026-12-31")
    calendar = config.calendar(config.sla["default"])
    assert calendar is not None
    evening = datetime(2026, 12, 23, 16, tzinfo=UTC)  # five in Paris; two days off and a weekend follow
    assert calendar.add(evening, timedelta(hours=2)) == datetime(2026, 12, 28, 9, tzinfo=UTC)


def test_loading_business_hours_imports_no_table_of_holidays(write: Any) -> None:
    path = write(HOURS.replace('"FR"', '"DE-BY"'))
    code = f"from handrail.config import Hours; import tomllib; t = tomllib.load(open({str(path)!r}, 'rb'))"
    assert "holidays" not in loaded_by(f"{code}; Hours.model_validate(t['hours']['default'])")


def test_the_file_is_found_at_the_argument_the_variable_and_here(
    write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(ONE)
    elsewhere = tmp_path / "other"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert load(str(path), ENV | {"HANDRAIL_CONFIG": "/nowhere"}).path == path
    assert load(None, ENV | {"HANDRAIL_CONFIG": str(path)}).path == path
    with pytest.raises(ConfigError, match="handrail init"):
        load(None, ENV)
    monkeypatch.chdir(tmp_path)
    assert load(None, ENV | {"HANDRAIL_CONFIG": ""}).path == path


def test_files_that_cannot_be_read(write: Any, tmp_path: Path) -> None:
    assert "run" not in complaint(write("desk = = 3"))
    assert "line 1" in complaint(write("desk = = 3"))
    (tmp_path / "handrail.toml").write_bytes(b"desk = '\xff'")
    assert "not UTF-8" in complaint(tmp_path / "handrail.toml")
    assert "directory" in complaint(tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('desc = "support"\n' + ONE, "FILE:1: desc: unknown key; did you mean 'desk'?"),
        (ONE + "pol = 3", "FILE:6: desks.support.pol: unknown key; did you mean 'poll'?"),
        (ONE + "qqqq = 3", "FILE:6: desks.support.qqqq: unknown key; known are account, brand, "),
        (ONE + "[server]\ntoken = []", "FILE:7: server.token: unknown key; did you mean 'tokens'?"),
        (
            ONE + "[sla.a]\nresolutions = {}",
            "FILE:7: sla.a.resolutions: unknown key; did you mean 'resolution'?",
        ),
        (
            ONE + 'poll = "soon"',
            "FILE:6: desks.support.poll: 'soon' is no duration; write 30s, 10m, 24h or 2d",
        ),
        (ONE + "concurrency = 0", "FILE:6: desks.support.concurrency: should be greater than or equal to 1"),
        (ONE + 'urgency = { hot = "P1" }', "FILE:6: desks.support.urgency.hot: should be 'low', 'normal',"),
        (ONE + 'tags = ["a", []]', "FILE:6: desks.support.tags[1]: should be a text; put it in quotes"),
        (ONE + "groups = 3", "FILE:6: desks.support.groups: should be a table"),
        (
            ONE + '[sla.a]\nfirst_response = { high = "x" }',
            "FILE:7: sla.a.first_response.high: 'x' is no duration",
        ),
        (ONE + 'password = "p"', "FILE:5: desks.support.token: give token or password"),
        (
            ONE + '[desks.b]\nconnector = "post"',
            "FILE:6: desks.b.smtp: missing; it is required (SMTP address)",
        ),
        (ONE + '[desks.b]\nconnector = "post"', "FILE:6: desks.b.from: missing; it is required (Sender)"),
        (
            ONE + '[desks.b]\nconnector = "acne"',
            "FILE:7: desks.b.connector: no connector 'acne' is installed; did",
        ),
        (ONE + '[desks.b]\nconnector = "zulip"', "pip install handrail-zulip`. Installed: acme, post"),
        (
            ONE + "[desks.b]\nx = 1",
            "FILE:6: desks.b.connector: missing; write connector = ..., one of acme, post",
        ),
        (ONE + '[desks."b c"]\nconnector = "acme"', "FILE:6: desks.b c: a desk's name has letters"),
        ('desk = "suport"\n' + ONE, "FILE:1: desk: no desk 'suport' is configured; write one of support"),
        ('fallback = ["x"]\n' + ONE, "FILE:1: fallback[0]: no desk 'x' is configured; write one of support"),
        (
            ONE + ONE.replace("support", "b"),
            "FILE: desk: missing; say which desk handoffs go to, one of b, support",
        ),
        ("", "FILE: desks: no desk is configured; add a table [desks.NAME]"),
        ("desks = 3", "FILE:1: desks: must be tables"),
        ('store = "mysql://x"\n' + ONE, "FILE:1: store: must be sqlite:///FILE or postgresql://"),
        (
            'store = "sqlite://"\n' + ONE,
            "FILE:1: store: keeps nothing in a file; write sqlite:///handrail.db",
        ),
        ('store = "sqlite:///:memory:"\n' + ONE, "FILE:1: store: keeps nothing in a file"),
        (ONE + '[server]\ntokens = [""]', "FILE:7: server.tokens: a token is empty"),
        (
            ONE + '[sla.a]\nhours = "d"',
            "FILE:7: sla.a.hours: no hours 'd' are configured; add a table [hours.d]",
        ),
        (
            ONE + '[sla.a]\nhours = "defualt"\n' + HOURS,
            "FILE:7: sla.a.hours: no hours 'defualt' are configured; did you mean 'default'?",
        ),
        (
            ONE + '[sla.a]\nresolution = { low = "2000d" }\nhours = "default"\n' + HOURS,
            "FILE:7: sla.a.resolution.low: 2000d of working time take years; a week has 45h",
        ),
        (
            ONE + '[hours.a]\ntimezone = "Europe/Pari"\ndays = { mon = "09:00-18:00" }',
            "FILE:7: hours.a.timezone: 'Europe/Pari' is no time zone; did you mean 'Europe/Paris'?",
        ),
        (
            ONE + '[hours.a]\ntimezone = "UTC"\ndays = { mon = "9-18" }',
            "FILE:8: hours.a.days: '9-18' of 'mon' is no span of time; write \"09:00-18:00\"",
        ),
        (
            ONE + '[hours.a]\ntimezone = "UTC"\ndays = {}',
            "FILE:8: hours.a.days: it is never open; write days such as",
        ),
        (
            ONE + '[hours.a]\ntimezone = "UTC"\ndays = { mon = "09:00-18:00" }\nholidays = "Germany"',
            "FILE:9: hours.a.holidays: 'Germany' is no country that we know the holidays of; did you mean",
        ),
        (ONE + '[hours.a]\ntimezone = "UTC"', "FILE:6: hours.a.days: missing; it is required (Opening hours"),
        (
            ONE + "[hours.a]\ntimezones = 3",
            "FILE:7: hours.a.timezones: unknown key; did you mean 'timezone'?",
        ),
    ],
)
def test_a_wrong_value_is_named_with_its_line_and_its_cure(write: Any, text: str, said: str) -> None:
    assert said in complaint(write(text))


HOOK = """
[[subscribers]]
url = "https://app.example.com/{0}"
secret = "0123456789abcdef"
"""


def test_subscribers_arrive_with_their_defaults(write: Any) -> None:
    more = 'events = ["status", "reply"]\ngive_up_after = "1h"\n'
    first, second = load(write(ONE + HOOK.format("a") + HOOK.format("b") + more), ENV).subscribers
    assert (first.url, first.events) == ("https://app.example.com/a", ())
    assert first.give_up_after == timedelta(days=3)
    assert second.events == ("status", "reply")
    assert second.give_up_after == timedelta(hours=1)
    assert first.name != second.name
    assert "0123456789abcdef" not in repr((first, second))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('event = ["reply"]', "FILE:14: subscribers[1].event: unknown key; did you mean 'events'?"),
        (
            'events = ["reply", "stats"]',
            "FILE:14: subscribers[1].events[1]: there is no event 'stats'; did you mean 'status'?",
        ),
        ('events = ["qqq"]', "subscribers[1].events[0]: there is no event 'qqq'; known are created, status"),
        ("events = [3]", "FILE:14: subscribers[1].events[0]: should be 'created'"),
        ('give_up_after = "soon"', "FILE:14: subscribers[1].give_up_after: 'soon' is no duration"),
    ],
)
def test_a_wrong_subscriber_is_named_with_its_line(write: Any, text: str, said: str) -> None:
    assert said in complaint(write(ONE + HOOK.format("a") + HOOK.format("b") + text))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://app.example.com", "must begin with https://"),
        ("http://192.168.0.1/x", "must begin with https://"),
        ("ftp://127.0.0.1/x", "must begin with https://"),
        ("https://ann:pa55word@app.example.com", "must hold no credentials"),
        ("https://ann@app.example.com", "must hold no credentials"),
        ("https://", "is no address"),
        ("https://[::1", "is no address"),
        ("https://a.example:99999", "is no address"),
        ("https://a.example/x y", "is no address"),
        ("https://a.example/\\n", "is no address"),
        ("", "is no address"),
    ],
)
def test_where_updates_may_not_go(write: Any, url: str, said: str) -> None:
    said_there = complaint(write(ONE + HOOK.replace("https://app.example.com/{0}", url)))
    assert f"FILE:8: subscribers[0].url: {said}" in said_there
    assert "pa55word" not in said_there


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/x", "http://[::1]/", "http://localhost:1", "https://a/b?c=d"]
)
def test_where_updates_may_go(write: Any, url: str) -> None:
    (subscriber,) = load(write(ONE + HOOK.replace("https://app.example.com/{0}", url)), ENV).subscribers
    assert subscriber.url == url


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("fifteen-of-them", "must have at least 16 characters"),
        ("", "must have at least 16 characters"),
        ("whsec_no+base64!!!!!!!!!!", "what stands behind whsec_ is no base64"),
        ("whsec_" + "QUJD" * 7, "behind whsec_ must stand 24 to 64 bytes"),
        ("whsec_" + "QUJD" * 22, "behind whsec_ must stand 24 to 64 bytes"),
    ],
)
def test_a_secret_that_is_too_weak_is_refused_and_not_shown(write: Any, value: str, said: str) -> None:
    text = complaint(write(ONE + HOOK.replace("0123456789abcdef", "${S}")), ENV | {"S": value})
    assert f"FILE:9: subscribers[0].secret: {said}" in text
    assert not value or value not in text


def test_a_subscriber_without_secret_and_two_with_one_address(write: Any) -> None:
    bare = '[[subscribers]]\nurl = "https://a.example"'
    said = complaint(write(ONE + bare))
    assert "FILE:6: subscribers[0].secret: missing; it is required (What they are signed with" in said
    said = complaint(write(ONE + HOOK.format("a") + HOOK.format("b") + HOOK.format("a")))
    assert said == "FILE:16: subscribers[2].url: another subscriber has this url; write one table for both"


@pytest.mark.parametrize(
    "text", ["subscribers = 3\n" + ONE, ONE + '[subscribers]\nsecret = "s3cr3t-and-long-enough"']
)
def test_subscribers_that_are_no_list_of_tables(write: Any, text: str) -> None:
    said = complaint(write(text))
    assert "subscribers: should be a list" in said
    assert "s3cr3t" not in said


PLACES = """\
top = 1
[desks.a]
tags = [
  "x = 1",
]
"odd.name" = 2
[[triggers]]
name = "one"
when = \"\"\"
[[triggers]]
then = 1
\"\"\"
then = 2
[[triggers]]
[triggers.more]
name = "inner"
[[triggers.all]]
word = 1
[[triggers.all]]
a.b = 1
[[ triggers ]]
[[triggers.all]]
word = 3
[other]
name = "x"
"""


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (("top",), 1),
        (("nothing",), None),
        (("desks", "a", "nothing"), 2),
        (("desks", "a", "tags", 0), 3),
        (("desks", "a", "x"), 2),
        (("desks", "a", "odd.name"), 6),
        (("triggers",), 7),
        (("triggers", 0, "name"), 8),
        (("triggers", 0, "then"), 13),
        (("triggers", 1), 14),
        (("triggers", 1, "name"), 14),
        (("triggers", 1, "more", "name"), 16),
        (("triggers", 1, "all", 0, "word"), 18),
        (("triggers", 1, "all", 1, "a", "b"), 20),
        (("triggers", 1, "all", 1, "a", "c"), 20),
        (("triggers", 2, "name"), 21),
        (("triggers", 2, "all", 0, "word"), 23),
        (("triggers", 3, "name"), 7),
        (("other", "name"), 25),
    ],
)
def test_the_line_of_a_key(keys: tuple[str | int, ...], line: int | None) -> None:
    assert _line_of(PLACES, keys) == line


def test_all_complaints_come_at_once(write: Any) -> None:
    said = complaint(write(ONE + "pol = 1\nconcurrency = 0\n" + '[desks.b]\nconnector = "x"\n'))
    assert said.count("\n") == 2


def test_an_unset_variable_is_named_with_its_key(write: Any) -> None:
    said = complaint(write(ONE + 'tags = ["${A}", "b${B}"]'), {"A": "1"})
    assert "FILE:5: desks.support.token: the environment variable ACME_TOKEN is not set" in said
    assert "FILE:6: desks.support.tags[1]: the environment variable B is not set" in said


def test_a_value_from_the_environment_is_not_expanded_again(write: Any) -> None:
    config = load(write(ONE), {"ACME_TOKEN": "${HOME}"})
    assert config.desks["support"] == Acme(account="x", token="${HOME}")


@pytest.mark.parametrize(
    "text",
    [
        ONE + 'password = "${OTHER}"',
        ONE.replace("${ACME_TOKEN}", SECRET) + 'password = "p"',
        ONE + 'url = "http://user:${OTHER}@desk.example.com"',
        ONE + 'url = "http://user:other-s3cr3t@desk.example.com"',
        ONE + 'poll = "${OTHER}"',
        ONE + "poll = 3\ntags = 3\ngroups = 4",
        f'[server]\ntokens = ["{SECRET}", 3]\n' + ONE,
        'store = "mysql://u:${OTHER}@x/y"\n' + ONE,
    ],
)
def test_no_message_holds_a_secret(write: Any, text: str) -> None:
    said = complaint(write(text), ENV | {"OTHER": "other-s3cr3t"})
    assert "s3cr3t" not in said


def test_the_sample_loads_once_its_variables_are_set(write: Any) -> None:
    text = sample({"acme": Acme, "post": Post}, ["acme", "post"])
    config = load(write(text), {"ACME_TOKEN": "a", "POST_SMTP": "b"})
    assert config.desk == "acme"
    assert config.desks == {
        "acme": Acme(account="your-account", token="a"),
        "post": Post(smtp="b", from_="AI desk <handoff@example.com>"),
    }
    for line in ("# Who sees it", '# visibility = "note"', '# poll = "1m"', "# tags = []", "# groups = {}"):
        assert line in text.splitlines()
    assert '# password = "${ACME_PASSWORD}"' in text


def test_the_sample_s_commented_settings_are_the_defaults(write: Any) -> None:
    text = sample({"acme": Acme})
    opened = [
        line.removeprefix("# ") if "poll =" in line or "tags =" in line else line for line in text.split("\n")
    ]
    assert load(write("\n".join(opened)), ENV).desks == {"acme": Acme(account="your-account", token=SECRET)}


def test_the_sample_s_other_desks_are_comments_and_load_once_they_are_opened(write: Any) -> None:
    text = sample({"acme": Acme, "post": Post}, ["post"])
    assert list(load(write(text), {"POST_SMTP": "b"}).desks) == ["post"]
    opened = [
        line.removeprefix("# ") if line.startswith(("# [desks.acme]", '# connector = "acme"')) else line
        for line in text.split("\n")
    ]
    opened = [
        line.removeprefix("# ") if line.startswith(("# account =", "# token =")) else line for line in opened
    ]
    assert load(write("\n".join(opened)), ENV | {"POST_SMTP": "b"}).desks["acme"] == Acme(
        account="your-account", token=SECRET
    )


def test_a_byte_order_mark_is_no_part_of_the_file(write: Any) -> None:
    assert list(load(write("\ufeff" + ONE), ENV).desks)


@pytest.mark.parametrize(
    ("more", "where", "words"),
    [
        ('poll = "0s"', ".poll", "greater than 0"),
        ('timeout = "0s"', ".timeout", "greater than 0"),
        ('visibility = "x"', ".visibility", "has not the right form (Who sees it)"),
        ('password = "${}"', ".password", "the environment variable '' has no such name"),
        ('password = "${NO NAME}"', ".password", "'NO NAME' has no such name"),
        ('groups = { gold = "x" }', ".groups.gold", "there is no gold"),
    ],
)
def test_a_wrong_value_is_named_with_its_line(write: Any, more: str, where: str, words: str) -> None:
    said = complaint(write(ONE.rstrip() + "\n" + more))
    assert f"{len(ONE.rstrip().splitlines()) + 1}: desks." in said
    assert f"{where}: " in said
    assert words in said


def test_the_sample_offers_nothing_of_an_http_api_that_is_not_there() -> None:
    text = sample({"acme": Acme})

    assert "[server]" not in text
    assert "HTTP API" not in text


def test_a_sample_without_connectors_says_what_to_install() -> None:
    with pytest.raises(ConfigError, match="pip install handrail-NAME"):
        sample({})


def test_the_schema_describes_the_file_with_each_connector() -> None:
    schema = Config.json_schema()
    json.dumps(schema)
    assert schema["required"] == ["desks"]
    assert schema["additionalProperties"] is False
    assert set(schema["properties"]) == {
        "store",
        "desk",
        "fallback",
        "give_up_after",
        "desks",
        "sla",
        "hours",
        "raise",
        "server",
        "subscribers",
        "policy",
        "triggers",
        "routes",
        "flows",
        "signals",
    }
    kinds = schema["properties"]["desks"]["additionalProperties"]["oneOf"]
    assert [kind["properties"]["connector"]["const"] for kind in kinds] == ["acme", "post"]
    assert kinds[0]["properties"]["token"]["writeOnly"] is True
    assert "writeOnly" not in kinds[0]["properties"]["account"]
    assert kinds[1]["required"] == ["connector", "smtp", "from"]
    assert schema["$defs"]["Server"]["properties"]["tokens"]["writeOnly"] is True
    assert schema["$defs"]["Subscriber"]["properties"]["secret"]["writeOnly"] is True
    assert '"secret": true' not in json.dumps(schema)


def test_every_reference_in_the_schema_leads_somewhere() -> None:
    schema = Config.json_schema()
    used = {part.split('"')[0] for part in json.dumps(schema).split('"#/$defs/')[1:]}
    assert used
    assert used <= set(schema["$defs"])


def test_a_schema_without_connectors_admits_no_desk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handrail.plugins.connectors", dict)
    assert Config.json_schema()["properties"]["desks"]["additionalProperties"] is False
