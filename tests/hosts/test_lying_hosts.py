"""Hosts whose files say what is not so: nothing of ours is touched, nothing is given away, nothing falls over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from world import processes_with

if TYPE_CHECKING:
    from hosts.host import Host, Hosts
    from world import World

VALUE = "v4lue-of-a-secret"


def rewrite(host: Host, ref: str, **fields: Any) -> None:
    """Put something else into a job's start record, as the host's owner can."""
    start = host.folder(ref) / "start"
    record = json.loads(start.read_text()) | fields
    start.write_text(json.dumps(record) + "\n")


def told(host: Host, word: str) -> bool:
    """Whether a file of the host holds a word."""
    return any(word.encode() in path.read_bytes() for path in host.home.rglob("*") if path.is_file())


@pytest.fixture
def evil(rjob: World, hosts: Hosts) -> Host:
    return hosts.add("evil")


def finished(rjob: World, *words: str) -> str:
    ref = rjob.start("-H", "evil", *(words or ("sh", "-c", 'printf %s "$AWS_SECRET_ACCESS_KEY$TOKEN"')))
    rjob("wait", ref, status=None)
    return ref


# ------------------------------------------------------------------------------------------------------------- secrets


def test_a_host_cannot_ask_for_a_variable(rjob: World, evil: Host) -> None:
    ref = finished(rjob)
    rewrite(evil, ref, secrets=["AWS_SECRET_ACCESS_KEY", "TOKEN"])
    env = {"AWS_SECRET_ACCESS_KEY": VALUE, "TOKEN": "t"}
    done = rjob("retry", ref, env=env, status=2)
    first, hint = done.errors.splitlines()
    assert first.startswith("rjob: evil: ")
    assert "AWS_SECRET_ACCESS_KEY, TOKEN" in first
    assert "--secret KEY" in hint
    # What is missing is never part of something that could be copied and run.
    assert "--secret AWS" not in done.errors
    assert "AWS_SECRET_ACCESS_KEY" in rjob("retry", ref, "--secret", "TOKEN", env=env, status=2).errors
    assert not told(evil, VALUE)
    assert rjob("get", "-q", "-H", "evil", "--all").text == f"{ref}\n"
    again = rjob("retry", "-q", ref, "--secret", "TOKEN", "--secret", "AWS_SECRET_ACCESS_KEY", env=env).text.strip()
    rjob("wait", again)
    assert rjob("receive", again).text == VALUE + "t"


def test_what_the_job_was_not_given_is_not_sent(rjob: World, evil: Host) -> None:
    ref = finished(rjob)
    again = rjob("retry", "-q", ref, "--secret", "TOKEN", env={"TOKEN": VALUE}).text.strip()
    rjob("wait", again)
    assert rjob("receive", again).text == ""
    assert not told(evil, VALUE)


def test_a_secret_that_is_not_set(rjob: World, evil: Host) -> None:
    ref = finished(rjob)
    assert "NOSUCH is not set" in rjob("retry", ref, "--secret", "NOSUCH", status=2).errors


def test_names_that_are_none(rjob: World, evil: Host) -> None:
    ref = finished(rjob)
    for secrets in ("A", 5, {"A": 1}, ["A", 5], ["A\n  hint: run x"], ["\x1b[2J"], ["A=B"], ["\ud800"]):
        rewrite(evil, ref, secrets=secrets)
        done = rjob("retry", ref, status=2)
        assert done.errors.splitlines()[0] == "rjob: evil: the record of the job's secrets is broken", secrets
        assert not any(char in done.errors for char in "\x1b\r")


def test_the_other_jobs_are_started_again(rjob: World, evil: Host) -> None:
    bad, good = finished(rjob), finished(rjob, "true")
    rewrite(evil, bad, secrets=["TOKEN"])
    done = rjob("retry", "-q", bad, good, env={"TOKEN": VALUE}, status=1)
    assert done.text == "3@evil\n"
    assert "TOKEN" in done.errors
    (error,) = rjob("retry", "--json", bad, good, status=1).json["errors"]
    assert (error["job"], error["host"]) == (bad, "evil")


# ---------------------------------------------------------------------------------------------------------- references


def plant(host: Host, name: str | None, number: int) -> None:
    """Let the host tell of another machine under its home, with a host name of its choice."""
    finished_job = host.owner / "jobs"
    other = host.rjob_home / f"machine-{number}"
    other.mkdir()
    for part in ("ids", "live", "jobs"):
        (other / part).mkdir()
    (uuid,) = [path.name for path in finished_job.iterdir()][:1]
    fresh = f"fffffff{number}" + uuid[8:]
    job = other / "jobs" / fresh
    job.mkdir()
    (job / "start").write_text((finished_job / uuid / "start").read_text().replace(uuid, fresh))
    (job / "id").write_text("1\n")
    (other / "ids/1").write_text(fresh + "\n")
    (other / "live/1").write_text(fresh + "\n")
    (other / "registry.jsonl").touch()
    (other / "next").write_text(f"{2:<15} {0:<15}\n")
    if name is not None:
        (other / "host").write_text(name + "\n")


NAMES = [None, "", ".", "gpu", "localhost", "@web", "-oProxyCommand=x", ".\t", "gpu\x1b[2J"]


def test_no_host_can_name_a_job_elsewhere(rjob: World, hosts: Hosts, evil: Host) -> None:
    hosts.add("gpu")
    mine, there = rjob.start("sleep", "100"), rjob.start("-H", "gpu", "sleep", "100")
    real = finished(rjob, "true")
    for number, name in enumerate(NAMES):
        plant(evil, name, number)
    document = rjob("get", "-H", "evil", "--all", "--json").json
    refs = [job["ref"] for job in document["jobs"]]
    assert len(refs) == 1 + len(NAMES)
    assert all(ref.endswith("@evil") for ref in refs)
    assert rjob("get", "-q", "-H", "evil", "--all").text.split() == refs
    table = rjob("get", "-H", "evil", "--all").text
    assert "\x1b" not in table
    assert [row.split()[0] for row in table.splitlines()[1:]] == refs
    # Given back as they are, they name nothing but that host's own job.
    done = rjob("remove", "--force", *refs, status=1)
    for number in range(len(NAMES)):
        assert f"no job fffffff{number}" in done.errors
    assert rjob.job(mine)["state"] == rjob.job(there)["state"] == "Running"
    assert rjob("get", "-q", "-H", "evil", "--all").text.split() == [ref for ref in refs if ref != real]
    # Nor do they go away when the finished ones of that host are removed.
    assert rjob("prune", "-H", "evil").errors == ""


def test_the_name_that_a_machine_of_our_own_home_has_recorded(rjob: World) -> None:
    rjob.start("true", env={"RJOB_MACHINE": "other"})
    (rjob.home / "other/host").write_text("login2\n")
    mine = rjob.start("sleep", "100")
    refs = rjob("get", "-q", "--all").text.split()
    assert sorted(refs) == sorted([mine, "1@login2"])
    for name in ("", ".", "localhost", "-x"):
        (rjob.home / "other/host").write_text(f"{name}\n")
        foreign = next(ref for ref in rjob("get", "-q", "--all").text.split() if ref != mine)
        done = rjob("remove", "--force", foreign, status=1)
        assert f"no job {foreign}" in done.errors
    assert rjob.job(mine)["state"] == "Running"


# ---------------------------------------------------------------------------------------------------------------- lies

LIES: dict[str, dict[str, Any]] = {
    "a lone surrogate": {"name": "a\ud800", "command": "\udfff\ud800", "argv": ["\ud800", "\udcff"]},
    "a negative id": {"id": -1},
    "no id": {"id": None},
    "true as an id": {"id": True},
    "a huge id": {"id": 10**40},
    "types": {"name": 5, "command": ["x"], "argv": "x", "line": {}, "type": 7, "retry_of": 3, "time": 9},
    "times": {"time": "9999-12-31T23:59:59-23:59"},
    "the first time": {"time": "0001-01-01T00:00:00+23:59"},
    "controls": {"name": "a\x1b[2J\n1 fake Completed", "command": "\u202e\x9b\r"},
    "depth": {"x": [[[[[[[["y"]]]]]]]]},
}
FILES = {
    "a huge signal": ("exit", "1 143 999999999999999999 2026-11-23T08:36:59Z"),
    "a huge status": ("exit", "1 999999999999999999 - 2026-11-23T08:36:59Z"),
    "a digit that is none": ("exit", "1 ² ² 2026-11-23T08:36:59Z"),
    "a time that overflows": ("exit", "1 0 - 9999-12-31T23:59:59-23:59"),
    "a huge stop": ("stop", "999999999999999999 x"),
    "a long error": ("error", "x" * 5_000_000),
    "bytes": ("error", "\udcff\udcfe\x1b[2J"),
    "depth": ("start", '{"id":1,"x":' + "[" * 100_000),
    "an empty record": ("start", ""),
}


def looked_at(rjob: World, refs: list[str]) -> None:
    """Whatever is said of the jobs, nothing falls over."""
    for words in (
        ("get", "-H", "evil", "--all"),
        ("get", "-H", "evil", "--all", "--wide"),
        ("get", "-H", "evil", "--all", "-q"),
        ("get", "--json", *refs),
        *(("get", "--json", ref) for ref in refs),
        ("wait", "--timeout", "1", *refs),
        ("receive", "--keep", *refs),
        ("stop", *refs),
        ("retry", *refs),
        ("prune", "-H", "evil", "--dry-run"),
        ("doctor", "evil"),
    ):
        done = rjob(*words, status=None)
        assert "Traceback" not in done.errors, words
        assert "fault" not in done.errors, words
        assert 0 <= done.status < 256
        assert "\x1b" not in done.errors
        if words[0] != "receive":
            assert b"\x1b" not in done.out
            done.out.decode()
        if "--json" in words:
            json.loads(done.out)


def test_records_and_files_that_lie(rjob: World, evil: Host) -> None:
    refs = rjob.start("-H", "evil", "false").split()
    refs += [ref for _ in range(len(LIES) + len(FILES) - 1) for ref in rjob("retry", "-q", refs[0]).text.split()]
    rjob("wait", *refs, status=1)
    for ref, fields in zip(refs, LIES.values(), strict=False):
        rewrite(evil, ref, **fields)
    for ref, (name, text) in zip(refs[len(LIES) :], FILES.values(), strict=True):
        (evil.folder(ref) / name).write_bytes(text.encode("utf-8", "surrogateescape") + b"\n")
    looked_at(rjob, refs)


def test_a_huge_signal_is_no_status_of_another_kind(rjob: World, evil: Host) -> None:
    ref = finished(rjob, "false")
    (evil.folder(ref) / "exit").write_text("1 143 99999999999 2026-11-23T08:36:59Z\n")
    assert rjob("wait", ref, status=None).status == 143


def test_an_endless_file_is_bounded(rjob: World, evil: Host) -> None:
    import psutil

    ref = finished(rjob, "false")
    with (evil.folder(ref) / "error").open("wb") as file:
        file.truncate(2_000_000_000)
    child = rjob.popen("get", "-H", "evil")
    peak = 0
    while child.poll() is None:
        try:
            peak = max(peak, psutil.Process(child.pid).memory_info().rss)
        except psutil.NoSuchProcess:
            break
    _, err = child.communicate()
    assert child.returncode in (0, 1), err
    assert b"Traceback" not in err
    assert peak < 200 * 1024 * 1024


def test_nothing_was_left_here(rjob: World, evil: Host) -> None:
    ref = finished(rjob, "true")
    rewrite(evil, ref, secrets=["TOKEN"])
    rjob("retry", ref, env={"TOKEN": VALUE}, status=2)
    assert not processes_with(f"TOKEN={VALUE}")
    assert not Path(rjob.home / "evil").exists()
