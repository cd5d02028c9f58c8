"""What the connectors' tests share that lies outside of them: the vendors' specifications and recorded
payloads, which stand beside the repository, and other people's clients, each in an environment of its own.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
Spec = dict[str, Any]


# Specifications.


@functools.cache
def checker(file: Path) -> Any:
    """The ``Checker`` of a connector's ``openapi.py``, which is no test and has no package."""
    spec = importlib.util.spec_from_file_location(f"{file.parents[1].name}_openapi", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Checker(SHARED / "specs")


def cut(whole: Spec, operations: Iterable[tuple[str, str]], host: str) -> Spec:
    """An OpenAPI file with only these operations, ``(method, path)``, and the components that they need."""
    paths: Spec = {}
    for method, path in operations:
        item = whole["paths"][path]
        kept = paths.setdefault(path, {"parameters": item["parameters"]} if "parameters" in item else {})
        kept[method.lower()] = item[method.lower()]
    paths = _without_examples(paths)
    components: Spec = {"securitySchemes": whole["components"].get("securitySchemes", {})}
    todo = list(_references(paths))
    while todo:
        kind, name = todo.pop()
        if name not in components.setdefault(kind, {}):
            components[kind][name] = _without_examples(whole["components"][kind][name])
            todo += _references(components[kind][name])
    rest = {name: whole[name] for name in ("openapi", "info", "security") if name in whole}
    return {**rest, "servers": [{"url": host}], "paths": paths, "components": components}


def _without_examples(part: Any) -> Any:
    if isinstance(part, dict):
        gone = ("example", "examples")
        return {name: _without_examples(value) for name, value in part.items() if name not in gone}
    return [_without_examples(value) for value in part] if isinstance(part, list) else part


def _references(part: Any) -> Iterable[tuple[str, str]]:
    if isinstance(part, Mapping):
        if isinstance(part.get("$ref"), str):
            kind, name = part["$ref"].split("/")[-2:]
            yield kind, name
        part = list(part.values())
    if isinstance(part, list):
        for value in part:
            yield from _references(value)


# Other people's clients.


def python_with(client: str, version: str, *more: str) -> Path:
    """The interpreter of an environment that holds a client; made once, kept in the temporary folder."""
    kept = Path(tempfile.gettempdir()) / f"handrail-{client}-{version}"
    if not (kept / "ready").exists():
        made = Path(tempfile.mkdtemp(prefix=f"handrail-{client}-"))
        _install(made, [f"{client}=={version}", *more])
        if kept.exists():  # left over from a run that was broken off
            shutil.rmtree(kept)
        made.rename(kept)
    return _interpreter(kept)


def driven(python: Path, script: Path, *arguments: str) -> dict[str, Any]:
    """What a client made of a desk's answers."""
    command = [str(python), str(script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def _install(environment: Path, wanted: list[str]) -> None:
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "-q", "--clear", "--relocatable", str(environment)], check=True)
    command = [*uv, "pip", "install", "-q", "--python", str(_interpreter(environment)), *wanted]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        shutil.rmtree(environment)
        pytest.skip(f"{wanted[0]} cannot be installed here: {done.stderr.strip()[:300]}")
    (environment / "ready").touch()


def _interpreter(environment: Path) -> Path:
    windows = environment / "Scripts" / "python.exe"
    return windows if windows.exists() else environment / "bin" / "python"
