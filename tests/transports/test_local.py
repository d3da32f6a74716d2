"""The local transport: the same suite as for any other machine."""

from __future__ import annotations

import pytest

from rjob.testing.conformance import TransportTests
from rjob.transports.base import Target, Transport
from rjob.transports.local import LocalTransport


class TestConformance(TransportTests):
    @pytest.fixture
    def transport(self) -> Transport:
        return LocalTransport(Target.parse("local:"), {})
