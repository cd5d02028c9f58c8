"""Handrail carries a conversation from an AI agent to a help desk, and the humans' answer back.

Names are imported when they are first used: importing ``handrail`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from handrail.brief import Entry, Fact, Item
    from handrail.connector import (
        Can,
        Change,
        Connector,
        Doorbell,
        Finding,
        LeftOpen,
        Page,
        Said,
        Undone,
        Wishes,
        secret,
        setting,
    )
    from handrail.credentials import basic, bearer, client_credentials
    from handrail.errors import (
        ConfigError,
        Conflict,
        ConnectorError,
        DeskError,
        DeskPaused,
        HandrailError,
        InputError,
        NotDone,
        NotFound,
        RedactorFailed,
        Refused,
        SignatureError,
        StoreError,
        Unsupported,
        Unsure,
    )
    from handrail.mailsteps import (
        Fetched,
        FetchMail,
        KeepMail,
        Mail,
        MailServer,
        MailServers,
        SendMail,
        TryMail,
    )
    from handrail.model import (
        Actor,
        Attempt,
        Conversation,
        Customer,
        Due,
        File,
        Handoff,
        Message,
        Reason,
        Role,
        State,
        Status,
        Ticket,
        Update,
        UpdateKind,
        Urgency,
    )
    from handrail.plugins import hookimpl
    from handrail.policy.model import Decision, Fired
    from handrail.rail import Handrail
    from handrail.render import Body, Dialect, Html, Plain, Writer
    from handrail.signature import Hmac, Hook, SharedSecret, StandardWebhooks
    from handrail.steps import Names, Reply, Request, Step, Steps, Token

_HOMES = {
    "handrail.brief": "Entry Fact Item",
    "handrail.connector": "Can Change Connector Doorbell Finding LeftOpen Page Said Undone Wishes secret "
    "setting",
    "handrail.credentials": "basic bearer client_credentials",
    "handrail.errors": "ConfigError Conflict ConnectorError DeskError DeskPaused HandrailError InputError "
    "NotDone NotFound RedactorFailed Refused SignatureError StoreError Unsupported Unsure",
    "handrail.mailsteps": "FetchMail Fetched KeepMail Mail MailServer MailServers SendMail TryMail",
    "handrail.model": "Actor Attempt Conversation Customer Due File Handoff Message Reason Role State Status "
    "Ticket Update UpdateKind Urgency",
    "handrail.plugins": "hookimpl",
    "handrail.policy.model": "Decision Fired",
    "handrail.rail": "Handrail",
    "handrail.render": "Body Dialect Html Plain Writer",
    "handrail.signature": "Hmac Hook SharedSecret StandardWebhooks",
    "handrail.steps": "Names Reply Request Step Steps Token",
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names.split()}

__all__ = [
    "Actor",
    "Attempt",
    "Body",
    "Can",
    "Change",
    "ConfigError",
    "Conflict",
    "Connector",
    "ConnectorError",
    "Conversation",
    "Customer",
    "Decision",
    "DeskError",
    "DeskPaused",
    "Dialect",
    "Doorbell",
    "Due",
    "Entry",
    "Fact",
    "FetchMail",
    "Fetched",
    "File",
    "Finding",
    "Fired",
    "Handoff",
    "Handrail",
    "HandrailError",
    "Hmac",
    "Hook",
    "Html",
    "InputError",
    "Item",
    "KeepMail",
    "LeftOpen",
    "Mail",
    "MailServer",
    "MailServers",
    "Message",
    "Names",
    "NotDone",
    "NotFound",
    "Page",
    "Plain",
    "Reason",
    "RedactorFailed",
    "Refused",
    "Reply",
    "Request",
    "Role",
    "Said",
    "SendMail",
    "SharedSecret",
    "SignatureError",
    "StandardWebhooks",
    "State",
    "Status",
    "Step",
    "Steps",
    "StoreError",
    "Ticket",
    "Token",
    "TryMail",
    "Undone",
    "Unsupported",
    "Unsure",
    "Update",
    "UpdateKind",
    "Urgency",
    "Wishes",
    "Writer",
    "basic",
    "bearer",
    "client_credentials",
    "hookimpl",
    "secret",
    "setting",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'handrail' has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
