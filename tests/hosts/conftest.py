"""What tests of jobs on hosts stand on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hosts.host import Host, Hosts
    from world import World

pytest.register_assert_rewrite("hosts.host")


@pytest.fixture
def transport() -> str:
    """How the hosts are reached; tests that are about all of the ways parametrise this."""
    return "ssh"


@pytest.fixture
def hosts(rjob: World) -> Iterator[Hosts]:
    """Hosts to be added."""
    from hosts.host import Hosts

    made = Hosts(rjob)
    yield made
    made.close()


@pytest.fixture
def gpu(hosts: Hosts, transport: str) -> Host:
    """One host."""
    return hosts.add("gpu", transport)
