"""No runner is run from a folder that others may write to: through the real command."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from world import processes_with, requires_root, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from world import World


def refused(rjob: World, code: str, place: Path, home: Path | None = None) -> None:
    """Make sure that every verb refuses the home, names the place and runs nothing."""
    env = {"RJOB_HOME": home or rjob.home}
    for verb, word in (("get", "1"), ("start", "touch"), ("stop", "1"), ("remove", "1")):
        done = rjob(verb, "--json", word, *([rjob.root / "ran"] if verb == "start" else []), env=env, status=1)
        assert str(place) in done.errors, done
        assert "RJOB_HOME" in done.errors or "remove the link" in done.errors, done
        assert [error["code"] for error in done.json["errors"]] == [code], done
    assert str(place) in rjob("receive", "1", env=env, status=1).errors
    assert not (rjob.root / "ran").exists()


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o720, 0o702, 0o1777])
def test_a_home_that_others_may_write_to(rjob: World, mode: int) -> None:
    rjob.ended(rjob.start("true"))
    rjob.home.chmod(mode)
    refused(rjob, "exposed", rjob.home)
    rjob.home.chmod(0o755)
    rjob("get")


def test_a_runner_folder_that_others_may_write_to(rjob: World) -> None:
    rjob.ended(rjob.start("true"))
    (rjob.home / "runner").chmod(0o777)
    refused(rjob, "exposed", rjob.home / "runner")


def test_a_cached_runner_that_others_may_write_to(rjob: World) -> None:
    rjob.ended(rjob.start("true"))
    (runner,) = (rjob.home / "runner").iterdir()
    text = runner.read_bytes()
    runner.write_bytes(b"touch '%s'\n" % os.fsencode(rjob.root / "ran") + text)
    runner.chmod(0o666)
    rjob("get", "1")
    # It was not run but sent again, into a folder that nobody else can write to.
    assert not (rjob.root / "ran").exists()
    assert runner.read_bytes() == text
    assert runner.stat().st_mode & 0o777 == 0o600


def test_a_folder_above_that_others_may_write_to(rjob: World) -> None:
    above = rjob.root / "above"
    (above / "middle").mkdir(parents=True)
    above.chmod(0o777)
    refused(rjob, "exposed", above, above / "middle" / "jobs")
    assert not (above / "middle" / "jobs").exists()
    above.chmod(0o1777)
    rjob("start", "true", env={"RJOB_HOME": above / "middle" / "jobs"})


def test_a_home_behind_a_link_is_judged_by_where_it_leads(rjob: World) -> None:
    bad, good = rjob.root / "bad", rjob.root / "good"
    (bad / "jobs").mkdir(parents=True)
    good.mkdir(mode=0o700)
    bad.chmod(0o777)
    link = rjob.root / "link"
    link.symlink_to(bad / "jobs")
    refused(rjob, "exposed", bad, link)
    refused(rjob, "exposed", bad, link / "below")
    link.unlink()
    link.symlink_to(good)
    rjob("start", "true", env={"RJOB_HOME": link})
    rjob("start", "true", env={"RJOB_HOME": link / "below"})


def test_no_runner_is_run_through_a_link(rjob: World) -> None:
    rjob.ended(rjob.start("true"))
    (rjob.home / "runner").rename(rjob.root / "elsewhere")
    (rjob.home / "runner").symlink_to(rjob.root / "elsewhere")
    refused(rjob, "link", rjob.home / "runner")


@requires_root
def test_a_link_or_a_folder_of_somebody_else(rjob: World) -> None:
    link = rjob.root / "link"
    link.symlink_to(rjob.root / "mine")
    (rjob.root / "mine").mkdir(mode=0o700)
    os.chown(link, 12345, 12345, follow_symlinks=False)
    refused(rjob, "foreign", link, link)
    theirs = rjob.root / "theirs"
    theirs.mkdir()
    os.chown(theirs, 12345, 12345)
    refused(rjob, "foreign", theirs, theirs / "jobs")


def test_a_supervisor_runs_nothing_from_a_home_that_was_opened_meanwhile(rjob: World) -> None:
    ref = rjob.start("--time-limit", "1h", "sleep", "1000")
    folder = rjob.folder(ref)
    (runner,) = (rjob.home / "runner").iterdir()
    text = runner.read_bytes()
    runner.write_bytes(b"touch '%s'\n" % os.fsencode(rjob.root / "ran") + text)
    rjob.home.chmod(0o777)
    os.kill(int((folder / "main").read_text().split()[0]), signal.SIGKILL)
    wait_until((folder / "exit").exists, what="the end")
    wait_until(lambda: not processes_with(f"RJOB_SUPERVISES={folder.name}"), what="the supervisor's end")
    assert not (rjob.root / "ran").exists()
    rjob.home.chmod(0o700)
    runner.write_bytes(text)
    assert rjob.ended(ref)["state"] == "Failed"
