"""The examples of the documentation: they are run, and do what the pages show.

A ``console`` block holds commands, each after ``$ ``, and what they print; ``> `` begins a further line of a command.
``…`` stands for anything within a line, alone on a line for any number of lines. Times of day, durations and the
width of columns are not compared. A command that is shown without output may print anything. A command may only fail
if the next one is ``echo $?``. What cannot be run is a ``text`` block.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hosts.host import Hosts
from world import need

from rjob.config import Config

if TYPE_CHECKING:
    from world import World

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
HOSTS = ("gpu", "web1", "web2")


class Step(NamedTuple):
    """One command of an example, and the output that the page shows for it."""

    command: str
    output: list[str]


def blocks(page: Path, language: str) -> list[str]:
    found = re.findall(rf"^ *```{language}\n(.*?)^ *```$", page.read_text(), re.DOTALL | re.MULTILINE)
    # A block with entry points is a part of a plugin's pyproject.toml, no settings.
    return [textwrap.dedent(block) for block in found if "entry-points" not in block]


def pages_with(language: str) -> pytest.MarkDecorator:
    """Run a test for each page that has a block in this language."""
    pages = [page for page in PAGES if blocks(page, language)]
    return pytest.mark.parametrize("page", pages, ids=lambda page: str(page.relative_to(ROOT)))


def steps(block: str) -> list[Step]:
    found: list[Step] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append(Step(line[2:], []))
        elif line.startswith("> "):
            found[-1] = Step(f"{found[-1].command}\n{line[2:]}", [])
        else:
            found[-1].output.append(line)
    return found


def pattern(lines: list[str]) -> str:
    """Make a regular expression of the lines that an example shows."""
    return "".join(r"(?:.*\n)*?" if line == "…" else re.escape(line).replace("…", ".*") + "\n" for line in lines)


def plain(text: str) -> list[str]:
    """Split text into lines, without what differs from run to run."""
    text = re.sub(r"\b\d\d:\d\d:\d\d\b", "TIME", text)
    text = re.sub(r"(?:\b\d+\.\ds|<1s)(?!\w)", "TOOK", text)
    # Whether a running job has written anything yet is a race.
    text = re.sub(r"\bRunning +(yes|no)\b", "Running yes", text)
    return [" ".join(line.split()) for line in text.rstrip("\n").splitlines()]


def run(rjob: World, block: list[Step], bin: Path) -> list[tuple[str, int]]:
    """Run the commands of one block in one shell; return what each printed, and its exit status."""
    mark = "-- a step of an example ends --"
    script = "".join(f"{step.command}\ns=$?; printf '\\n%s %s\\n' '{mark}' $s; (exit $s)\n" for step in block)
    env = rjob.env | {"PATH": f"{bin}:{rjob.env['PATH']}"}
    done = subprocess.run(
        [need("bash"), "-c", script],
        env=env,
        cwd=rjob.env["HOME"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=90,
        check=False,
    )
    parts = re.split(rf"\n{mark} (\d+)\n", done.stdout.decode())
    return [(text, int(status)) for text, status in zip(parts[::2], parts[1::2], strict=False)]


@pytest.fixture
def bin(tmp_path: Path) -> Path:
    """Provide a folder with an ``rjob`` that uses the interpreter of the tests."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "rjob"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m rjob "$@"\n')
    program.chmod(0o755)
    return folder


@pages_with("console")
def test_consoles(page: Path, rjob: World, bin: Path) -> None:
    examples = [steps(block) for block in blocks(page, "console")]
    hosts = Hosts(rjob)
    rjob.env["TZ"] = "UTC"
    try:
        for name in HOSTS:
            if any(re.search(rf"\b{name}\b|@web|web\[", step.command) for block in examples for step in block):
                hosts.add(name)
        hosts.group("web", "web[1-2]")
        for block in examples:
            assert block, f"{page.name} has an example without a command"
            done = run(rjob, block, bin)
            for step, following, (output, status) in zip(block, [*block[1:], None], done, strict=True):
                if step.output:
                    said, told = plain("\n".join(step.output)), plain(output)
                    fits = re.fullmatch(pattern(said), "\n".join([*told, ""])) is not None
                    assert fits, f"{page.name}: {step.command} printed\n{output}"
                may_fail = following is not None and following.command == "echo $?"
                assert status == 0 or may_fail, f"{page.name}: {step.command} ended with {status}\n{output}"
    finally:
        hosts.close()


@pages_with("toml")
def test_settings_files(page: Path) -> None:
    for block in blocks(page, "toml"):
        settings = tomllib.loads(block)
        assert settings, block
        Config(settings, environ={})


@pages_with("python")
def test_python(page: Path, rjob: World, bin: Path) -> None:
    for block in blocks(page, "python"):
        env = rjob.env | {"PATH": f"{bin}:{os.environ['PATH']}"}
        done = subprocess.run(
            [sys.executable, "-c", block], env=env, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr


def test_there_is_something_to_run_in_every_language() -> None:
    assert {language for page in PAGES for language in ("console", "toml", "python") if blocks(page, language)} == {
        "console",
        "toml",
        "python",
    }
