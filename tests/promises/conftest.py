"""The place that a promise is kept at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from promises.place import PLACES, Place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from world import World


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> str:
    """Name the place; tests that need not be run everywhere parametrise this."""
    return str(request.param)


@pytest.fixture
def at(rjob: World, place: str) -> Iterator[Place]:
    """Make the place, with a server of its own where it is a host."""
    if place == "here":
        yield Place(rjob)
        return
    from hosts.host import Hosts

    hosts = Hosts(rjob)
    try:
        yield Place(rjob, hosts.add("gpu", place))
    finally:
        hosts.close()
