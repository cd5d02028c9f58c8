"""Email keeps every promise of the kit, with a mailbox of ours that is read."""

from handrail.testing import ConnectorTests
from handrail_email import Email
from handrail_email.simulated import SimulatedMail


class TestEmail(ConnectorTests):
    connector = Email
    desk = SimulatedMail
