"""Flows without a store: what is asked, which answers will do, what the steps come to, and mistakes."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tests.policies import NOW, policy, said
from typer.testing import CliRunner

from handrail import ConfigError, Connector, Conversation, Handoff, InputError
from handrail.cli import app
from handrail.config import Config, load
from handrail.config_source import Source
from handrail.policy.condition import Conditions
from handrail.policy.flow import Snapshot, Walked, answered, walk
from handrail.policy.flow_model import GIVE_UP_AFTER, Also, FlowStep
from handrail.policy.lint import lint
from handrail.policy.load import PolicyText

SECRET = "a secret of sixteen"
DESK = '[desks.support]\nconnector = "acme"\n[desks.ops]\nconnector = "acme"\n'
HEAD = 'desk = "support"\n'
TRIGGER = '[[triggers]]\nname = "refund"\nwhen = "asked_for_human"\nflow = "refund"\n'


class Acme(Connector):
    """A desk without an address of its own."""

    name: ClassVar[str] = "acme"

    @property
    def base_url(self) -> str:
        return "https://acme.example.com"


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handrail.plugins.connectors", lambda: {"acme": Acme})


def config(tmp_path: Path, *steps: str, head: str = "", more: str = "", trigger: str = TRIGGER) -> Config:
    path = tmp_path / "handrail.toml"
    flow = "[flows.refund]\nsteps = [\n" + "".join(f"  {step},\n" for step in steps) + "]\n"
    path.write_text(HEAD + head + DESK + trigger + (flow if steps else "") + more)
    return load(path, {})


def snapshot(*steps: str, more: str = "") -> Snapshot:
    found = policy(f"{TRIGGER}[flows.refund]\nsteps = [{', '.join(steps)}]\n{more}").flow("refund")
    assert found is not None
    return found


def handoff(**known: Any) -> Handoff:
    conversation = known.pop("conversation", None) or said("Where is it?", fields=known.pop("fields", {}))
    at = datetime(2026, 11, 20, tzinfo=UTC)
    return Handoff(id="h", key="k", conversation=conversation, desk="support", created_at=at, **known)


def walked(*steps: str, ask: bool = True, more: str = "", **known: Any) -> Walked:
    flow = snapshot(*steps, more=more)
    return walk(flow.steps, handoff(**known), Conditions(flow.signals).holds, ask=ask)


# Questions.


@pytest.mark.parametrize(
    ("value", "good"),
    [
        ("1182", True),
        (" 1182\n", True),
        (1182, True),
        (118, False),
        ("11a2", False),
        ("", False),
        ("   ", False),
        (None, False),
        (["1182"], False),
    ],
)
def test_an_answer_must_be_there_and_look_as_expected(value: Any, good: bool) -> None:
    step = '{ collect = ["id"], pattern = { id = "^[0-9]{4,}$" } }'
    assert (walked(step, fields={"id": value}).at is None) is good


def test_a_pattern_is_looked_for_and_minds_the_case() -> None:
    step = '{ collect = ["id"], pattern = { id = "A-[0-9]" } }'
    assert walked(step, fields={"id": "order A-7, please"}).at is None
    assert walked(step, fields={"id": "a-7"}).asks == ("id",)


def test_a_pattern_runs_in_linear_time_on_hostile_answers() -> None:
    step = '{ collect = ["id"], pattern = { id = "^(a+)+$" } }'
    assert walked(step, fields={"id": "a" * 200_000 + "!"}).asks == ("id",)


def test_questions_are_asked_step_by_step() -> None:
    steps = ('{ collect = ["a", "b"] }', '{ collect = ["c"], when = \'fields.a == "x"\' }')
    assert walked(*steps).asks == ("a", "b")
    assert walked(*steps, fields={"b": 1}).asks == ("a",)
    assert (walked(*steps, fields={"a": "x", "b": 1}).at, walked(*steps, fields={"a": "y", "b": 1}).at) == (
        1,
        None,
    )


def test_without_time_to_ask_all_that_lacks_is_named_once() -> None:
    steps = ('{ collect = ["a", "b"] }', '{ collect = ["b", "c"] }', '{ set = { owner = "bea" } }')
    result = walked(*steps, ask=False, fields={"a": 1})
    assert (result.at, result.handoff.missing, result.handoff.owner) == (None, ("b", "c"), "bea")


def test_answers_are_taken_for_any_step_of_the_flow() -> None:
    flow = snapshot('{ collect = ["a"] }', '{ collect = ["b"], pattern = { b = "^[0-9]$" } }')
    assert answered(flow, {"a": " x ", "b": 7}) == {"a": "x", "b": 7}
    with pytest.raises(InputError, match=r"fields\.b: does not look as expected"):
        answered(flow, {"a": "x", "b": 77})


def test_a_question_without_words_asks_for_its_field() -> None:
    flow = '[flows.refund]\nsteps = [{ collect = ["order_id", "why"], ask = { why = "Why?" } }]\n'
    decision = policy(TRIGGER + flow).decide(said("a human please"), NOW, default_desk="support")
    assert decision.questions == ("What is order_id?", "Why?")
    assert decision.until == NOW + GIVE_UP_AFTER
    assert decision.because.endswith("refund asks first for order_id, why")


def test_a_snapshot_comes_back_as_it_was_without_secrets() -> None:
    flow = snapshot(
        '{ collect = ["a"], give_up_after = "90s" }',
        '{ route = "vip" }',
        f'{{ also = {{ webhook = "https://x.example.com/y", secret = "{SECRET}" }} }}',
        '{ also = { step = "book", minutes = 15 } }',
        more='[[routes]]\nname = "vip"\nwhen = "asked_for_human"\nowner = "bea"\n'
        '[signals.asked_for_human]\nextra = ["xyzzy"]\n',
    )
    text = flow.model_dump_json(exclude_defaults=True)
    again = Snapshot.model_validate_json(text)
    assert SECRET not in text + repr(flow)
    assert (again.steps[0], again.steps[1], again.steps[3]) == (flow.steps[0], flow.steps[1], flow.steps[3])
    assert again.signals.asked_for_human.extra == ("xyzzy",)
    assert again.steps[3].also == Also(step="book", arguments={"minutes": 15})


# Steps.


def test_set_and_route_change_what_they_name_and_add_lists() -> None:
    before = {"group": "first", "tags": ("a",), "next_steps": ("x",), "summary": "old"}
    steps = (
        '{ set = { tags = ["b", "a"], next_steps = ["y"], urgency = "+1", fields = { k = 1 } } }',
        '{ route = { desk = "ops", owner = "bea", urgency = "+1", tags = ["c"] } }',
    )
    result = walked(*steps, **before).handoff
    assert (result.group, result.owner, result.desk, result.urgency) == ("first", "bea", "ops", "urgent")
    assert (result.tags, result.next_steps, result.summary) == (("a", "b", "c"), ("x", "y"), "old")
    assert result.conversation.fields == {"k": 1}


def test_conditions_see_what_the_steps_before_have_changed() -> None:
    steps = (
        '{ set = { group = "billing", fields = { score = 7 } } }',
        '{ when = \'group == "billing" and fields.score > 5\', set = { owner = "bea" } }',
        '{ when = \'desk == "support" and urgency == "normal"\', set = { tags = ["x"] } }',
        '{ when = \'owner == "bob"\', set = { summary = "no" } }',
    )
    result = walked(*steps).handoff
    assert (result.owner, result.tags, result.summary) == ("bea", ("x",), None)


def test_conditions_see_the_whole_conversation() -> None:
    conversation = said("Hello there, you", "I want a human", "It is broken")
    steps = ('{ when = \'turns == 3 and asked_for_human and "broken" in text\', set = { owner = "bea" } }',)
    assert walked(*steps, conversation=conversation).handoff.owner == "bea"


def test_nothing_but_side_steps_comes_behind_the_handoff() -> None:
    steps = ("{ hand_off = true }", '{ set = { owner = "bea" } }', '{ collect = ["a"] }', '{ also = "ops" }')
    result = walked(*steps)
    assert (result.at, result.handoff.owner, result.also) == (None, None, ("ops",))


# Mistakes.

WEBHOOK = '"https://x.example.com/y"'
MISTAKES = {
    "an unknown kind of step": ('{ colect = ["a"] }', "steps[0].colect", "did you mean 'collect'?"),
    "two things at once": ('{ collect = ["a"], hand_off = true }', "steps[0]", "has collect and hand_off"),
    "nothing at all": ("{ when = 'turns > 1' }", "steps[0]", "does nothing; write exactly one of"),
    "a step of hand_off that is false": ("{ hand_off = false }", "steps[0].hand_off", "write true"),
    "no fields": ("{ collect = [] }", "steps[0].collect", "is empty; write at least one"),
    "a question for something else": (
        '{ collect = ["order_id"], ask = { order = "?" } }',
        "steps[0].ask",
        "'order' is not collected; did you mean 'order_id'?",
    ),
    "a pattern for something else": (
        '{ collect = ["order_id"], pattern = { x = "." } }',
        "steps[0].pattern",
        "'x' is not collected; known are order_id",
    ),
    "a pattern that backtracks": (
        '{ collect = ["a"], pattern = { a = "(?=x)" } }',
        "steps[0].pattern.a",
        "no pattern that runs in linear time",
    ),
    "no time": ('{ collect = ["a"], give_up_after = "0s" }', "steps[0].give_up_after", "leaves no time"),
    "no duration": (
        '{ collect = ["a"], give_up_after = "soon" }',
        "steps[0].give_up_after",
        "write 30s, 10m",
    ),
    "a question beside set": ('{ set = {}, ask = { a = "?" } }', "steps[0]", "belong to a step with collect"),
    "a misspelt setting": (
        '{ set = { urgancy = "low" } }',
        "steps[0].set.urgancy",
        "did you mean 'urgency'?",
    ),
    "an unknown urgency": ('{ set = { urgency = "hot" } }', "steps[0].set.urgency", "'hot' is no urgency"),
    "a desk that is set": (
        '{ set = { desk = "ops" } }',
        "steps[0].set",
        "a desk is routed to; write route = { desk",
    ),
    "a misspelt condition": (
        "{ hand_off = true, when = 'urgncy == 1' }",
        "steps[0].when",
        "did you mean urgency?",
    ),
    "an unknown route": (
        '{ route = "vpi" }',
        "steps[0].route",
        "no route has the name 'vpi'; did you mean 'vip'?",
    ),
    "a misspelt route": ('{ route = { grup = "x" } }', "steps[0].route.grup", "did you mean 'group'?"),
    "a route to no desk": ('{ route = { desk = "opps" } }', "steps[0].route.desk", "did you mean 'ops'?"),
    "an unknown name": ('{ also = "opz" }', "steps[0].also", "has the name 'opz'; did you mean 'ops'?"),
    "an unknown desk": ('{ also = { desk = "opz" } }', "steps[0].also.desk", "did you mean 'ops'?"),
    "an unknown step": ('{ also = { step = "x" } }', "steps[0].also.step", "no plugin brings a step 'x'"),
    "nothing beside": ("{ also = {} }", "steps[0].also", "names nothing; write exactly one of desk, webhook"),
    "two beside": (
        f'{{ also = {{ desk = "ops", webhook = {WEBHOOK} }} }}',
        "steps[0].also",
        "has desk and webhook",
    ),
    "a misspelt key beside": ('{ also = { dessk = "ops" } }', "steps[0].also.dessk", "did you mean 'desk'?"),
    "a webhook without TLS": (
        f'{{ also = {{ webhook = "http://x.example.com", secret = "{SECRET}" }} }}',
        "steps[0].also.webhook",
        "must begin with https://",
    ),
    "a webhook without a secret": (
        f"{{ also = {{ webhook = {WEBHOOK} }} }}",
        "steps[0].also.secret",
        "the post is signed with it",
    ),
    "a short secret": (
        f'{{ also = {{ webhook = {WEBHOOK}, secret = "short" }} }}',
        "steps[0].also.secret",
        "at least 16 characters",
    ),
    "a secret without a webhook": (
        f'{{ also = {{ desk = "ops", secret = "{SECRET}" }} }}',
        "steps[0].also.secret",
        "belongs to webhook",
    ),
    "a group without a desk": (
        '{ also = { step = "x" } }, { also = { group = "g" } }',
        "steps[1].also",
        "names",
    ),
    "no steps": ("", "steps", "is empty; write at least one"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_names_the_file_the_line_the_key_and_the_cure(tmp_path: Path, name: str) -> None:
    steps, key, cure = MISTAKES[name]
    path = tmp_path / "handrail.toml"
    routes = '[[routes]]\nname = "vip"\ngroup = "g"\n'
    path.write_text(f"{HEAD}{DESK}{TRIGGER}{routes}[flows.refund]\nsteps = [{steps}]\n")
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    assert f"{path}:14: flows.refund.{key}: " in str(caught.value)
    assert cure in str(caught.value)
    assert str(caught.value).count("handrail.toml:14: ") == 1, "one mistake is one line"
    assert SECRET not in str(caught.value)


def test_a_policy_of_its_own_file_is_read_without_desks() -> None:
    text = TRIGGER + '[flows.refund]\nsteps = [{ also = "anything" }]\n'
    made = PolicyText.alone(Source(Path("policy.toml"), text), {}).made()
    assert made is not None
    assert made.flows["refund"].steps == (FlowStep(also="anything"),)


def test_the_secret_of_a_webhook_is_not_said_and_not_in_the_digest(tmp_path: Path) -> None:
    made = [
        config(tmp_path, f'{{ also = {{ webhook = {WEBHOOK}, secret = "{SECRET}{n}" }} }}').policy
        for n in (1, 2)
    ]
    assert made[0].digest == made[1].digest
    assert SECRET not in repr(made[0].flows)


def test_the_example_of_the_design_is_read(tmp_path: Path) -> None:
    made = config(
        tmp_path,
        '{ collect = ["order_id"], ask = { order_id = "Which order is it about?" }, '
        'pattern = { order_id = "^[0-9]{4,}$" }, give_up_after = "30m" }',
        '{ when = "fields.amount > 1000", set = { urgency = "urgent" } }',
        "{ hand_off = true }",
        '{ also = "ops", when = \'intent == "defect"\' }',
    ).policy
    conversation = said("a human please", intent="defect", fields={"amount": 2000, "order_id": "1182"})
    decision = made.decide(conversation, NOW, default_desk="support")
    assert (decision.kind, decision.flow) == ("hand_off", "refund")
    result = walk(made.flow("refund").steps, handoff(conversation=conversation), Conditions().holds)
    assert (result.handoff.urgency, result.also) == ("urgent", ("ops",))


def test_conditions_of_raises_are_checked_when_they_are_read(tmp_path: Path) -> None:
    good = config(
        tmp_path, "{ hand_off = true }", more='[[raise]]\nat = "1h"\nwhen = \'urgency == "high"\'\n'
    )
    assert good.raises[0].when == 'urgency == "high"'
    with pytest.raises(ConfigError, match=r"raise\[0\]\.when: 'urgncy' is not known; did you mean urgency\?"):
        config(tmp_path, "{ hand_off = true }", more='[[raise]]\nat = "1h"\nwhen = \'urgncy == "high"\'\n')


def test_the_schema_knows_both_forms_and_marks_the_secret() -> None:
    defs = Config.json_schema()["$defs"]
    forms = defs["FlowStep"]["properties"]["also"]["anyOf"][0]["oneOf"]
    assert [form.get("type") or form["$ref"] for form in forms] == ["string", "#/$defs/Also"]
    assert defs["Also"]["properties"]["secret"]["writeOnly"] is True


def test_the_command_decide_shows_what_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = config(tmp_path, '{ collect = ["order_id"], ask = { order_id = "Which order?" } }')
    (tmp_path / "c.json").write_text(said("a human please").model_dump_json())
    monkeypatch.setenv("COLUMNS", "400")
    arguments = ["decide", str(tmp_path / "c.json"), "--config", str(made.path)]
    plain = CliRunner().invoke(app, arguments)
    assert "collect" in plain.stdout
    assert "ask: Which order?" in plain.stdout
    (decision,) = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)["decisions"]
    assert (decision["kind"], decision["questions"]) == ("collect", ["Which order?"])


# Linting.

PROMISE = '[sla.default]\nfirst_response = { normal = "20m", high = "2h" }\n'
ASKED = '[[triggers]]\nname = "asked"\nwhen = "asked_for_human"\n'
LATER = '[[triggers]]\nname = "refund"\nwhen = "turns > 3"\nflow = "refund"\n'
SUSPICIOUS = {
    "a flow that nobody uses": (
        {"trigger": ASKED},
        ["{ hand_off = true }"],
        'flows.refund: no trigger uses it; add flow = "refund" to one',
    ),
    "questions behind the handoff": (
        {},
        ["{ hand_off = true }", '{ collect = ["a"] }'],
        "flows.refund.steps[1]: never asks for anything: it stands behind hand_off",
    ),
    "a setting behind the handoff": (
        {},
        ["{ hand_off = true }", '{ set = { owner = "b" } }'],
        "flows.refund.steps[1]: never does anything",
    ),
    "the same desk": (
        {},
        ['{ also = "support" }'],
        "flows.refund.steps[0]: the desk support has the handoff",
    ),
    "questions that take longer than a promise": (
        {"more": PROMISE},
        ['{ collect = ["a"] }'],
        "triggers.refund: its flow waits 30m for a, and the first_response is promised within 20m for normal",
    ),
    "questions before a person": (
        {"trigger": LATER + ASKED},
        ['{ collect = ["a"] }'],
        "triggers.refund: asks questions and stands before asked",
    ),
    "questions before somebody at risk": (
        {"trigger": LATER + ASKED.replace("asked_for_human", "sensitive")},
        ['{ collect = ["a"] }'],
        "triggers.refund: asks questions and stands before asked: a customer who is at risk must answer",
    ),
    "questions to somebody at risk": (
        {"trigger": LATER.replace("turns > 3", "sensitive")},
        ['{ collect = ["a"] }'],
        "triggers.refund: asks questions first, and is about what is sensitive",
    ),
}


@pytest.mark.parametrize("name", SUSPICIOUS)
def test_a_suspicious_flow_is_warned_about(tmp_path: Path, name: str) -> None:
    more, steps, warning = SUSPICIOUS[name]
    found = [
        f"{each.subject}: {each.message}" for each in lint(config(tmp_path, *steps, **more)) if each.warning
    ]
    assert [each for each in found if each.startswith(warning)]


def test_a_good_flow_is_not_warned_about(tmp_path: Path) -> None:
    promise = PROMISE.replace("20m", "31m")
    steps = ['{ collect = ["a"] }', '{ hand_off = true, when = "turns > 3" }', '{ set = { owner = "b" } }',
             "{ hand_off = true }", '{ also = "ops" }']  # fmt: skip
    found = lint(config(tmp_path, *steps, more=promise, trigger=ASKED.replace('"asked"', '"a"') + LATER))
    assert [each.message for each in found] == ["triggers: 2, nothing suspicious"]


def test_fields_of_a_conversation_stay_as_they_are() -> None:
    conversation = Conversation.model_validate(
        {"id": "c", "messages": [{"role": "customer", "text": "x"}], "fields": {"a": 1}}
    )
    flow = snapshot("{ set = { fields = { b = 2 } } }")
    walk(flow.steps, handoff(conversation=conversation), Conditions().holds)
    assert conversation.fields == {"a": 1}
