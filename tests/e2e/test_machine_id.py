"""A machine without an id of its own: a random one, never a guessable one, never somebody else's."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest
from world import RJOB

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from world import World

BARE = """
[ ! -e /etc/machine-id ] || mount --bind "$1/empty" /etc/machine-id
mount --bind "$1/var-tmp" /var/tmp
shift
exec "$@"
"""


@pytest.fixture
def bare(rjob: World, as_root: None) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs commands where the machine has no id, and ``/var/tmp`` is the test's own."""
    if subprocess.run(["unshare", "--mount", "true"], check=False).returncode:
        pytest.skip("needs mount namespaces")
    (rjob.root / "empty").touch()
    (rjob.root / "var-tmp").mkdir()
    (rjob.root / "var-tmp").chmod(0o1777)
    env = {key: value for key, value in rjob.env.items() if key != "RJOB_MACHINE"}

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        argv = ["unshare", "--mount", "sh", "-c", BARE, "sh", str(rjob.root), *command]
        return subprocess.run(argv, env=env, cwd=rjob.root, capture_output=True, text=True, check=False, timeout=60)

    return run


def id_file(rjob: World) -> Path:
    return rjob.root / "var-tmp" / f"rjob-machine-{os.getuid()}"


def test_it_is_made_once_and_random(rjob: World, bare: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    assert bare(*RJOB, "start", "-q", "true").stdout == "1\n"
    machine = id_file(rjob).read_text().strip()
    assert re.fullmatch("[0-9a-f]{32}", machine)
    assert (rjob.home / machine / "jobs").is_dir()
    assert bare(*RJOB, "start", "-q", "true").stdout == "2\n"


def test_the_script_on_the_host_makes_a_random_one_too(
    rjob: World, bare: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    assert bare(*RJOB, "start", "-q", "true").returncode == 0
    id_file(rjob).unlink()
    assert bare(str(rjob.home / "rjob"), "get").stdout == "no jobs\n"
    assert re.fullmatch("[0-9a-f]{32}\n", id_file(rjob).read_text())


@pytest.mark.parametrize("squat", ["another's", "link", "folder", "empty"])
def test_what_others_put_there_is_refused_with_the_way_out(
    rjob: World, bare: Callable[..., subprocess.CompletedProcess[str]], squat: str
) -> None:
    path = id_file(rjob)
    if squat == "link":
        (rjob.root / "elsewhere").write_text("guess\n")
        path.symlink_to(rjob.root / "elsewhere")
    elif squat == "folder":
        path.mkdir()
    else:
        path.write_text("" if squat == "empty" else "guess\n")
        os.chown(path, 65534 if squat == "another's" else 0, -1)
    done = bare(*RJOB, "start", "true")
    assert done.returncode == 1
    assert f"/var/tmp/{path.name}" in done.stderr
    assert "RJOB_MACHINE" in done.stderr
    assert "RJOB_HOME" not in done.stderr
    assert not (rjob.home / "guess").exists()


def test_people_on_the_host_are_told_in_words(
    rjob: World, bare: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    assert bare(*RJOB, "start", "-q", "true").returncode == 0
    id_file(rjob).write_text("")
    told = bare(str(rjob.home / "rjob"), "get")
    assert told.returncode == 1
    assert told.stdout == ""
    assert told.stderr.startswith("rjob: machine-file: ")


def test_a_machine_without_jobs_lists_those_of_the_others(rjob: World) -> None:
    rjob.start("true", env={"RJOB_MACHINE": "login2"})
    (job,) = rjob("get", "--all", "--json").json["jobs"]
    assert (job["machine"], job["command"]) == ("login2", "true")
    assert not rjob.owner.exists()
