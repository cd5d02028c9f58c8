"""Zendesk keeps every promise of the kit."""

from handrail.testing import ConnectorTests
from handrail_zendesk import Zendesk
from handrail_zendesk.simulated import SimulatedZendesk


class TestZendesk(ConnectorTests):
    connector = Zendesk
    desk = SimulatedZendesk
