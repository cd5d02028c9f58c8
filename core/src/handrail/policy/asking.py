"""The decision ``collect``: a trigger hands off, and its flow has questions that are open."""

from __future__ import annotations

from handrail.model import Conversation, Handoff, Reason, Urgency
from handrail.policy.flow import Holds, Snapshot, walk
from handrail.policy.model import Decision


def asked(decision: Decision, flow: Snapshot, conversation: Conversation, holds: Holds) -> Decision:
    """``decision`` where the flow asks nothing; else one of kind ``collect``, with its questions."""
    walked = walk(flow.steps, _imagined(decision, conversation), holds)
    if walked.at is None:
        return decision
    step = flow.steps[walked.at]
    update = {
        "kind": "collect",
        "because": f"{decision.because}; {flow.name} asks first for {', '.join(walked.asks)}",
        "until": decision.at + step.patience,
        "questions": tuple(map(step.question, walked.asks)),
        "missing": walked.asks,
    }
    return decision.model_copy(update=update)


def _imagined(decision: Decision, conversation: Conversation) -> Handoff:
    """The handoff that would follow, for conditions."""
    return Handoff(
        id="",
        key="",
        conversation=conversation,
        desk=decision.desk or "",
        reason=decision.reason or Reason.CONFIGURED,
        trigger=decision.trigger,
        group=decision.group,
        urgency=decision.urgency or Urgency.NORMAL,
        owner=decision.owner,
        created_at=decision.at,
    )
