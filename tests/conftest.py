"""Fixtures and hooks for all tests, and the profile of those that hypothesis drives."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from skips import pytest_runtest_call, pytest_runtest_makereport, pytest_runtest_setup  # noqa: F401  (hooks)
from world import World, drop_cgroups

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# A test run in the background may ignore these signals, and every command would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)
# Whoever lets a group write by default would make folders that rjob refuses.
os.umask(0o022)


# Real shells are slow, and one machine serves many examples.
settings.register_profile(
    "rjob",
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("rjob")


@pytest.fixture
def as_root() -> None:
    """Skip the test unless root runs it; tests request this by ``world.requires_root``, fixtures by name."""
    if os.geteuid() != 0:
        pytest.skip("not applicable: only root can mount, give files away and make namespaces")


@pytest.fixture
def rjob(tmp_path: Path) -> Iterator[World]:
    """Provide the ``rjob`` command with a home of its own."""
    world = World(tmp_path)
    yield world
    try:
        world.close()
    finally:
        drop_cgroups(tmp_path)
