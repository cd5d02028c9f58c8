"""What importing costs: measured by what is imported, not by the clock."""

from __future__ import annotations

import subprocess
import sys


def loaded_by(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after running ``code``."""
    script = f"{code}\nimport sys; print(' '.join({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_handrail_imports_nothing_heavy() -> None:
    assert (
        loaded_by("import handrail") & {"dbos", "sqlalchemy", "pydantic", "requests", "rich", "starlette"}
        == set()
    )


def test_no_public_name_imports_the_job_engine() -> None:
    code = "import handrail\nfor name in handrail.__all__: getattr(handrail, name)"

    assert loaded_by(code) & {"dbos", "alembic", "starlette", "uvicorn", "rich", "typer"} == set()
