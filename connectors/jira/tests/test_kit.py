"""Jira keeps every promise of the kit: on Cloud, on Data Center, and as Service Management on both."""

from handrail.testing import ConnectorTests
from handrail_jira import Jira
from handrail_jira.simulated import SimulatedJira


class TestCloud(ConnectorTests):
    connector = Jira
    desk = SimulatedJira


class TestDataCenter(ConnectorTests):
    connector = Jira
    desk = SimulatedJira
    desk_options = {"deployment": "data-center"}  # noqa: RUF012


class TestServiceManagement(ConnectorTests):
    """The request for the customer, its labels and priority, and the brief as an internal note."""

    connector = Jira
    desk = SimulatedJira
    desk_options = {"service_desk": True}  # noqa: RUF012
    requests_per_handoff = 3
    create_request = "POST /servicedeskapi/request"


class TestServiceManagementOnDataCenter(ConnectorTests):
    connector = Jira
    desk = SimulatedJira
    desk_options = {"service_desk": True, "deployment": "data-center"}  # noqa: RUF012
    requests_per_handoff = 3
    create_request = "POST /servicedeskapi/request"
