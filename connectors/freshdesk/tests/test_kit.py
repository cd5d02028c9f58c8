"""Freshdesk keeps every promise of the kit, with its marker in a custom field and with it as a tag."""

from handrail.testing import ConnectorTests
from handrail_freshdesk import Freshdesk
from handrail_freshdesk.simulated import SimulatedFreshdesk


class TestFreshdesk(ConnectorTests):
    connector = Freshdesk
    desk = SimulatedFreshdesk


class TestFreshdeskThatIsLate(ConnectorTests):
    """No custom field, lists that show a ticket after 30 seconds, notes that move nothing, no merging."""

    connector = Freshdesk
    desk = SimulatedFreshdesk
    desk_options = {  # noqa: RUF012 - the kit's own way
        "marker_field": False,
        "list_lag": 30,
        "inclusive": False,
        "note_bumps": False,
        "merge": None,
    }
