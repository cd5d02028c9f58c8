"""Plant each fault in a copy of Handrail and find it: ``uv run python tests/simulation/planted.py``.

Prints how long each took. ``--fresh`` hunts on fresh seeds; otherwise from the recorded one of each plant.
``--only WORD`` takes the plants whose names hold that word.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from tests.simulation.plants import PLANTS, Plant  # noqa: E402

PACKAGE = ROOT / "core" / "src" / "handrail"
SECONDS = 60.0


class Unplantable(Exception):
    """The place where a fault was to be planted is not there, or there more than once."""


@dataclass(frozen=True)
class Found:
    """``seconds`` that the hunt took, the ``seed`` that broke and its ``words``; None where none did."""

    seconds: float
    seed: int | None
    words: str


def check(plant: Plant) -> None:
    """Raises ``Unplantable`` unless every change fits at exactly one place."""
    for file, old, _ in plant.changes:
        count = (PACKAGE / file).read_text().count(old)
        if count != 1:
            raise Unplantable(f"{plant.name}: {count} places in {file}: {old.strip().splitlines()[0]}")


def planted(plant: Plant, folder: Path) -> None:
    """A copy of the package in ``folder``, with the fault in it."""
    check(plant)
    shutil.copytree(PACKAGE, folder / "handrail", ignore=shutil.ignore_patterns("__pycache__"))
    for file, old, new in plant.changes:
        path = folder / "handrail" / file
        path.write_text(path.read_text().replace(old, new))


def hunt(plant: Plant, seed: int, seconds: float = SECONDS) -> Found:
    """Live through universes with the planted fault until one breaks."""
    from tests.simulation.seams import template

    with tempfile.TemporaryDirectory() as folder:
        planted(plant, Path(folder))
        ready = Path(folder) / "template.db"
        ready.write_bytes(template())
        began = time.perf_counter()
        arguments = [sys.executable, str(Path(__file__)), "--hunt", str(seed), "--seconds", str(seconds)]
        known = os.environ | {"PYTHONPATH": folder, "HANDRAIL_TEMPLATE": str(ready)}
        done = subprocess.run(arguments, env=known, capture_output=True, text=True, check=False)
        spent = time.perf_counter() - began
    if done.returncode not in (0, 3):
        raise RuntimeError(f"{plant.name}: {done.stderr[-2000:]}")
    seen = json.loads(done.stdout)
    if not seen["package"].startswith(folder):
        raise RuntimeError(f"{plant.name}: the copy was not used, but {seen['package']}")
    return Found(spent, seen["seed"], seen["words"])


def _hunt_here(seed: int, seconds: float) -> int:
    """In the process that has the planted copy: one universe after the other."""
    from tests.simulation.many import live, orders

    import handrail

    began, found = time.monotonic(), (None, "")
    for order in orders(seed, 10**9):
        try:
            report = live(order)
            broken = [(each.seed, words) for each, words in report.broken]
        except Exception as error:
            broken = [(order.seed, f"{type(error).__name__}: {error}")]
        if broken:
            found = broken[0]
            break
        if time.monotonic() - began > seconds:
            break
    print(json.dumps({"seed": found[0], "words": found[1], "package": handrail.__file__}))
    return 0 if found[0] is not None else 3


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--hunt", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.hunt is not None:
        return _hunt_here(given.hunt, given.seconds)
    from tests.simulation.many import fresh_seed

    chosen = [plant for plant in PLANTS if given.only in plant.name]
    missed = 0
    for plant in chosen:
        found = hunt(plant, fresh_seed() if given.fresh else plant.seed, given.seconds)
        missed += found.seed is None
        fate = f"{found.seconds:5.1f} s  seed {found.seed}" if found.seed is not None else "NOT FOUND"
        print(f"{plant.name:55} {fate}  {found.words[:90]}", flush=True)
    print(f"{len(chosen) - missed} of {len(chosen)} planted faults were found")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
