"""What hostile text costs: masking and rendering, as ratios to a floor measured in the same run.

    uv run python tests/benchmarks/text.py

The floor of masking is one pass of ``str.translate`` over the same text; eight times the text should cost
eight times as much. The floor of reading is ``json.loads`` of the same bytes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from handrail import Conversation, Handoff, Html, Message, Role
from handrail.brief import compose
from handrail.redact import mask
from handrail.transcripts import conversation_from

PIECES = ["1", "4111 ", "password: ", "://a:b@", "eyJ", "-----BEGIN PRIVATE KEY-----", "bearer ", "{{", "\n"]
TABLE = {0: None}


def seconds(work: Callable[[], object]) -> float:
    """The best of three runs."""
    best = float("inf")
    for _ in range(3):
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    return best


def masking() -> None:
    print(f"{'masking 400 kB of':32} {'to the floor':>12} {'8 x the text':>12}")
    for piece in PIECES:
        short, long = (piece * (size // len(piece)) for size in (50_000, 400_000))
        floor = seconds(partial(long.translate, TABLE))
        small, large = seconds(partial(mask, short)), seconds(partial(mask, long))
        print(f"{piece!r:32} {large / floor:>12.0f} {large / small:>12.1f}")


def rendering() -> None:
    said = {"messages": [{"role": "customer", "text": f"message {n} <b>"} for n in range(10_000)]}
    raw = json.dumps(said)
    floor = seconds(lambda: json.loads(raw))
    reading = seconds(lambda: conversation_from(json.loads(raw)))
    conversation = Conversation(
        messages=tuple(Message(role=Role.CUSTOMER, text=m["text"]) for m in said["messages"])
    )
    handoff = Handoff(id="H" * 26, key="k", desk="d", created_at=datetime.now(UTC), conversation=conversation)
    writing = seconds(lambda: Html(64_000, placeholders=True).render(compose(handoff)))
    print(f"10,000 messages: reading {reading / floor:.1f}, rendering {writing / floor:.1f} times json.loads")


if __name__ == "__main__":
    masking()
    rendering()
