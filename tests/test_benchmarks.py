"""The benchmarks can be run and print their figures; what is tried here is of sizes that say nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.real import connector

FOLDER = Path(__file__).parent / "benchmarks"
IN_TABLE = ("accepting", "delivering", "latency", "memory", "growth", "waiting")


def run(name: str, *arguments: str) -> str:
    command = [sys.executable, str(FOLDER / f"{name}.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_benchmark_prints_ratios() -> None:
    connector("zendesk")
    printed = run("accepting", "--store", "sqlite", "--count", "2")
    assert re.search(r"sqlite.* [0-9.,]+ times\b", printed), printed


def test_the_table_names_its_command_and_what_was_asked() -> None:
    program = (
        "import all, common\n"
        "print(all.table([common.Figure('a', 2.5, at_most=3.0), common.Figure('b', 0.25, at_least=0.5)]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=FOLDER, capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert lines[0].startswith("`uv run python tests/benchmarks/all.py` on ")
    assert lines[-2:] == ["| a | 2.50 times | at most 3 | yes |", "| b | 0.25 times | at least 0.5 | no |"]


def test_every_benchmark_is_in_the_table() -> None:
    programs = {path.stem for path in FOLDER.glob("*.py")} - {"all", "common", "desk", "clients", "worker"}
    assert programs == {*IN_TABLE, "text", "policy", "replay"}
    table = (FOLDER / "all.py").read_text()
    assert all(f"import {name}\n" in table for name in IN_TABLE)
