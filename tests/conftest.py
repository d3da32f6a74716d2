"""Fixtures and hooks for all tests, and the profile of those that hypothesis drives."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from world import World, drop_cgroups

from rjob.testing.sshd import SshdUnavailable

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


# Real shells are slow, and one machine serves many examples.
settings.register_profile(
    "rjob",
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("rjob")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None]:
    """Skip a test whose fixtures cannot start an SSH server."""
    try:
        return (yield)
    except SshdUnavailable as error:
        pytest.skip(str(error))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None]:
    """Skip a test that cannot start an SSH server."""
    try:
        return (yield)
    except SshdUnavailable as error:
        pytest.skip(str(error))


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
    try:
        world.close()
    finally:
        drop_cgroups(tmp_path)
