"""What a decision asks of the handoff that follows from it."""

from __future__ import annotations

from typing import Any

from handrail.errors import InputError
from handrail.policy.model import Decision


def wish_from(decision: Decision | None, conversation_id: str) -> dict[str, Any]:
    """The fields of ``accept.Wish`` that a decision fills; none without a decision.

    ``until`` is the time of a ``wait`` or a ``collect``, None for a handoff now. Raises ``InputError``
    where the decision is ``keep`` or was made for another conversation.
    """
    if decision is None:
        return {}
    if not decision.hand_off:
        cure = "leave the decision out to hand it off all the same"
        raise InputError(f"the policy keeps this conversation ({decision.because}); {cure}", field="decision")
    if decision.conversation_id != conversation_id:
        wrong = f"was made for conversation {decision.conversation_id!r}, not for {conversation_id!r}"
        raise InputError(f"{wrong}; decide again", field="decision")
    return {
        "desk": decision.desk,
        "group": decision.group,
        "urgency": decision.urgency,
        "reason": decision.reason,
        "trigger": decision.trigger,
        "owner": decision.owner,
        "tags": decision.tags,
        "next_steps": decision.next_steps,
        "until": decision.until,
        "flow": decision.flow,
        "collecting": decision.kind == "collect",
        "decision": decision.model_dump_json(exclude_defaults=True),
    }
