"""How long cutting a reply takes, against the floor of splitting the same text into lines.

uv run python connectors/email/tests/benchmark_replies.py
"""

from __future__ import annotations

import timeit

from handrail_email import replies

TEXTS = {
    "65 kB of On On On": "a\n" + "On " * 20_000 + "\n> x\n" * 1000,
    "65 kB of lines On": "On \n" * 16_000,
    "65 kB of headers": "From: x\n" * 8_000,
    "a usual reply": "Thanks, fixed.\n\nOn Mon, Nov 23, 2026 at 5:44 AM Bot <b@x.test> wrote:\n\n"
    + "> old\n" * 60,
}


def main() -> None:
    print(f"{'text':22}{'bytes':>9}{'seconds':>10}{'times the floor':>17}")
    for name, text in TEXTS.items():
        took = min(timeit.repeat(lambda text=text: replies.read(text), number=5, repeat=5)) / 5
        floor = min(timeit.repeat(lambda text=text: text.splitlines(), number=5, repeat=5)) / 5
        print(f"{name:22}{len(text):>9,}{took:>10.4f}{took / floor:>17.0f}")


if __name__ == "__main__":
    main()
