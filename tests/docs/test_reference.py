"""The reference says what the program has: no more, no less."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from rjob import hookspecs
from rjob.cli import status
from rjob.cli.app import VERBS, app
from rjob.cli.viewing import INTERRUPTED
from rjob.models import Job, Result, State
from rjob.runner.protocol import OPERATIONS
from rjob.settings import KEYS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
PLANNED = {"--on", "--throttle", "--children", "--location", "--no-confirm", "--to-host-file"}
"""Options that pages about what is to come may name."""


def page(name: str) -> str:
    return (DOCS / "reference" / f"{name}.md").read_text()


def rows(text: str, heading: str) -> list[list[str]]:
    """The cells of the first table under a heading."""
    table = text.partition(f"## {heading}\n")[2].partition("\n|---")[2].partition("\n")[2]
    lines = table.partition("\n\n")[0].splitlines()
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines if line.startswith("|")]


def options() -> dict[str, set[str]]:
    """Every verb's options, as the program has them."""
    root: Any = get_command(app)
    found: dict[str, set[str]] = {"rjob": {"--version", "--help", "--install-completion", "--show-completion"}}
    for verb in VERBS:
        command = root.commands[verb]
        for name, inner in {
            verb: command,
            **{f"{verb} {sub}": one for sub, one in getattr(command, "commands", {}).items()},
        }.items():
            found[name] = {"--help"} | {opt for item in inner.params for opt in (*item.opts, *item.secondary_opts)}
    return found


def test_the_command_line_page_is_what_the_program_says() -> None:
    done = subprocess.run(
        [sys.executable, DOCS / "_tools" / "command_line.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_option_that_is_named_exists(path: Path) -> None:
    known = options()
    everything = set().union(*known.values())
    for line in re.findall(r"`(rjob [^`]*)`|^(?:\$ )(.*\brjob .*)$", path.read_text(), re.MULTILINE):
        for command in re.findall(r"\brjob ([a-z]+(?: (?:rebuild|compact))?)((?: [^|;&]*)?)", "".join(line)):
            verb, words = command
            if verb in known and verb != "start":  # behind its options, start has another command's
                assert set(re.findall(r"(?<!\S)--[a-z-]+", words)) <= known[verb] | PLANNED, line
    for option in re.findall(r"`(--[a-z-]+)", path.read_text()):
        assert option in everything | PLANNED | {"--check", "--strict"}, option


def test_the_table_of_operations() -> None:
    table = rows(page("runner-protocol"), "Operations")
    assert sorted(row[0].strip("`") for row in table) == sorted(OPERATIONS)


def test_the_operations_that_may_be_repeated() -> None:
    from rjob.core.owner import _REPEATABLE

    table = rows(page("runner-protocol"), "Operations")
    assert {row[0].strip("`") for row in table if row[-1] == "yes"} == _REPEATABLE


def test_every_hook_has_a_heading_with_its_signature() -> None:
    hooks = {
        f"{name}{inspect.signature(hook)}".replace("'", "")
        for name, hook in inspect.getmembers(hookspecs, inspect.isfunction)
        if hasattr(hook, "rjob_spec")
    }
    assert hooks
    assert hooks == set(re.findall(r"^### `(rjob_.*)`$", page("transports"), re.MULTILINE))


def test_every_environment_variable() -> None:
    named = set()
    for path in (ROOT / "rjob").rglob("*"):
        if path.suffix in (".py", ".sh"):
            named |= set(re.findall(r"(?<![A-Z_])_?RJOB_[A-Z_]+", path.read_text()))
    # Typer's own way to ask for completion.
    named -= {"_RJOB_COMPLETE"}
    text = page("environment")
    assert named == {row[0].strip("`") for heading in ("Read", "Set for jobs") for row in rows(text, heading)} & {
        name for name in re.findall(r"RJOB_[A-Z_]+", text)
    }


def test_the_table_of_settings() -> None:
    assert [row[0].strip("`") for row in rows("## \n" + page("settings"), "")] == [key.name for key in KEYS]


def job(state: State, exit_code: int | None = None, signal: int | None = None) -> Job:
    return Job(1, "Job1", "0", state, "1", exit_code=exit_code, signal=signal)


def test_the_table_of_exit_statuses() -> None:
    text = page("exit-statuses")
    said = {row[0].strip("`") for row in rows(text, "Verbs that return a job's status")}
    of = status.of_result
    told = {
        "0": of(Result((job(State.COMPLETED, 0),))),
        "N": of(Result((job(State.FAILED, 3),))),
        "1": of(Result((job(State.FAILED, 3), job(State.COMPLETED, 0)))),
        "124": of(Result((job(State.RUNNING),))),
        "125": of(Result((job(State.LOST), job(State.FAILED, 3)))),
        "126": of(Result((job(State.FAILED, 126),))),
        "127": of(Result((job(State.FAILED, 127),))),
        "128+N": of(Result((job(State.STOPPED, signal=15),))),
        "255": of(Result((job(State.FAILED, 4711),))),
        "130": INTERRUPTED,
    }
    assert said == set(told)
    meant = {"N": 3, "128+N": 143}
    assert told == {word: meant.get(word) or int(word) for word in told}


@pytest.mark.parametrize("path", sorted(DOCS.rglob("*.md")), ids=lambda path: str(path.relative_to(DOCS)))
def test_every_page_is_short_and_titled(path: Path) -> None:
    text = path.read_text()
    assert text.startswith("# ") or path.name == "command-line.md"
    assert len(text.splitlines()) < 320
