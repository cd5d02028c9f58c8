"""Every mistake in a policy is an error that names the file, the line, the key and the cure."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from handrail import ConfigError, Connector, setting
from handrail.config import load
from handrail.policy.load import load_policy
from handrail.policy.reading import read_policy


class Acme(Connector):
    """A desk without an address of its own."""

    name: ClassVar[str] = "acme"
    brand: str | None = setting("Brand of new tickets", default=None)

    @property
    def base_url(self) -> str:
        return "https://acme.example.com"


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handrail.plugins.connectors", lambda: {"acme": Acme})


DESK = '[desks.support]\nconnector = "acme"\n'
FIRST = '[[triggers]]\nname = "first"\nwhen = "asked_for_human"\n'
"""Lines 1 to 5 of each file; what is wrong begins in line 6."""


def trigger(*lines: str, name: str = 'name = "second"') -> str:
    return "\n".join(["[[triggers]]", name, *lines])


def when(condition: str) -> str:
    return trigger(f"when = {condition}")


MISTAKES = {
    "a misspelt signal": (when("'asked_for_humans'"), 8, "triggers[1].when", "did you mean asked_for_human?"),
    "a misspelt part of the customer": (
        when("'\"x\" in customer.segmets'"),
        8,
        "triggers[1].when",
        "did you mean customer.segments?",
    ),
    "a field without its fields": (
        when("'order_id == 3'"),
        8,
        "triggers[1].when",
        "What your application gives is fields.order_id",
    ),
    "a number compared with a text": (
        when("'turns == \"three\"'"),
        8,
        "triggers[1].when",
        "write the number without quotation marks",
    ),
    "a text compared with a number": (
        when("'topic == 3'"),
        8,
        "triggers[1].when",
        "topic, which is a text, with 3, which is a number; write it in quotation marks",
    ),
    "a flag compared with a number": (
        when("'asked_for_human == 1'"),
        8,
        "triggers[1].when",
        "write it alone",
    ),
    "an order of flags": (when("'asked_for_human > 1'"), 8, "triggers[1].when", "cannot be ordered; use =="),
    "an order of unlike things": (when("'turns > topic'"), 8, "triggers[1].when", "turns, which is a number"),
    "a single =": (when("'turns = 3'"), 8, "triggers[1].when", "column 7 ('= 3'); write == to compare"),
    "&& for and": (
        when("'turns > 3 && sensitive'"),
        8,
        "triggers[1].when",
        "column 12 ('& sensitive'); write and",
    ),
    "|| for or": (
        when("'turns > 3 || sensitive'"),
        8,
        "triggers[1].when",
        "column 12 ('| sensitive'); write or",
    ),
    "! for not": (when("'!sensitive'"), 8, "triggers[1].when", "column 1 ('!sensitive'); write not"),
    "an unfinished condition": (
        when("'turns >'"),
        8,
        "triggers[1].when",
        "a value or a closing bracket is missing",
    ),
    "an open bracket": (
        when("'(turns > 3'"),
        8,
        "triggers[1].when",
        "a value or a closing bracket is missing",
    ),
    "an open text": (
        when("'topic == \"x'"),
        8,
        "triggers[1].when",
        "close the text with a second quotation mark",
    ),
    "a condition without sense": (
        when("'turns 3'"),
        8,
        "triggers[1].when",
        "write it like: turns >= 3 and topic",
    ),
    "a pattern that backtracks": (
        when("'topic =~ \"a+\"'"),
        8,
        "triggers[1].when",
        'matches(text, "pattern")',
    ),
    "a pattern that RE2 does not take": (
        when("'matches(text, \"(?=a)\")'"),
        8,
        "triggers[1].when",
        "RE2 syntax is taken, without look-around",
    ),
    "the time": (when("'$now > 3'"), 8, "triggers[1].when", "a condition looks at the conversation only"),
    "a constant": (when("'3'"), 8, "triggers[1].when", "write a condition, such as turns >= 3"),
    "a search in a number": (
        when("'\"x\" in turns'"),
        8,
        "triggers[1].when",
        "turns is a number; in looks into",
    ),
    "the length of the text": (when("'text.length > 3'"), 8, "triggers[1].when", "text can only be searched"),
    "another function": (when("'length(topic) > 3'"), 8, "triggers[1].when", "'length' is not known"),
    "a backslash": (when("""'"\\d" in text'"""), 8, "triggers[1].when", "write two for one"),
    "powers": (when("'turns ** 2 > 3'"), 8, "triggers[1].when", "calculates with + - * / only"),
    "a misspelt category": (when("'\"leagl\" in sensitive'"), 8, "triggers[1].when", "did you mean legal?"),
    "a number for a condition": (when("3"), 8, "triggers[1].when", "should be a text; put it in quotes"),
    "an empty condition": (when("''"), 8, "triggers[1].when", "is empty; write a condition"),
    "no condition": (trigger(), 6, "triggers[1].when", "missing; it is required (A condition over"),
    "no name": (trigger("when = 'turns > 3'", name=""), 6, "triggers[1].name", "missing; it is required"),
    "a name with a space": (
        trigger("when = 'turns > 3'", name='name = "a b"'),
        7,
        "triggers[1].name",
        "a name has letters, digits",
    ),
    "a name twice": (
        trigger("when = 'turns > 3'", name='name = "first"'),
        7,
        "triggers[1].name",
        "'first' is triggers[0] already; give another name",
    ),
    "a misspelt key": (
        trigger("when = 'turns > 3'", "reson = 'policy'"),
        9,
        "triggers[1].reson",
        "unknown key; did you mean 'reason'?",
    ),
    "an unknown reason": (
        trigger("when = 'turns > 3'", "reason = 'angry'"),
        9,
        "triggers[1].reason",
        "should be 'customer_request', 'policy', 'sensitive', 'unclear' or 'configured'",
    ),
    "an unknown urgency": (
        trigger("when = 'turns > 3'", "urgency = 'hot'"),
        9,
        "triggers[1].urgency",
        "write one of low, normal, high, urgent, or a step such as +1",
    ),
    "an unknown timing": (
        trigger("when = 'turns > 3'", "timing = 'soon'"),
        9,
        "triggers[1].timing",
        'write "now", { wait = "10m" } or',
    ),
    "a wait that is no duration": (
        trigger("when = 'turns > 3'", "timing = { wait = '10 minutes' }"),
        9,
        "triggers[1].timing.wait",
        "write 30s, 10m, 24h or 2d",
    ),
    "a wait of nothing": (
        trigger("when = 'turns > 3'", "timing = { wait = '0s' }"),
        9,
        "triggers[1].timing.wait",
        'write timing = "now"',
    ),
    "two timings": (
        trigger("when = 'turns > 3'", "timing = { wait = '1m', sla = 'first_response' }"),
        9,
        "triggers[1].timing.wait",
        "stands beside sla; keep one of them",
    ),
    "a lead without an SLA": (
        trigger("when = 'turns > 3'", "timing = { wait = '1m', lead = '1m' }"),
        9,
        "triggers[1].timing.lead",
        "belongs to sla; write { sla",
    ),
    "a misspelt timing": (
        trigger("when = 'turns > 3'", "timing = { wiat = '1m' }"),
        9,
        "triggers[1].timing.wiat",
        "did you mean 'wait'?",
    ),
    "a promise that nobody makes": (
        trigger("when = 'turns > 3'", "timing = { sla = 'first_response' }"),
        9,
        "triggers[1].timing",
        "add it to [sla.default]",
    ),
    "a flow that is not there": (
        trigger("when = 'turns > 3'", "flow = 'refnd'"),
        9,
        "triggers[1].flow",
        "write [flows.refnd], or one of: none",
    ),
    "a desk that is not there": (
        trigger("when = 'turns > 3'", "desk = 'suport'"),
        9,
        "triggers[1].desk",
        "did you mean 'support'?",
    ),
    "a route to no desk": ("[[routes]]\ndesk = 'suport'", 7, "routes[0].desk", "did you mean 'support'?"),
    "a route's misspelt signal": (
        "[[routes]]\nwhen = 'topc == \"x\"'",
        7,
        "routes[0].when",
        "did you mean topic?",
    ),
    "tags that are no list": (
        trigger("when = 'turns > 3'", "tags = 'vip'"),
        9,
        "triggers[1].tags",
        "should be a list; write it in square brackets",
    ),
    "a step without a deed": (
        "[flows.refund]\nsteps = [ { when = 'turns > 3' } ]",
        7,
        "flows.refund.steps[0]",
        "does nothing; write exactly one of collect, set, route, hand_off, also",
    ),
    "a step with two deeds": (
        "[flows.refund]\nsteps = [ { hand_off = true, also = 'x' } ]",
        7,
        "flows.refund.steps[0]",
        "has hand_off and also; write exactly one of",
    ),
    "a flow without steps": (
        "[flows.refund]\nsteps = []",
        7,
        "flows.refund.steps",
        "is empty; write at least one",
    ),
    "a step's misspelt signal": (
        "[flows.refund]\nsteps = [ { when = 'trns > 3', hand_off = true } ]",
        7,
        "flows.refund.steps[0].when",
        "did you mean turns?",
    ),
    "a step's misspelt key": (
        "[flows.refund]\nsteps = [ { colect = ['a'] } ]",
        7,
        "flows.refund.steps[0].colect",
        "did you mean 'collect'?",
    ),
    "a misspelt word list": (
        "[signals.asked_for_human]\nphrase = ['x']",
        7,
        "signals.asked_for_human.phrase",
        "did you mean 'phrases'?",
    ),
    "a word list that is none": (
        "[signals.sensitive]\nlegal = 'lawyer'",
        7,
        "signals.sensitive.legal",
        "should be a list",
    ),
    "a signal that is in capitals": (when("'TURNS > 3'"), 8, "triggers[1].when", "did you mean turns?"),
    "a capital True": (when("'True'"), 8, "triggers[1].when", "did you mean true?"),
    "a text without quotation marks": (
        when("'channel == email'"),
        8,
        "triggers[1].when",
        'url. What your application gives is fields.email, a text stands in quotation marks: "email"',
    ),
    "AND for and": (
        when("'turns > 3 AND sensitive'"),
        8,
        "triggers[1].when",
        "write and, in small letters",
    ),
    "is for ==": (when("'topic is null'"), 8, "triggers[1].when", "write == null or != null"),
    "contains for in": (when("'text contains \"x\"'"), 8, "triggers[1].when", 'write "word" in text'),
    "typographic quotation marks": (
        when("'topic == “refund”'"),
        8,
        "triggers[1].when",
        "write plain quotation marks",
    ),
    "matches without a pattern": (
        when("'matches(text)'"),
        8,
        "triggers[1].when",
        'triggers[1].when: write matches(text, "pattern")',
    ),
    "a division by nothing": (when("'1 / 0 > turns'"), 8, "triggers[1].when", "cannot be, such as 1 / 0"),
    "all fields at once": (when("'fields > 3'"), 8, "triggers[1].when", "such as fields.amount"),
    "the whole customer": (when("'customer'"), 8, "triggers[1].when", "such as customer.email"),
    "an empty group": (trigger("when = 'turns > 3'", "group = ''"), 9, "triggers[1].group", "is empty"),
    "a step of urgency that is none": (
        trigger("when = 'turns > 3'", "urgency = '+0'"),
        9,
        "triggers[1].urgency",
        "or a step such as +1",
    ),
    "more steps than there are urgencies": (
        trigger("when = 'turns > 3'", "urgency = '+7'"),
        9,
        "triggers[1].urgency",
        "or a step such as +1",
    ),
    "a wait without end": (
        trigger("when = 'turns > 3'", "timing = { wait = '99999999d' }"),
        9,
        "triggers[1].timing.wait",
        "is longer than ten years; write 30s, 10m, 24h or 2d",
    ),
    "questions without end": (
        "[flows.refund]\nsteps = [ { collect = ['a'], give_up_after = '99999999d' } ]",
        7,
        "flows.refund.steps[0].give_up_after",
        "is longer than ten years",
    ),
    "a section's key behind a table": (
        trigger("when = 'turns > 3'", "policy = 'p.toml'"),
        9,
        "triggers[1].policy",
        "move it to the top of the file, before the first [table]",
    ),
    "promises without a name": (
        "[sla]\nfirst_response = { high = '2h' }",
        7,
        "sla.first_response",
        "write [sla.default]",
    ),
    "a promise of no time": (
        "[sla.default]\nfirst_response = { high = '0m' }",
        7,
        "sla.default.first_response.high",
        "is no time at all; write a duration such as 30m, or remove it",
    ),
    "a raise that is no list": ("[raise]\nat = '30m'", 6, "raise", "should be a list; write [[raise]]"),
    "a raise that takes years": (
        "[hours.default]\ntimezone = 'UTC'\ndays = { mon = '09:00-10:00' }\n[sla.default]\n"
        "hours = 'default'\n[[raise]]\nat = '300h'",
        12,
        "raise[0].at",
        "300h of working time take years; a week has 1h; write less",
    ),
    "a share that takes years": (
        "[hours.default]\ntimezone = 'UTC'\ndays = { mon = '09:00-10:00' }\n[sla.default]\n"
        "hours = 'default'\nfirst_response = { high = '200h' }\n[[raise]]\nat = '150%'",
        13,
        "raise[0].at",
        "300h of working time take years",
    ),
    "an urgency that there is none of": (
        "[flows.refund]\nsteps = [ { when = 'urgency == \"hgih\"', hand_off = true } ]",
        7,
        "flows.refund.steps[0].when",
        "urgency is never 'hgih'; did you mean 'high'?",
    ),
    "an urgency in a list": (
        "[[raise]]\nat = '30m'\nwhen = 'urgency in [\"high\", \"URGENT\"]'",
        8,
        "raise[0].when",
        "urgency is never 'URGENT'; did you mean 'urgent'?",
    ),
    "a reason that there is none of": (
        "[[raise]]\nat = '30m'\nwhen = '\"vip\" != reason'",
        8,
        "raise[0].when",
        "reason is never 'vip'; it is one of customer_request, policy, sensitive, unclear, configured",
    ),
    "two policies": ("", 1, "policy", "stands beside triggers; keep them in one place"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named_with_file_line_key_and_cure(name: str, tmp_path: Path) -> None:
    text, line, key, cure = MISTAKES[name]
    path = tmp_path / "handrail.toml"
    body = DESK + FIRST + text
    path.write_text('policy = "p.toml"\n' + body if name == "two policies" else body)
    with pytest.raises(ConfigError) as caught:
        load(path, {})

    said = [one for one in str(caught.value).splitlines() if f": {key}: " in one]
    assert said, str(caught.value)
    assert said[0].startswith(f"{path}:{line}: {key}: ")
    assert cure in said[0]


def test_there_are_at_least_thirty() -> None:
    assert len(MISTAKES) >= 30


def test_the_same_mistakes_are_named_in_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "handrail.toml").write_text('policy = "policy.toml"\n' + DESK)
    (tmp_path / "policy.toml").write_text(FIRST + trigger("when = 'trns > 3'"))
    with pytest.raises(ConfigError, match=r"policy.toml:6: triggers\[1\].when: 'trns' is not known"):
        load(tmp_path / "handrail.toml", {})
    with pytest.raises(ConfigError, match=r"policy.toml:6: triggers\[1\].when: 'trns' is not known"):
        load_policy(tmp_path / "policy.toml", {})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('policy = "gone.toml"\n', "gone.toml: No such file or directory; name a file that is there"),
        ("policy = 3\n", 'policy: is no path; write policy = "policy.toml"'),
    ],
)
def test_a_policy_file_that_cannot_be_read_is_named(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "handrail.toml").write_text(text + DESK)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "handrail.toml", {})

    assert said in str(caught.value)


def test_a_policy_file_holds_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text("trigers = []")
    with pytest.raises(ConfigError, match=r"policy.toml:1: trigers: unknown key; did you mean 'triggers'"):
        load_policy(tmp_path / "policy.toml", {})


def test_a_file_without_a_policy_is_none(tmp_path: Path) -> None:
    (tmp_path / "handrail.toml").write_text(DESK)

    assert load(tmp_path / "handrail.toml", {}).policy is None
    with pytest.raises(ConfigError, match=r"there is none; add \[\[triggers\]\]"):
        load_policy(tmp_path / "handrail.toml", {})


def test_a_trigger_that_can_reach_no_route_is_refused(tmp_path: Path) -> None:
    text = FIRST + trigger("when = 'turns > 3'", "desk = 'support'")
    (tmp_path / "handrail.toml").write_text(text)
    from handrail.config_source import Source
    from handrail.policy.load import PolicyText

    read = PolicyText.alone(Source(tmp_path / "handrail.toml", text), {})
    with pytest.raises(ConfigError) as caught:
        read.made(["support"], "")

    assert str(caught.value).count("can reach no route") == 1
    assert ":1: triggers[0]: 'first' can reach no route; give it a desk" in str(caught.value)
    assert read.made(["support"], "support") is not None


def test_all_mistakes_come_at_once(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(when("'trns > 1'") + "\n" + when("'turns ='"))
    with pytest.raises(ConfigError) as caught:
        load_policy(tmp_path / "policy.toml", {})

    assert len(str(caught.value).splitlines()) == 3  # two conditions, and a name that is there twice


def test_a_policy_may_be_loaded_from_a_whole_configuration(tmp_path: Path) -> None:
    (tmp_path / "handrail.toml").write_text(DESK + FIRST)
    (tmp_path / "policy.toml").write_text(FIRST)

    assert [
        load_policy(tmp_path / name, {}).digest == load_policy(tmp_path / "policy.toml", {}).digest
        for name in ("handrail.toml", "policy.toml")
    ] == [True, True]


def test_a_byte_order_mark_is_no_mistake_in_any_file(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text("\ufeff" + FIRST)
    (tmp_path / "handrail.toml").write_text('\ufeffpolicy = "policy.toml"\n' + DESK)
    (tmp_path / "secret.toml").write_text(f'\ufeff{FIRST}{DESK}brand = "${{UNSET}}"\n')

    assert load(tmp_path / "handrail.toml", {}).policy
    assert load_policy(tmp_path / "policy.toml", {}).triggers
    assert read_policy(tmp_path / "handrail.toml", {}).policy.triggers
    assert read_policy(tmp_path / "policy.toml", {}).policy.triggers
    assert "UNSET" in read_policy(tmp_path / "secret.toml", {}).notice


def test_what_stands_in_for_an_urgency_may_be_any_text(tmp_path: Path) -> None:
    good = """'(urgency ?? "none") == "none" or urgency in ["low", "high"] or reason == null'"""
    path = tmp_path / "handrail.toml"
    path.write_text(f"{DESK}{FIRST}[[raise]]\nat = '30m'\nwhen = {good}\n")

    assert len(load(path, {}).raises) == 1
