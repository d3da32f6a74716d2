"""Fixtures for the transports' tests: a private SSH server for each worker, and a home without SSH files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rjob.testing.sshd import Sshd

pytest.register_assert_rewrite("rjob.testing.conformance")

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """Provide a server that the tests share; its commands have a home of their own."""
    home = tmp_path_factory.mktemp("home")
    with Sshd(env={"HOME": str(home)}, shell=("sh",)) as server:
        yield server


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Sshd]:
    """Provide a server that a test may restart, break or reconfigure."""
    with Sshd(folder=tmp_path / "sshd") as server:
        yield server


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Provide a home without any SSH files, and no SSH agent."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.delenv("RJOB_SSH_CONFIG", raising=False)
    return home
