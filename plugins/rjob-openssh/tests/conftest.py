"""Setup for the plugin's tests, before they are collected, and what becomes of them where there is no SSH server."""

import os
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from rjob.testing.sshd import SshdUnavailable

# The tests must also run from a checkout in which the plugin is not installed.
sys.path.insert(0, str(Path(__file__).parents[1]))
pytest.register_assert_rewrite("rjob.testing.conformance")


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
    """Fail a skipped test in CI, where there is an SSH server, unless its reason is "not applicable"."""
    report = yield
    reason = str(call.excinfo.value) if call.excinfo else ""
    if report.skipped and os.environ.get("CI") and not reason.startswith("not applicable"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and CI skips nothing: {reason}"
    return report
