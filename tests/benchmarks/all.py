"""All benchmarks one after the other, and their figures as one table of Markdown.

    uv run python tests/benchmarks/all.py [--rows 1000000]

It takes about twenty minutes and 10 GB in the temporary folder. Nothing else should run on the machine.
"""

from __future__ import annotations

import os
import platform
from importlib.metadata import version

import accepting
import delivering
import growth
import latency
import memory
import waiting
from common import Figure, options, show

COMMAND = "uv run python tests/benchmarks/all.py"


def table(figures: list[Figure]) -> str:
    """The figures, with the command and the machine that made them."""
    names = ("handrail", "dbos", "sqlalchemy", "psycopg", "requests")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    cores = os.cpu_count()
    rows = [f"| {each.what} | {each.shown} | {each.bound} | {each.met} |" for each in figures]
    head = [f"`{COMMAND}` on {cores} cores, Python {platform.python_version()}, {versions}:", ""]
    return "\n".join([*head, "| what | measured | asked | reached |", "|---|---|---|---|", *rows])


def measured(rows: int) -> list[Figure]:
    figures = []
    for program in (accepting, delivering, latency, waiting, memory):
        figures += show(program.figures())
    return figures + show(growth.figures(rows=rows))


if __name__ == "__main__":
    given = options(__doc__, stores=False, rows=1_000_000)
    print("\n" + table(measured(given.rows)))
