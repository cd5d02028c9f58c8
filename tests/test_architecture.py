"""Who may import whom, how large a room may be, and what is public."""

from __future__ import annotations

import ast
import statistics
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import handrail
import handrail.testing

ROOT = Path(__file__).resolve().parents[1]
CORE = ROOT / "core" / "src" / "handrail"
MEMBERS = sorted(path for path in ROOT.glob("con*/*") if (path / "pyproject.toml").exists())
SOURCES = sorted(CORE.rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[str, str | None]]:
    """Each import of a file as (module, name or None)."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)


def functions(path: Path) -> Iterator[int]:
    """The length of each function in lines, without its docstring."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            yield (node.end_lineno or 0) - (body[0].lineno if body else node.lineno) + 2


def test_the_top_level_holds_what_it_was_given() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout: what is tracked is not known")
    places = {line.partition("/")[0] for line in listed.stdout.splitlines()}
    wanted = {"pyproject.toml", "README.md", "core", "connectors", "tests", "contrib"}

    assert {place for place in places if not place.startswith(".")} - {"LICENSE", "CONTRIBUTING.md"} == wanted


def test_core_imports_no_connector() -> None:
    packages = {path.name for member in MEMBERS for path in (member / "src").iterdir()}
    taken = {module.partition(".")[0] for path in SOURCES for module, _ in imports(path)}

    assert packages
    assert packages & taken == set()


def test_core_names_no_desk() -> None:
    names = [
        member.name for member in MEMBERS if member.parent.name == "connectors" and member.name != "email"
    ]
    allowed = {"demo.py"}  # tells a newcomer which package to install
    found = [
        f"{path.relative_to(CORE)}: {name}"
        for path in SOURCES
        for name in names
        if path.name not in allowed and name in path.read_text().casefold()
    ]

    assert found == []


@pytest.mark.parametrize("member", MEMBERS, ids=lambda member: member.name)
def test_a_connector_imports_public_names_only(member: Path) -> None:
    public = {"handrail": handrail.__all__, "handrail.testing": handrail.testing.__all__}
    own = {path.name for path in (member / "src").iterdir()}
    foreign = {"requests", "urllib3", "socket", "httpx", "sqlalchemy", "dbos", "tenacity", "logging", "time"}
    for path in sorted((member / "src").rglob("*.py")):
        simulated = "simulated" in path.relative_to(member).as_posix()
        for module, name in imports(path):
            top = module.partition(".")[0]
            if top == "handrail" and not simulated:
                assert module in public, f"{path.name} imports {module}"
                assert name in public[module], f"{path.name} imports {module}.{name}, which is not public"
            assert top in own or top not in foreign or simulated, f"{path.name} imports {module}"


def test_one_file_knows_requests() -> None:
    knowing = {
        path.relative_to(CORE).as_posix()
        for path in SOURCES
        for module, _ in imports(path)
        if module.partition(".")[0] in ("requests", "urllib3")
    }

    assert knowing == {"http.py"}


def test_rooms_are_small() -> None:
    lines = {path.relative_to(CORE).as_posix(): len(path.read_text().splitlines()) for path in SOURCES}
    lengths = sorted(length for path in SOURCES for length in functions(path))

    assert {name: count for name, count in lines.items() if count > 400} == {}
    assert statistics.median(lengths) <= 9
    assert lengths[int(len(lengths) * 0.9)] <= 25


@pytest.mark.parametrize("member", MEMBERS, ids=lambda member: member.name)
def test_a_connector_is_a_page(member: Path) -> None:
    sources = [path for path in (member / "src").rglob("*.py") if "simulated" not in path.as_posix()]

    assert {path.name: n for path in sources if (n := len(path.read_text().splitlines())) > 150} == {}


@pytest.mark.parametrize("module", [handrail, handrail.testing], ids=["handrail", "handrail.testing"])
def test_what_is_public_is_there_and_sorted(module: object) -> None:
    names: list[str] = module.__all__  # type: ignore[attr-defined]

    assert names == sorted(names, key=lambda name: name)
    assert [name for name in names if not hasattr(module, name)] == []
