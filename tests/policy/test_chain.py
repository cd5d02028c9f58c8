"""The list ``[[raise]]``: what is read, what is refused, and when each link comes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tests.desks import Acme

from handrail import ConfigError, Due
from handrail.config import Config, load
from handrail.policy.chain import Raise, chain
from handrail.policy.hours import Calendar

OFFICE = Calendar("UTC", {"mon-fri": "09:00-18:00"})
FILE = """
[desks.support]
connector = "acme"
url = "https://acme.example.com"
[sla.default]
first_response = { normal = "2h" }
"""


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handrail.plugins.connectors", lambda: {"acme": Acme})


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("rule", "calendar", "moment"),
    [
        ({}, None, "2026-11-20T18:30"),
        ({}, OFFICE, "2026-11-23T09:30"),
        ({"at": "50%"}, OFFICE, "2026-11-20T18:00"),
        ({"at": "12.5%"}, OFFICE, "2026-11-20T17:15"),
        ({"at": "100%"}, OFFICE, "2026-11-23T10:00"),
        ({"at": "150%"}, OFFICE, "2026-11-23T11:00"),
        ({"at": "90m"}, OFFICE, "2026-11-23T09:30"),
        ({"at": "90m"}, None, "2026-11-20T18:30"),
        ({"at": "50%", "unless": "solved"}, OFFICE, None),
        ({"at": "3h", "unless": "solved"}, OFFICE, "2026-11-23T11:00"),
    ],
)
def test_a_link_comes_at_its_share_of_working_time(
    rule: dict[str, str], calendar: Calendar | None, moment: str | None
) -> None:
    since = at("2026-11-20T17:00")
    due = Due(first_response=at("2026-11-23T10:00") if calendar else at("2026-11-20T19:00"))
    made = chain([Raise.model_validate(rule)], due, since, calendar)
    assert [link.at for link in made.links if link.rule] == ([at(moment)] if moment else [])
    assert [link.at for link in made.links if not link.rule] == [due.first_response]


def test_links_stand_in_their_order_and_a_raise_before_the_breach() -> None:
    rules = [Raise(at="100%"), Raise(at="50%"), Raise(at="75%", unless="solved")]
    due = Due(first_response=at("2026-11-23T10:00"), resolution=at("2026-11-23T12:00"))
    made = chain(rules, due, at("2026-11-23T08:00"), None)
    assert [(link.number, link.of) for link in made.links] == [
        (2, "first_response"),
        (1, "first_response"),
        (0, "first_response"),
        (3, "resolution"),
        (0, "resolution"),
    ]
    assert made.passed().next == made.links[1]


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("at", "75", "'75' is no time; write a share such as 75% or a duration such as 30m"),
        ("at", "0%", "'0%' is no time"),
        ("at", "0s", "'0s' is no time"),
        ("at", "-5%", "'-5%' is no time"),
        ("at", "\u0667%", "is no time"),
        ("at", "soon", "'soon' is no time"),
        ("urgency", "+9", "'+9' is no urgency; write one of low, normal, high, urgent, or a step such as +1"),
        ("urgency", "+0", "'+0' is no urgency"),
        ("urgency", "hot", "'hot' is no urgency"),
        ("unless", "seen", "'taken', 'answered' or 'solved'"),
        ("when", "", "at least 1 character"),
    ],
)
def test_what_is_not_understood_is_refused_with_the_cure(key: str, value: str, said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Raise.model_validate({key: value})
    (error,) = caught.value.errors()
    assert error["loc"] == (key,)
    assert said in error["msg"]


def test_raises_are_read_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "handrail.toml"
    path.write_text(FILE + '[[raise]]\nurgency = "+1"\n[[raise]]\nat = "30m"\nunless = "answered"\n')
    assert load(path, {}).raises == (Raise(urgency="+1"), Raise(at="30m", unless="answered"))
    assert Config.json_schema()["properties"]["raise"]["items"] == {"$ref": "#/$defs/Raise"}


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ('desk = "backup"', "raise[0].desk: no desk 'backup' is configured; write one of support"),
        ('unless = "solved"', "raise[0].at: 75% of nothing: add resolution to [sla.default], or write a"),
        ('at = "x"', ":8: raise[0].at: 'x' is no time"),
        ('notise = "x"', "raise[0].notise: unknown key; did you mean 'notice'?"),
        ('when = "x"', "raise[0].when: 'x' is not known"),
    ],
)
def test_a_raise_that_cannot_work_is_refused(tmp_path: Path, rule: str, said: str) -> None:
    path = tmp_path / "handrail.toml"
    path.write_text(f"{FILE}[[raise]]\n{rule}\n")
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    assert said in str(caught.value)


def test_the_name_of_the_field_is_no_key(tmp_path: Path) -> None:
    path = tmp_path / "handrail.toml"
    path.write_text(f'{FILE}[[raises]]\nat = "30m"\n')
    with pytest.raises(ConfigError, match="raises: unknown key; did you mean 'raise'"):
        load(path, {})


def test_a_chain_survives_being_stored() -> None:
    due: Any = Due(first_response=at("2026-11-23T10:00"))
    made = chain([Raise(notice="x", group="g")], due, at("2026-11-23T08:00"), None).passed()
    assert type(made).model_validate_json(made.model_dump_json()) == made
