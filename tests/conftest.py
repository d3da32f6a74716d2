"""What every test stands on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from world import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def rjob(tmp_path: Path) -> Iterator[World]:
    """The ``rjob`` command with a home of its own."""
    world = World(tmp_path)
    yield world
    world.close()
