"""The local transport, by the conformance suite."""

from __future__ import annotations

import pytest

from rjob.testing.conformance import TransportTests
from rjob.transports.base import Target, Transport
from rjob.transports.local import LocalTransport


class TestConformance(TransportTests):
    @pytest.fixture
    def transport(self) -> Transport:
        return LocalTransport(Target.parse("local:"), {})
