"""What a policy costs: a walk through conversations, as a ratio to reading the same file into the model.

    uv run python tests/benchmarks/policy.py [FILE.jsonl]

The floor is ``read_conversations`` of the file, or of 300 made-up conversations. A replay reads and walks: it
may cost twice the floor. Then hostile text: eight times the text should cost about eight times as much.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from handrail import Conversation
from handrail.config_source import Source
from handrail.policy.load import PolicyText
from handrail.policy.policy import Policy
from handrail.transcripts import read_conversations

TEN = """
asked_for_human
sensitive
failed_attempts >= 3 or repeated_question
confidence < 0.3
amount > 500 and "refund" in text
turns > 12
topic == "refund" and fields.amount > 200
matches(text, "cancel|compensation")
"gold" in customer.segments and turns > 3
sentiment < -0.5
"""
SAID = [
    "Where is my refund of $250?",
    "I would like to cancel the flight on the 20th, please.",
    "Yes, please.",
]
PIECES = ["human ", "speak to a ", "not ", "' ", '"', "„", "$", "1,234 ", "> \n", "人", "lawyer ", "a"]


def ten() -> Policy:
    rules = [
        f"[[triggers]]\nname = 't{n}'\nwhen = '{when}'" for n, when in enumerate(TEN.split("\n")) if when
    ]
    made = PolicyText.alone(Source(Path("policy.toml"), "\n".join(rules)), {}).made()
    assert made is not None
    return made


def seconds(work: Callable[[], object]) -> float:
    """The best of five runs."""
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    return best


def made_up(folder: Path) -> Path:
    path = folder / "made-up.jsonl"
    messages = [{"role": role, "text": text} for text in SAID * 3 for role in ("customer", "ai")]
    path.write_text("\n".join(json.dumps({"id": f"c-{n}", "messages": messages}) for n in range(300)))
    return path


def replay(path: Path) -> None:
    policy, now = ten(), datetime.now(UTC)
    talks = [talk for talk in read_conversations(path) if isinstance(talk, Conversation)]
    floor = seconds(lambda: list(read_conversations(path)))
    walking = seconds(lambda: [list(policy.walk(talk)) for talk in talks])
    deciding = seconds(lambda: [policy.decide(talk, now, default_desk="d") for talk in talks])
    print(f"{len(talks)} conversations, {len(policy.triggers)} triggers: reading 1.00", end=", ")
    print(f"reading and walking {1 + walking / floor:.2f}, deciding {deciding / floor:.2f}")


def hostile() -> None:
    policy, now = ten(), datetime.now(UTC)

    def decide(text: str) -> None:
        talk = Conversation.model_validate({"id": "c", "messages": [{"role": "customer", "text": text}]})
        policy.decide(talk, now, default_desk="d")

    print(f"{'deciding 400 kB of':20} {'ms':>8} {'8 x the text':>12}")
    for piece in PIECES:
        short, long = (piece * (size // len(piece)) for size in (50_000, 400_000))
        small, large = seconds(partial(decide, short)), seconds(partial(decide, long))
        print(f"{piece!r:20} {large * 1000:>8.0f} {large / small:>12.1f}")


def long_talks() -> None:
    policy = ten()

    def walk(count: int) -> None:
        messages = [{"role": "customer", "text": f"{SAID[n % 3]} {n}"} for n in range(count)]
        list(policy.walk(Conversation.model_validate({"id": "c", "messages": messages})))

    print(f"8 x the messages: {seconds(partial(walk, 8_000)) / seconds(partial(walk, 1_000)):.1f}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        replay(Path(sys.argv[1]) if len(sys.argv) > 1 else made_up(Path(folder)))
    hostile()
    long_talks()
