"""What a command line costs the host: one login, and as many commands as the documentation says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hosts.host import Hosts
    from world import World

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "architecture.md"
AT = ["-H", "gpu"]

LINES: list[tuple[str, list[str]]] = [
    ("start", ["start", "sleep", "600"]),
    ("start -f", ["start", "-f", "echo", "x"]),
    ("start --wait", ["start", "--wait", "echo", "x"]),
    ("get", ["get"]),
    ("wait", ["wait", "3"]),
    ("receive", ["receive", "3"]),
    ("receive -f", ["receive", "-f", "3"]),
    ("receive --rm", ["receive", "--rm", "3"]),
    ("retry", ["retry", "2"]),
    ("suspend", ["suspend", "1"]),
    ("resume", ["resume", "1"]),
    ("signal", ["signal", "1", "CONT"]),
    ("stop", ["stop", "1"]),
    ("remove", ["remove", "1"]),
    ("remove --force", ["remove", "--force", "2"]),
    ("prune", ["prune"]),
    ("doctor", ["doctor"]),
]
"""A command line for each verb of the table, in an order in which each finds what it needs."""


def documented() -> dict[str, int]:
    """How many commands each verb is, as the page has it."""
    table = PAGE.read_text().partition("| verb | commands on the host |")[2]
    rows = re.findall(r"^\| (`.*`) \| (\d)", table, re.MULTILINE)
    return {verb: int(count) for cell, count in rows for verb in re.findall(r"`([^`]+)`", cell)}


def test_the_page_has_every_verb() -> None:
    assert documented().keys() == {verb for verb, _ in LINES}


def test_one_login_and_the_documented_commands(rjob: World, hosts: Hosts) -> None:
    host = hosts.add("gpu", lines=["LogLevel VERBOSE"])
    log = host.server.folder / "sshd.log"
    # The first command of all sends the runner.
    rjob("get", *AT)
    told = {}
    for verb, words in LINES:
        before = log.read_text().count
        logins, commands = before("Accepted publickey"), before("Starting session")
        rjob(words[0], *(["gpu"] if verb == "doctor" else AT), *words[1:])
        after = log.read_text().count
        told[verb] = (after("Accepted publickey") - logins, after("Starting session") - commands)
    assert told == {verb: (1, count) for verb, count in documented().items()}
