"""``handrail check`` as the linter of a policy, ``handrail decide``, and the way into a handoff."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tests.desks import Worlds
from tests.policies import policy, said
from typer.testing import CliRunner

from handrail import Connector, InputError, Urgency
from handrail.cli import app
from handrail.config import load
from handrail.policy.lint import lint


class Acme(Connector):
    """A desk without an address of its own."""

    name: ClassVar[str] = "acme"

    @property
    def base_url(self) -> str:
        return "https://acme.example.com"


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handrail.plugins.connectors", lambda: {"acme": Acme})


DESK = '[desks.support]\nconnector = "acme"\ngroups = { billing = "B", default = "S" }\n'
PROMISE = '[sla.default]\nfirst_response = { urgent = "30m", high = "2h", normal = "8h" }\n'
ASKED = '[[triggers]]\nname = "asked"\nwhen = "asked_for_human"\n'


def trigger(name: str, when: str, *more: str) -> str:
    return "\n".join(["[[triggers]]", f'name = "{name}"', f"when = '{when}'", *more, ""])


def flow(*steps: str) -> str:
    return f"[flows.refund]\nsteps = [{', '.join(steps)}]\n"


REFUND = trigger("refund", 'topic == "refund"', 'flow = "refund"')
WAITS = trigger("t", "turns > 3", 'timing = { wait = "3h" }')


def warnings(tmp_path: Path, text: str, desk: str = DESK) -> list[str]:
    path = tmp_path / "handrail.toml"
    path.write_text(desk + text)
    found = lint(load(path, {}))
    assert all(each.ok for each in found)
    return [f"{each.subject}: {each.message}" for each in found if each.warning]


SUSPICIOUS = {
    "the same condition twice": (
        ASKED + trigger("again", "asked_for_human"),
        "triggers.again: never decides: asked has the same condition",
    ),
    "promises that nothing reads": (
        '[sla.gold]\nfirst_response = { high = "1h" }\n' + ASKED,
        "sla.gold: counts for nothing: promises are those of [sla.default]",
    ),
    "hours that no promise counts in": (
        '[hours.late]\ntimezone = "UTC"\ndays = { mon = "09:00-10:00" }\n' + ASKED,
        'hours.late: no promise counts in these hours; add hours = "late" to [sla.default]',
    ),
    "no phrase by which anybody asks": (
        ASKED + "[signals.asked_for_human]\nphrases = []\n",
        "signals.asked_for_human: phrases is empty, so nobody is heard",
    ),
    "behind one that always fires": (
        trigger("all", "true") + ASKED,
        "triggers.asked: never decides: all stands before it and always fires; move it up",
    ),
    "never fires": (ASKED + trigger("never", "false"), "triggers.never: never fires"),
    "narrower than an earlier one": (
        ASKED + trigger("long", "turns > 3") + trigger("longer", "turns > 3 and failed_attempts > 1"),
        "triggers.longer: never decides: whenever it fires, long fires before it; move it up",
    ),
    "overlapping": (
        ASKED + trigger("also", "asked_for_human or turns > 9"),
        "triggers.also: overlaps with asked, which is asked first: both fire on asked_for_human",
    ),
    "more than ten": (
        ASKED + "".join(trigger(f"t{n}", f"turns == {n}") for n in range(10)),
        "policy: has 11 triggers; more than 10 are hard to keep apart",
    ),
    "a group that no desk maps": (
        ASKED + trigger("t", "turns > 3", 'group = "biling"'),
        "triggers.t: no desk maps the group 'biling'",
    ),
    "a route's group that no desk maps": (
        ASKED + '[[routes]]\nname = "r"\ngroup = "x"\n',
        "routes.r: no desk maps the group 'x'",
    ),
    "a group that a step of a flow sets": (
        ASKED + REFUND + flow('{ set = { group = "x" } }'),
        "flows.refund.steps[0]: no desk maps the group 'x'",
    ),
    "a group that a step of a flow routes to": (
        ASKED + REFUND + flow("{ hand_off = true }", '{ route = { group = "x" } }'),
        "flows.refund.steps[1]: no desk maps the group 'x'",
    ),
    "a group beside": (
        ASKED + REFUND + flow('{ also = { desk = "support", group = "x" } }'),
        "flows.refund.steps[0]: no desk maps the group 'x'",
    ),
    "a next group that no desk maps": (
        ASKED + '[[raise]]\nat = "30m"\ngroup = "x"\n',
        "raise[0]: no desk maps the group 'x'",
    ),
    "a next group without a policy": (
        '[[raise]]\nat = "30m"\ngroup = "x"\n',
        "raise[0]: no desk maps the group 'x'",
    ),
    "a wait longer than the promise where a route makes it urgent": (
        ASKED + WAITS + PROMISE + '[[routes]]\nwhen = "amount > 9"\nurgency = "+1"\n',
        "triggers.t: waits 3h, and the first_response is promised within 2h for high, which a route or a "
        "step may make it; wait less",
    ),
    "a wait longer than the promise where a step makes it urgent": (
        ASKED
        + WAITS
        + 'flow = "refund"\n'
        + PROMISE
        + flow('{ when = "amount > 9", set = { urgency = "urgent" } }'),
        "triggers.t: waits 3h, and the first_response is promised within 30m for urgent, which",
    ),
    "a wait longer than the promise where a named route makes it urgent": (
        ASKED
        + WAITS
        + 'urgency = "low"\nflow = "refund"\n'
        + PROMISE
        + '[[routes]]\nname = "r"\nwhen = "amount > 9"\nurgency = "high"\n'
        + flow('{ route = "r" }'),
        "triggers.t: waits 3h, and the first_response is promised within 2h for high, which",
    ),
    "questions that take longer than the promise where a route makes it urgent": (
        ASKED + REFUND + PROMISE + '[[routes]]\nurgency = "urgent"\n' + flow('{ collect = ["order"] }'),
        "triggers.refund: its flow waits 30m for order, and the first_response is promised within 30m for "
        "urgent, which a route or a step may make it; make give_up_after shorter",
    ),
    "a wait longer than the promise": (
        ASKED + trigger("t", "turns > 3", 'timing = { wait = "3h" }', 'urgency = "high"') + PROMISE,
        "triggers.t: waits 3h, and the first_response is promised within 2h for high; wait less",
    ),
    "a lead longer than the promise": (
        ASKED + trigger("t", "turns > 3", 'timing = { sla = "first_response", lead = "9h" }') + PROMISE,
        "triggers.t: has a lead of 9h, and the first_response is promised within 8h for normal",
    ),
    "a customer who asks waits": (
        trigger("t", "asked_for_human", 'timing = { wait = "1m" }'),
        'triggers.t: makes a customer wait, and is about asked_for_human; write timing = "now"',
    ),
    "a sensitive matter waits": (
        ASKED + trigger("t", 'topic == "x"', 'timing = { wait = "1m" }', 'reason = "sensitive"'),
        'triggers.t: makes a customer wait, and is about sensitive; write timing = "now"',
    ),
    "a wait before who asks": (
        trigger("t", "turns > 3", 'timing = { wait = "1m" }') + ASKED,
        "triggers.t: waits and stands before asked: where both fire, the customer waits; move it behind, or "
        "add: and not asked_for_human",
    ),
    "nobody listens": (
        trigger("t", "turns > 3"),
        "policy: no trigger asks for asked_for_human: a customer who wants a person is not heard",
    ),
    "no trigger": ('[[routes]]\ngroup = "billing"\n', "policy: has no trigger"),
}


@pytest.mark.parametrize("name", SUSPICIOUS)
def test_what_is_suspicious_is_warned_of(name: str, tmp_path: Path) -> None:
    text, warning = SUSPICIOUS[name]

    assert [one for one in warnings(tmp_path, text) if one.startswith(warning)]


@pytest.mark.parametrize(
    "text",
    [
        ASKED,
        ASKED + trigger("t", "turns > 3 and not asked_for_human", 'timing = { wait = "1m" }'),
        trigger("t", "turns > 3 and not asked_for_human", 'timing = { wait = "1m" }') + ASKED,
        ASKED + trigger("a", "turns > 3 and failed_attempts > 1") + trigger("b", "turns > 3"),
        ASKED + trigger("t", "turns > 3", 'group = "billing"') + PROMISE,
        ASKED + trigger("t", "turns > 3", 'timing = { wait = "1h" }') + PROMISE,
        # a step that always lowers the urgency, and a trigger's own, which wins over a route's
        ASKED
        + WAITS
        + 'urgency = "high"\nflow = "refund"\n'
        + PROMISE
        + flow('{ set = { urgency = "low" } }', "{ hand_off = true }"),
        ASKED + WAITS + 'urgency = "normal"\n' + PROMISE + '[[routes]]\nurgency = "urgent"\n',
        ASKED
        + REFUND
        + flow('{ set = { group = "billing" } }')
        + '[[raise]]\nat = "30m"\ngroup = "billing"\n',
        ASKED + trigger("a", 'topic == "x or y"') + trigger("b", 'topic == "x"'),
    ],
)
def test_a_sound_policy_gets_no_warning(text: str, tmp_path: Path) -> None:
    assert warnings(tmp_path, text) == []


def test_groups_of_a_desk_that_maps_none_go_by_their_own_names(tmp_path: Path) -> None:
    desk = DESK.replace('groups = { billing = "B", default = "S" }\n', "")

    assert warnings(tmp_path, ASKED + trigger("t", "turns > 3", 'group = "x"'), desk) == []


# The commands.


def ran(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, [str(each) for each in arguments])


def test_check_prints_warnings_and_they_do_not_fail(tmp_path: Path) -> None:
    path = tmp_path / "handrail.toml"
    path.write_text(DESK + SUSPICIOUS["never fires"][0])
    done = ran("check", "--offline", "--config", path)

    assert (done.exit_code, "WARNING\ttriggers.never\tnever fires" in done.stdout) == (0, True)

    path.write_text(DESK + trigger("t", "trns > 1"))
    done = ran("check", "--offline", "--config", path, "--json")

    assert done.exit_code == 1
    assert (
        "handrail.toml:6: triggers[0].when: 'trns' is not known"
        in json.loads(done.stdout)["findings"][0]["message"]
    )


CONVERSATIONS = [
    {"id": "a", "messages": [{"role": "customer", "text": "I want a human"}]},
    {"id": "b", "messages": [{"role": "customer", "text": "hello"}]},
]


def test_decide_says_what_and_why(tmp_path: Path) -> None:
    (tmp_path / "handrail.toml").write_text(DESK + ASKED + 'urgency = "high"\ngroup = "billing"\n')
    (tmp_path / "good.json").write_text(json.dumps(CONVERSATIONS))
    done = ran("decide", tmp_path / "good.json", "--config", tmp_path / "handrail.toml")

    assert done.exit_code == 0
    assert done.stdout.splitlines()[1:] == [
        "a\thand_off\tasked\tsupport\tbilling\thigh\t\t"
        'asked: asked_for_human: the customer wrote "I want a human" (turn 1)',
        "b\tkeep\t\t\t\t\t\tno trigger fires",
    ]


def test_decide_as_json_names_bad_input_and_says_so_in_its_status(tmp_path: Path) -> None:
    (tmp_path / "handrail.toml").write_text(DESK + ASKED)
    lines = [json.dumps(CONVERSATIONS[0]), "{", json.dumps(CONVERSATIONS[1])]
    (tmp_path / "some.jsonl").write_text("\n".join(lines))
    done = ran("decide", tmp_path / "some.jsonl", "--config", tmp_path / "handrail.toml", "--json")
    document = json.loads(done.stdout)

    assert done.exit_code == 4
    assert [each["line"] for each in document["errors"]] == [2]
    kinds = [(one["conversation_id"], one["kind"], one["hand_off"]) for one in document["decisions"]]
    assert kinds == [("a", "hand_off", True), ("b", "keep", False)]
    assert document["decisions"][0]["fired"][0]["name"] == "asked"


def test_a_configuration_without_conditions_imports_no_rule_engine(tmp_path: Path) -> None:
    (tmp_path / "handrail.toml").write_text('[desks.support]\nconnector = "email"\n')
    code = "\n".join(
        [
            "import sys, handrail.config, handrail.rail, handrail.cli",
            "from handrail.policy import load, model, wish, due",
            "import handrail.policy.load as l; from handrail.config_source import Source; import pathlib",
            "l.PolicyText.alone(Source(pathlib.Path('p'), ''), {}).made(['a'], 'a')",
            "print(' '.join({'rule_engine', 're2', 'holidays'} & set(sys.modules)))",
        ]
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == ""


# From a decision to a handoff.

POLICY = """
[[triggers]]
name = "asked"
when = "asked_for_human"
reason = "customer_request"
urgency = "high"
group = "billing"
owner = "ann"
tags = ["asked"]
next_steps = ["Say hello"]
[[triggers]]
name = "slow"
when = "turns > 1"
timing = { wait = "10m" }
"""


def test_a_decision_becomes_a_handoff_and_what_is_given_besides_wins(worlds: Worlds) -> None:
    rail = worlds().rail
    rail.config = rail.config.model_copy(update={"policy": policy(POLICY)})
    talk = said("I want a human")
    decision = rail.decide(talk)
    handoff = rail.hand_off(talk, decision, urgency="urgent")

    assert (handoff.trigger, handoff.reason, handoff.group, handoff.owner) == (
        "asked",
        "customer_request",
        "billing",
        "ann",
    )
    assert (handoff.tags, handoff.next_steps) == (("asked",), ("Say hello",))
    assert handoff.urgency is Urgency.URGENT
    assert rail.show(handoff.id)["trigger"] == "asked"


def test_without_a_policy_the_ai_keeps_everything(worlds: Worlds) -> None:
    rail = worlds().rail
    decision = rail.decide(said("I want a human"))

    assert (decision.kind, decision.because.startswith("no policy is configured")) == ("keep", True)
    with pytest.raises(InputError, match="the policy keeps this conversation"):
        rail.hand_off(said("I want a human"), decision)


def test_a_decision_about_another_conversation_is_refused(worlds: Worlds) -> None:
    rail = worlds().rail
    rail.config = rail.config.model_copy(update={"policy": policy(POLICY)})
    decision = rail.decide(said("I want a human"))
    with pytest.raises(InputError, match="was made for conversation 'c-1', not for 'c-2'; decide again"):
        rail.hand_off(said("I want a human", id="c-2"), decision)


def test_a_wait_carries_its_time_into_the_wish() -> None:
    from datetime import UTC, datetime, timedelta

    from handrail.policy.wish import wish_from

    now = datetime(2026, 11, 20, tzinfo=UTC)
    decision = policy(POLICY).decide(said("a", "b"), now, default_desk="d")

    assert wish_from(decision, "c-1")["until"] == now + timedelta(minutes=10)
    assert wish_from(None, "c-1") == {}


def test_the_sample_s_policy_loads_without_a_warning(tmp_path: Path) -> None:
    from handrail.config import sample

    (tmp_path / "handrail.toml").write_text(sample({"acme": Acme}))
    config = load(tmp_path / "handrail.toml", {})

    assert [each.name for each in config.policy.triggers] == [
        "asked-for-a-person",
        "sensitive",
        "not-getting-anywhere",
    ]
    assert [each.warning for each in lint(config)] == [False]
