"""Shell completion: it uses what this machine knows, and never fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rjob.cli import complete


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    owner = tmp_path / "jobs" / "m"
    (owner / "ids").mkdir(parents=True)
    events = [
        {"v": 1, "event": "start", "id": 1, "name": "gone"},
        {"v": 1, "event": "start", "id": 2, "name": "build"},
        {"v": 1, "event": "start", "id": 13},
        {"v": 1, "event": "end", "id": 2},
        {"v": 1, "event": "start", "id": 14, "name": "$(touch x)"},
        {"v": 1, "event": "start", "id": 15, "name": "build"},
        {"v": 2, "event": "unheard-of"},
    ]
    for number in (2, 13, 14, 15):
        (owner / "ids" / str(number)).touch()
    lines = [json.dumps(event) for event in events]
    (owner / "registry.jsonl").write_text("\n".join([*lines[:3], '{"torn', *lines[3:]]) + "\n")
    return owner


def test_jobs_are_the_newest_first(registry: Path) -> None:
    assert complete.jobs("") == ["last", "15", "build", "14", "13", "2"]
    assert complete.jobs("1") == ["15", "14", "13"]
    assert complete.jobs("bu") == ["build"]


def test_no_jobs_no_complaint(tmp_path: Path) -> None:
    assert complete.jobs("") == []


def test_a_long_registry_is_not_read_whole(registry: Path) -> None:
    with (registry / "registry.jsonl").open("a") as file:
        for number in range(16, 20_000):
            file.write(json.dumps({"v": 1, "event": "end", "id": number, "more": "x" * 40}) + "\n")
        file.write(json.dumps({"v": 1, "event": "start", "id": 15, "name": "tail"}) + "\n")
    assert complete.jobs("") == ["last", "15", "tail"]


def test_hosts_and_groups(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[hosts.gpu]\n[hosts.web1]\n[groups]\nweb = "web1"\n')
    assert complete.hosts("") == [".", "gpu", "web1", "@web", "@all"]
    assert complete.hosts("@") == ["@web", "@all"]


def test_a_broken_settings_file_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[")
    assert complete.hosts("") == []


def test_states() -> None:
    assert complete.states("S") == ["suspended", "stopping", "stopped"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("rjob re", {"receive", "resume", "retry", "remove", "registry"}),
        ("rjob wait bui", {"build"}),
        ("rjob get --sta", {"--state"}),
        ("rjob get --state fai", {"failed"}),
        ("rjob start -H ", {".", "@all"}),
        ("rjob registry re", {"rebuild"}),
    ],
)
def test_a_shell_asks(registry: Path, line: str, expected: set[str]) -> None:
    words = line.split(" ")
    program = "import sys; from rjob.cli.app import main; sys.exit(main())"
    env = os.environ | {"_RJOB_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    ran = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    assert set(ran.stdout.split()) == expected
    assert ran.stderr == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_a_shell(shell: str) -> None:
    program = "import sys; from rjob.cli.app import main; sys.exit(main())"
    env = os.environ | {"_RJOB_COMPLETE": f"source_{shell}"}
    ran = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    assert "_RJOB_COMPLETE" in ran.stdout


def test_help_texts_are_not_drawn_by_rich() -> None:
    program = "import sys; from rjob.cli.app import main\ntry: main()\nfinally: print(*sys.modules, file=sys.stderr)"
    env = os.environ | {"_RJOB_COMPLETE": "complete_fish", "_TYPER_COMPLETE_ARGS": "rjob wai"}
    env["_TYPER_COMPLETE_FISH_ACTION"] = "get-args"
    ran = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("wait\tWait until jobs have ended")
    assert "rich.console" not in ran.stderr.split()
