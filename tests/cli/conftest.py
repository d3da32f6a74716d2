"""Fixtures that run command lines in this process, against a stand-in for the job manager."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from cli.standin import Ran, StandIn

from rjob.cli import client
from rjob.cli.app import main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def own_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give each test settings, jobs, time zone and colour variables of its own."""
    config = tmp_path / "config.toml"
    config.touch()
    for name in ("RJOB_HOST", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "RJOB_CONFIG": config,
        "RJOB_HOME": tmp_path / "jobs",
        "RJOB_MACHINE": "m",
        "TZ": "UTC",
    }.items():
        monkeypatch.setenv(name, str(value))
    client.config.cache_clear()
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """Replace the job manager that the verbs open by a stand-in."""
    stand_in = StandIn()
    monkeypatch.setattr(client, "open_manager", lambda: stand_in)
    return stand_in


@pytest.fixture
def run(manager: StandIn, capfd: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Provide a function that runs a command line against the stand-in."""

    def run(*words: str) -> Ran:
        status = main(words)
        return Ran(status, *capfd.readouterr())

    return run
