"""Hooks for conftest modules: they skip tests where there is no SSH server, and fail what is skipped in CI."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from rjob.testing.sshd import SshdUnavailable

if TYPE_CHECKING:
    from collections.abc import Generator


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None]:
    """Skip a test that cannot start an SSH server, in its fixtures or in its body."""
    try:
        return (yield)
    except SshdUnavailable as error:
        pytest.skip(str(error))


pytest_runtest_call = pytest_runtest_setup


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Fail a skipped test in CI, where all requirements are installed, unless its reason is "not applicable"."""
    report = yield
    reason = str(call.excinfo.value) if call.excinfo else ""
    if report.skipped and os.environ.get("CI") and not reason.startswith("not applicable"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and CI skips nothing: {reason}"
    return report
