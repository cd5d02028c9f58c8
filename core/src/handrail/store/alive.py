"""Who holds what: names of processes, and whether a process that left its name still lives."""

from __future__ import annotations

import os
import socket
from functools import cache


@cache
def _place() -> str:
    """Where process numbers mean the same: a host since it was started, and in it a container."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            started = f"/{file.read(8)}"
        started += f"/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        started = ""
    return f"{socket.gethostname()}{started}"


def _born(pid: int) -> str | None:
    """When a process began, in the kernel's ticks; None where the system does not tell.

    A number is given to another process one day, and a container that starts again begins at the same ones.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[19].decode()
    except OSError:
        return None


@cache
def _name(pid: int) -> str:
    return f"{_place()}:{_born(pid) or 0}:{pid}"


def owner() -> str:
    """This process, by a name that no other ever has."""
    return _name(os.getpid())


def is_here(holder: str) -> bool:
    """True for a process of this machine: whether it lives can be known for certain."""
    return holder.partition(":")[0] == _place()


def is_alive(holder: str | None) -> bool:
    """False only where it is certain that the process which holds a lease is gone."""
    place, _, numbers = (holder or "").partition(":")
    born, _, pid = numbers.partition(":")
    if place != _place() or not pid.isdigit():
        return bool(holder)
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return (_born(int(pid)) or born) == born
