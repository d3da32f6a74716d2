"""A home whose name is full of what shells and tools read as something else."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest
from runner.conftest import SHELLS, SYSTEM_PATH, shell_folder
from world import World, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ODD = "-a b'c\"d\\n\\\\t\\e*[x]$HOME`id`${x}$(id);&|<>(){}!~#%s%0Aé漢=é -> x:/runner/jobs"


@pytest.fixture(params=SHELLS)
def odd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """The ``rjob`` command with an odd home, where ``sh`` is one of the shells."""
    world = World(tmp_path)
    world.home = tmp_path / ODD
    world.home.mkdir(parents=True, mode=0o700)
    world.env |= {
        "RJOB_HOME": str(world.home),
        "PATH": f"{shell_folder(tmp_path, request.param)}:{SYSTEM_PATH}",
        "LANG": "C.UTF-8",
    }
    yield world
    world.close()


def test_the_main_verbs(odd: World) -> None:
    done = odd.start("-n", "first", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert odd("wait", done, status=3).out == b""
    received = odd("receive", done)
    assert (received.out, received.err) == (b"out\n", b"err\n")
    assert odd("receive", done).out == b""
    assert odd("receive", "--all", "-f", done, status=3).out == b"out\n"
    there = odd.home / "there"
    saved = odd.shell("echo saved")
    odd("wait", saved)
    odd("receive", "--to-host-file", there, saved)
    assert there.read_text() == "saved\n"
    script = odd.root / "script"
    script.write_text("#!/bin/sh\ncat\n")
    scripted = odd.start("--script", str(script), "--stdin", "-", input=b"given")
    odd("wait", scripted)
    assert odd("receive", scripted).out == b"given"
    running = odd.start("sleep", "600")
    odd("suspend", running)
    odd("resume", running)
    odd("stop", running)
    assert odd.job(running)["state"] == "Stopped"
    limited = odd.start("--time-limit", "1", "sleep", "600")
    assert "time limit" in odd.ended(limited)["reason"]
    odd("retry", done)
    assert odd("get", "--all", "-q").text.split() == [done, saved, scripted, running, limited, "6"]
    odd("remove", "--force", scripted, "6")
    assert odd("get", "--all", "-q").text.split() == [done, saved, running, limited]
    assert str(odd.home) in odd("doctor", status=None).text


def test_upkeep(odd: World) -> None:
    refs = [odd.start("true") for _ in range(3)]
    for ref in refs:
        odd("wait", ref)
    wait_until(lambda: not odd.processes(), what="silence")
    odd("remove", refs[0])
    before = len((odd.owner / "registry.jsonl").read_text().splitlines())
    odd("registry", "compact")
    after = (odd.owner / "registry.jsonl").read_text().splitlines()
    assert len(after) < before
    assert {json.loads(line)["id"] for line in after} == {2, 3}
    (odd.owner / "next").unlink()
    odd("registry", "rebuild")
    assert odd("get", "--all", "-q").text.split() == refs[1:]
    odd("prune", "--keep", "1")
    assert odd("get", "--all", "-q").text.split() == refs[2:]
    assert sorted(path.name for path in odd.owner.iterdir() if path.name not in ("pending", "host", "next")) == [
        "bell",
        "ends",
        "ids",
        "jobs",
        "live",
        "new",
        "registry.jsonl",
    ]


def test_on_the_host(odd: World) -> None:
    ref = odd.start("sleep", "600")
    script = str(odd.home / "rjob")
    told = subprocess.run(["sh", script, "get"], env=odd.env, capture_output=True, text=True, check=True)
    assert "running" in told.stdout
    assert told.stderr == ""
    # A relative path, too.
    told = subprocess.run(["./rjob", "get"], env=odd.env, cwd=odd.home, capture_output=True, text=True, check=True)
    assert "running" in told.stdout
    subprocess.run(["./rjob", "stop", ref], env=odd.env, cwd=odd.home, capture_output=True, text=True, check=True)
    assert odd.job(ref)["state"] == "Stopped"


def test_a_relative_home(rjob: World) -> None:
    rjob.env["RJOB_HOME"] = "-rel"
    ref = rjob.shell("echo x")
    rjob("wait", ref)
    assert rjob("receive", ref).out == b"x\n"
    assert rjob("receive", ref).out == b""
    rjob("remove", ref)
    assert (rjob.root / "-rel").is_dir()
