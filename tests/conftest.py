"""Fixtures and hooks for all tests."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
from world import World, drop_cgroups

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

# A test run in the background may ignore these signals, and every command would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)
# Whoever lets a group write by default would make folders that rjob refuses.
os.umask(0o022)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Fail a skipped test in CI, where all requirements are installed, unless its reason is "not applicable"."""
    report = yield
    reason = str(call.excinfo.value) if call.excinfo else ""
    if report.skipped and os.environ.get("CI") and not reason.startswith("not applicable"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and CI skips nothing: {reason}"
    return report


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
    world.close()
    drop_cgroups(tmp_path)
