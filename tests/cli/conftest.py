"""The command line in this process, in a world of its own."""

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
    """No settings, jobs, time zone or wishes for colour but the test's own."""
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
    """The stand-in that the verbs will talk to."""
    stand_in = StandIn()
    monkeypatch.setattr(client, "open_manager", lambda: stand_in)
    return stand_in


@pytest.fixture
def run(manager: StandIn, capfd: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run a command line against the stand-in."""

    def run(*words: str) -> Ran:
        status = main(words)
        return Ran(status, *capfd.readouterr())

    return run
