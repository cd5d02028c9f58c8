"""The connector kit: a class of promises. An author fills in the values and inherits the tests.

    class TestAcme(ConnectorTests):
        connector = Acme
        desk = SimulatedAcme

That is a whole test file. Every test makes a real Handrail with a real store, sends real HTTP to the
simulated desk and moves a clock instead of waiting. No test of the kit may be overridden.
"""

from __future__ import annotations

from handrail.testing.kit_arrival import ArrivalTests
from handrail.testing.kit_back import BackTests
from handrail.testing.kit_once import OnceTests
from handrail.testing.world import World

_SECRET_WORDS = ("token", "secret", "password", "key", "credential")


class ConnectorTests(OnceTests, ArrivalTests, BackTests):
    """Promises of a connector. Fill in ``connector`` and ``desk``; the rest has defaults."""

    def test_secrets_stay_out_of_repr(self, world: World) -> None:
        fields = type(world.connector).model_fields
        secrets = {n: str(getattr(world.connector, n)) for n, field in fields.items() if not field.repr}
        named = [name for name in fields if any(word in name for word in _SECRET_WORDS)]
        shown = repr(world.connector) + str(world.connector)

        assert [name for name in named if name not in secrets and not _is_public(name)] == []
        assert [name for name, value in secrets.items() if value not in ("", "None") and value in shown] == []

    def test_no_kit_test_is_overridden(self) -> None:
        kit = {name for part in ConnectorTests.__mro__ for name in vars(part) if name.startswith("test_")}
        own = {
            name for part in type(self).__mro__ for name in vars(part) if part not in ConnectorTests.__mro__
        }

        assert own & kit == set()


def _is_public(name: str) -> bool:
    """Settings whose names only sound secret."""
    return name.endswith(("_id", "_field", "_command")) or name == "keys"
