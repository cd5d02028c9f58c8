"""What a replay costs: its time as a ratio to parsing the same file in the same run, and its memory.

    uv run python tests/benchmarks/replay.py CONVERSATIONS.jsonl POLICY.toml

Time: processor time, the best of five rounds, parsing and replaying in turns; a replay parses too, so 1.0
would be free and 2.0 is the most that it may cost. Memory: the same conversations again and again, each with
an id of its own, until there are 1,000 and 100,000, through a pipe into ``handrail replay - --json``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from handrail.policy.reading import read_policy
from handrail.policy.replay import Replay, Running
from handrail.transcripts import read_conversations

ROUNDS = 5
SIZES = (1_000, 100_000)


def seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def ratio(file: Path, policy_file: Path) -> None:
    policy = read_policy(policy_file).policy

    def parse() -> None:
        for _ in read_conversations(file):
            pass

    def replay() -> None:
        run = Replay([Running("policy", policy)])
        for number, conversation in enumerate(read_conversations(file), 1):
            run.see(conversation, str(file), number)  # type: ignore[arg-type]

    parse(), replay()
    pairs = [(seconds(parse), seconds(replay)) for _ in range(ROUNDS)]
    parsing, replaying = (min(each) for each in zip(*pairs, strict=True))
    print(f"parsing {parsing:.3f} s, replaying {replaying:.3f} s: {replaying / parsing:.2f} times")


def memory(file: Path, policy_file: Path, size: int) -> None:
    lines = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    command = [sys.executable, "-m", "handrail", "replay", "-", "--json", "--policy", str(policy_file)]
    began = time.perf_counter()
    with Path(os.devnull).open("w") as nowhere:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=nowhere, text=True)
        assert process.stdin is not None
        for number in range(size):
            process.stdin.write(json.dumps(lines[number % len(lines)] | {"id": f"c-{number}"}) + "\n")
        process.stdin.close()
        _, status, used = os.wait4(process.pid, 0)
    took = time.perf_counter() - began
    assert os.waitstatus_to_exitcode(status) == 0
    print(f"{size:>9,} conversations: peak {used.ru_maxrss / 1024:.0f} MB, {took:.0f} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("conversations", type=Path, help="a .jsonl file")
    parser.add_argument("policy", type=Path, help="a file with [[triggers]]")
    given = parser.parse_args()
    ratio(given.conversations, given.policy)
    for size in SIZES:
        memory(given.conversations, given.policy, size)
