"""What a command line costs the host: one login, and as many commands as the documentation says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from hosts.host import Host, Hosts
    from world import World

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "architecture.md"
AT = ["-H", "gpu"]

LINES: dict[str, list[str]] = {
    "get": ["get"],
    "wait": ["wait", "1"],
    "receive": ["receive", "1"],
    "receive -f": ["receive", "-f", "1"],
    "receive --rm": ["receive", "--rm", "1"],
    "stop": ["stop", "2"],
    "signal": ["signal", "2", "CONT"],
    "suspend": ["suspend", "2"],
    "resume": ["resume", "2"],
    "remove": ["remove", "1"],
    "remove --force": ["remove", "--force", "2"],
    "prune": ["prune"],
    "retry": ["retry", "1"],
    "start": ["start", "true"],
    "start --wait": ["start", "--wait", "true"],
    "start -f": ["start", "-f", "echo", "x"],
    "doctor": ["doctor"],
}
"""A command line for each verb of the table; job 1 has ended, job 2 runs."""


def documented() -> dict[str, int]:
    """How many commands each verb is, as the page has it."""
    table = PAGE.read_text().partition("| verb | commands on the host |")[2]
    rows = re.findall(r"^\| (`.*`) \| (\d)", table, re.MULTILINE)
    return {verb: int(count) for cell, count in rows for verb in re.findall(r"`([^`]+)`", cell)}


def test_the_page_has_every_verb() -> None:
    assert documented().keys() == LINES.keys()


@pytest.fixture
def host(rjob: World, hosts: Hosts) -> Host:
    """A host with two jobs, whose server writes down who comes and what they run."""
    gpu = hosts.add("gpu", lines=["LogLevel VERBOSE"])
    first = rjob.start(*AT, "-c", "echo x")
    rjob.ended(first)
    rjob.start(*AT, "sleep", "600")
    return gpu


@pytest.mark.parametrize("verb", LINES)
def test_one_login_and_the_documented_commands(rjob: World, host: Host, verb: str) -> None:
    log = host.server.folder / "sshd.log"
    before = log.read_text().count
    logins, commands = before("Accepted publickey"), before("Starting session")
    words = LINES[verb]
    at = ["gpu"] if verb == "doctor" else AT
    rjob(words[0], *at, *words[1:])
    after = log.read_text().count
    assert (after("Accepted publickey") - logins, after("Starting session") - commands) == (1, documented()[verb])
