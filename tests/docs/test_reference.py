"""The reference pages, compared with the program: they name all that it has, and nothing else."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from rjob import errors, hookspecs
from rjob.cli import status
from rjob.cli.app import VERBS, app
from rjob.cli.viewing import INTERRUPTED
from rjob.core.changes import REFUSALS
from rjob.models import Job, Result, State
from rjob.runner.operations import OPERATIONS
from rjob.settings import KEYS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
ELSEWHERE = {"--on", "--check"}
"""Options that are planned or belong to another program."""


def page(name: str) -> str:
    return (DOCS / "reference" / f"{name}.md").read_text()


def rows(text: str, heading: str) -> list[list[str]]:
    """Return the cells of the first table under a heading."""
    table = text.partition(f"## {heading}\n")[2].partition("\n|---")[2].partition("\n")[2]
    lines = table.partition("\n\n")[0].splitlines()
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines if line.startswith("|")]


def options() -> dict[str, set[str]]:
    """Return each verb's options, as the program has them."""
    root: Any = get_command(app)
    found: dict[str, set[str]] = {"rjob": {"--version", "--help", "--install-completion", "--show-completion"}}
    for verb in VERBS:
        command = root.commands[verb]
        inner = {f"{verb} {name}": one for name, one in getattr(command, "commands", {}).items()}
        for name, one in {verb: command, **inner}.items():
            found[name] = {"--help"} | {word for item in one.params for word in (*item.opts, *item.secondary_opts)}
    return found


def test_the_command_line_page_is_what_the_program_says() -> None:
    done = subprocess.run(
        [sys.executable, DOCS / "_tools" / "command_line.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_option_that_is_named_exists(path: Path) -> None:
    known = options()
    of_verbs, alone = named_options(path.read_text())
    assert [(verb, option) for verb, option in of_verbs if verb in known and option not in known[verb]] == []
    assert set(alone) - set().union(*known.values()) - ELSEWHERE == set()


def test_options_in_a_text_are_found() -> None:
    of_verbs, alone = named_options("`rjob wait --any 1`, `--rm`\nrjob registry compact --x | rjob start -c 'x --y'")
    assert (of_verbs, alone) == ([("wait", "--any"), ("registry compact", "--x")], ["--rm"])
    everywhere = [option for path in PAGES for option in named_options(path.read_text())[0]]
    assert ("receive", "--all") in everywhere


def named_options(text: str) -> tuple[list[tuple[str, str]], list[str]]:
    """Find the options that a text names: those of a verb's command lines, and those that stand alone in backticks."""
    # After its own options, start takes those of another command.
    lines = re.findall(r"\brjob ((?!start)[a-z]+(?: rebuild| compact)?)\b([^`|;&)\n]*)", text)
    of_verbs = [(verb, option) for verb, words in lines for option in re.findall(r"(?<!\S)--[a-z-]+", words)]
    return of_verbs, re.findall(r"`(?:[a-z]+ )?(--[a-z-]+)", text)


def test_the_table_of_operations() -> None:
    table = {row[0].strip("`"): row for row in rows(page("runner-protocol"), "Operations")}
    assert table.keys() == OPERATIONS.keys()
    for name, operation in OPERATIONS.items():
        assert (table[name][-2] != "no") == operation.locks, name
        assert (table[name][-1] == "yes") == operation.repeatable, name


def test_the_posix_runner_performs_the_table() -> None:
    serve = (ROOT / "rjob/runner/posix/serve.sh").read_text()
    (cases,) = re.findall(r"case \$rj_op in\n(.*?)\n\t\*\)", serve, re.DOTALL)
    listed = " | ".join(re.findall(r"^\t([a-z][a-z |-]*)\)", cases, re.MULTILINE))
    assert sorted(listed.split(" | ")) == sorted(OPERATIONS)


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
            named |= set(re.findall(r"\b_?RJOB_[A-Z_]+", path.read_text()))
    # Typer's own variable for completion.
    named -= {"_RJOB_COMPLETE"}
    text = page("environment")
    assert named == {row[0].strip("`") for heading in ("Read", "Set for jobs") for row in rows(text, heading)}


def test_the_table_of_settings() -> None:
    assert re.findall(r"^\| `(\w+)` ", page("settings"), re.MULTILINE) == [key.name for key in KEYS]


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


def test_the_codes_of_errors() -> None:
    known = {
        kind.code for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, errors.RjobError)
    }
    for path in (ROOT / "rjob").rglob("*.py"):
        known |= set(re.findall(r'reason="([a-z-]+)"', path.read_text()))
    known |= set(REFUSALS)
    known |= set(
        re.findall(r"rj_(?:fail|abort) ([a-z-]+) ", "".join(path.read_text() for path in (ROOT / "rjob").rglob("*.sh")))
    )
    check = (ROOT / "rjob" / "runner" / "posix" / "check.sh").read_text()
    known |= set(re.findall(r'rj_problem="([a-z-]+) ', check))
    table = page("json").partition("| code | |")[2].partition("\n\n")[0]
    assert set(re.findall(r"`([a-z-]+)`", table)) == known


def test_the_fields_of_json() -> None:
    schema = json.loads((DOCS / "reference" / "json-schema.json").read_text())
    said = set(
        re.findall(r"^\| (`.*?`) \| ", page("json").partition("| field | |")[2].partition("\n\n")[0], re.MULTILINE)
    )
    names = set(re.findall(r"`([a-z_0-9]+)`", " ".join(said)))
    assert names == set(schema["$defs"]["job"]["properties"])


@pytest.mark.parametrize("path", [ROOT / "README.md", ROOT / "CONTRIBUTING.md"], ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
        assert "://" in link or (ROOT / link).exists(), link


def test_each_line_about_security_names_a_test() -> None:
    page = (ROOT / "docs" / "explanation" / "security.md").read_text()
    rows = [line.split("|")[1:-1] for line in page.splitlines() if line.startswith("|") and line.count("|") == 5][2:]
    assert len(rows) > 15
    for row in rows:
        files = re.findall(r"`(tests/[^`]+)`", row[3])
        assert files, row
        assert [file for file in files if not (ROOT / file).is_file()] == [], row


def test_the_files_that_the_runner_keeps() -> None:
    text = "".join(path.read_text() for path in (ROOT / "rjob/runner/posix").glob("*.sh"))
    owners = set(re.findall(r'\$rj_owner"?/([a-z.]+[a-z])', text))
    jobs = set(re.findall(r'(?:jobs/\$(?:1|2|rj_uuid|rj_one)|\$rj_job|\$rj_dir|"\$1)/([a-z.]+[a-z])', text))
    # Files that exist for a moment only, and those that are not a job's.
    owners -= {"registry.new", "gone", "breaking"}
    jobs -= {"received.new", "cgroup.procs"}
    # The patterns find files of each kind.
    assert {"registry.jsonl", "next", "lock", "bell"} <= owners
    assert {"start", "exit", "identity", "main", "out"} <= jobs
    page_of_files = page("files")
    named = set(re.findall(r"`([a-z.]+)`", page_of_files)) | set(re.findall(r"[├└]── ([a-z.]+)", page_of_files))
    assert owners - named == set()
    assert jobs - named == set()
