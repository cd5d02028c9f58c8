"""Each member is a distribution: its wheel builds, and pip installs it into an empty environment."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import pytest

from handrail.config import load, sample
from handrail.plugins import connectors

ROOT = Path(__file__).resolve().parents[1]
CONNECTORS = sorted(path.parent.name for path in ROOT.glob("connectors/*/pyproject.toml"))


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    run(sys.executable, "-m", "uv", "build", "-q", "--all-packages", "--wheel", "--out-dir", folder)
    return folder


@pytest.mark.parametrize("name", CONNECTORS)
def test_the_sample_of_each_connector_loads_in_front_and_as_an_opened_comment(
    name: str, tmp_path: Path
) -> None:
    known, place = connectors(), tmp_path / "handrail.toml"
    variables = {
        f"{other.upper()}_{key.upper()}": "x" for other in known for key in known[other].model_fields
    }
    values = variables | {"EMAIL_SMTP": "smtp://desk.example.com"}
    place.write_text(sample(known, [name]))
    assert list(load(place, values).desks) == [name]

    head, mark, rest = sample(known, [next(other for other in known if other != name)]).partition(
        f"# [desks.{name}]"
    )
    desk, blank, rest = rest.partition("\n\n")
    place.write_text(head + (mark + desk).replace("# ", "") + blank + rest)
    assert name in load(place, values).desks


def test_there_is_a_wheel_for_each_member(wheels: Path) -> None:
    names = {path.name.partition("-")[0] for path in wheels.glob("*.whl")}

    assert {"handrail", *(f"handrail_{name}" for name in CONNECTORS)} <= names


def test_one_connector_brings_itself_and_nothing_else(wheels: Path, tmp_path: Path) -> None:
    wanted = "zendesk" if "zendesk" in CONNECTORS else CONNECTORS[0]
    venv.create(tmp_path / "empty", with_pip=True)
    python = tmp_path / "empty" / "bin" / "python"
    (core,) = wheels.glob("handrail-*.whl")
    (connector,) = wheels.glob(f"handrail_{wanted}-*.whl")
    run(python, "-m", "pip", "install", "-q", "--disable-pip-version-check", core, connector)

    shown = run(tmp_path / "empty" / "bin" / "handrail", "connectors", "--json", cwd=tmp_path)
    installed = run(python, "-m", "pip", "list", "--format", "freeze").splitlines()

    assert [name for name in CONNECTORS if f'"{name}"' in shown] == [wanted]
    assert "pytest" not in {line.partition("==")[0] for line in installed}
    assert run(python, "-c", "import handrail; print(handrail.Handrail)", cwd=tmp_path)
