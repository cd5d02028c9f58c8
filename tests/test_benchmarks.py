"""Every benchmark runs, on sizes that say nothing, and prints its figures."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.real import connector

FOLDER = Path(__file__).parent / "benchmarks"
TINY = {
    "accepting": ["--count", "2"],
    "delivering": ["--count", "8", "--tiny", "1"],
    "latency": ["--count", "2"],
    "memory": ["--count", "4", "--idle", "0"],
    "growth": ["--rows", "1100", "--count", "2"],
    "waiting": ["--rows", "20", "--rounds", "1", "--fresh", "4"],
}


def run(name: str, *arguments: str) -> str:
    command = [sys.executable, str(FOLDER / f"{name}.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", TINY)
def test_a_benchmark_prints_ratios(name: str) -> None:
    connector("zendesk")
    printed = run(name, "--store", "sqlite", *TINY[name])
    unit = "ms" if name == "latency" else "times"
    assert re.search(rf"sqlite.* [0-9.,]+ {unit}\b", printed), printed


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
    assert programs == {*TINY, "text", "policy", "replay"}
    table = (FOLDER / "all.py").read_text()
    assert all(f"import {name}\n" in table for name in TINY)
