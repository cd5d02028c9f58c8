"""The control endpoint of a simulated desk, for a process that drives it from outside.

* ``GET /_simulated/state``: the tickets, and how many requests were seen;
* ``GET /_simulated/settings``: the settings of a connector that talks to this desk;
* ``POST /_simulated/fault``: the arguments of ``SimulatedDesk.fault``, as a JSON object;
* ``POST /_simulated/human``: ``{"action": "replies", "ticket_id": ..., "text": ...}``, an action of a human;
* ``POST /_simulated/webhook``: ``{"url": ..., "secret": ...}``, or ``{}`` for none;
* ``POST /_simulated/release``: lets hanging exchanges go on.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from handrail.steps import Reply

if TYPE_CHECKING:
    from handrail.testing.desk import SimulatedDesk
    from handrail.testing.wire import Seen


def controlled(desk: SimulatedDesk, seen: Seen) -> Reply:
    """Do what the driver of the desk asks; a wrong argument is a 400 that says why."""
    action = _ACTIONS.get((seen.method, seen.path.rpartition("/")[2]))
    if action is None:
        return _json({"error": f"no {seen.method} {seen.path}"}, 404)
    try:
        return _json(action(desk, seen.json if seen.body else {}))
    except (TypeError, ValueError, KeyError, NotImplementedError) as error:
        return _json({"error": f"{type(error).__name__}: {error}"}, 400)


def _fault(desk: SimulatedDesk, given: dict[str, Any]) -> Any:
    desk.fault(**given)
    return {"faults": len(desk.faults)}


def _human(desk: SimulatedDesk, given: dict[str, Any]) -> Any:
    action = given.pop("action")
    name = action if action in desk.actions else f"human_{action}"
    if name not in desk.actions:
        raise ValueError(f"no action {action!r}; there are {', '.join(desk.actions)}")
    return {"result": getattr(desk, name)(**given)}


def _webhook(desk: SimulatedDesk, given: dict[str, Any]) -> Any:
    desk.webhook = (given["url"], given["secret"]) if given else None
    return {"webhook": given.get("url")}


def _release(desk: SimulatedDesk, given: dict[str, Any]) -> Any:
    desk.release()
    return {}


_ACTIONS: dict[tuple[str, str], Callable[[SimulatedDesk, dict[str, Any]], Any]] = {
    ("GET", "state"): lambda desk, _: desk.state(),
    ("GET", "settings"): lambda desk, _: desk.settings(),
    ("POST", "fault"): _fault,
    ("POST", "human"): _human,
    ("POST", "webhook"): _webhook,
    ("POST", "release"): _release,
}


def _json(data: Any, status: int = 200) -> Reply:
    content = json.dumps(data, default=_bytes).encode()
    return Reply(status, content, {"content-type": "application/json"})


def _bytes(value: object) -> str:
    """Bytes of a file, as base64."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"{type(value).__name__} does not go into JSON")
