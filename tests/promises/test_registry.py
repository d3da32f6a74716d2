"""What rjob keeps of jobs is found, repeated, removed and rebuilt, at every place."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from promises.place import ONE_HOST, processes_of
from world import requires_root, wait_until

if TYPE_CHECKING:
    from promises.place import Place
    from world import Done, World


def test_a_job_from_its_start_to_its_removal(rjob: World, at: Place) -> None:
    ref = at.ref(1)
    started = at("start", "-n", "first", "-c", "printf 'out\\377\\0'; printf err >&2; exit 3")
    assert f"Job {ref} started" in started.errors
    rjob("wait", ref, status=3)
    job = rjob.job(ref)
    assert (job["ref"], job["id"], job["name"], job["state"]) == (ref, 1, "first", "Failed")
    assert (job["exit_code"], job["machine"], job["location"]) == (3, at.machine, "localhost")
    assert job["has_more_data"] is True
    done = rjob("receive", ref)
    assert (done.out, done.err) == (b"out\xff\0", b"err")
    assert at("receive", "1")[1:] == (b"", b"")
    assert rjob.job(at.ref("first"))["has_more_data"] is False
    assert ref in at("get").text
    rjob("remove", ref)
    gone = rjob("get", ref, status=1)
    if at.server:
        assert "gpu" in gone.errors
        # Nothing of all that happened here.
        assert not rjob.home.exists()


def test_references_can_be_given_back_as_they_are(rjob: World, at: Place) -> None:
    refs = [at.start("-n", name, "true") for name in ("build", "Build-2", "test", "build")]
    assert refs == [at.ref(number) for number in (1, 2, 3, 4)]

    def ids(done: Done) -> list[str]:
        return done.text.split()

    assert ids(rjob("get", "-q", *refs)) == refs
    assert ids(at("get", "-q")) == refs
    # Several references to one job are that job, once.
    assert ids(rjob("get", "-q", at.ref("build"), at.ref("last"))) == [refs[3]]
    assert ids(rjob("get", "-q", at.ref("2-3"))) == refs[1:3]
    assert ids(rjob("get", "-q", at.ref("BUILD*"))) == [refs[0], refs[1], refs[3]]
    instance = rjob.job(refs[2])["instance_id"]
    # One in fifty instance ids begins with eight decimal digits, which are a number.
    short = instance[:13] if instance[:8].isdigit() else instance[:8]
    assert ids(at("get", "-q", instance, short, instance[:13])) == [refs[2]]
    assert ids(rjob("get", "-q", at.ref(instance))) == [refs[2]]
    missing = ("99", "nothing", "Job1")
    done = rjob("get", "-q", refs[2], *map(at.ref, missing), status=1)
    assert ids(done) == [refs[2]]
    assert [word for word in missing if word not in done.errors] == []


def test_names_in_any_script(rjob: World, at: Place) -> None:
    names = ["naïve name with blanks", "сборка ビルド بناء", 'O\'Reilly "q" $x \\ %0A !', "x" * 200]
    refs = [at.start("-n", name, "true") for name in names]
    jobs = rjob("get", "--json", *map(at.ref, names)).json["jobs"]
    assert [(job["ref"], job["name"]) for job in jobs] == list(zip(refs, names, strict=True))
    assert at("get", "-q", *names).text.split() == refs


# ------------------------------------------------------------------------------------------------ retry and remove


def test_retry(rjob: World, at: Place) -> None:
    good = at.start("--wait", "-n", "good", "-c", "echo good")
    given = ("-e", "X=y z", "--stdin", "-", "-n", "bad", "-c", "cat; echo $X; exit 4")
    bad = at.run(*given, input=b"input ")
    assert bad["exit_code"] == 4
    assert rjob("retry", "--failed", "-q", good, bad["ref"]).text.split() == [at.ref(3)]
    again = rjob.ended(at.ref(3))
    assert (again["exit_code"], again["name"]) == (4, "bad")
    assert again["retry_of"] == bad["instance_id"]
    assert rjob("receive", again["ref"]).text == "input y z\n"


@pytest.mark.parametrize("place", ONE_HOST)
def test_retry_of_long_commands_and_of_secrets(rjob: World, at: Place) -> None:
    long = at.start("--", "printf", "%s", *["x" * 1000 for _ in range(90)])
    secret = at.start("--secret", "S", "sh", "-c", "echo $S", env={"S": "1"})
    rjob("wait", long, secret)
    assert "S" in rjob("retry", secret, status=2).errors
    again = rjob("retry", "-q", secret, "--secret", "S", env={"S": "2"}).text.split()
    again += rjob("retry", "-q", long).text.split()
    rjob("wait", *again)
    assert rjob("receive", *again).out == b"2\n" + b"x" * 90_000


@pytest.mark.parametrize("place", ONE_HOST)
def test_prune(rjob: World, at: Place) -> None:
    running = at.start("sleep", "60")
    refs = [at.start("--wait", "true") for _ in range(3)]

    def pruned(*args: str) -> list[str]:
        return [job["ref"] for job in at("prune", "--json", *args).json["jobs"]]

    assert pruned("--older-than", "1h") == []
    assert pruned("--keep", "1", "--dry-run") == refs[:2]
    assert pruned("--keep", "1") == refs[:2]
    assert at("get", "--all", "-q").text.split() == [running, refs[2]]
    at("prune")
    assert at("get", "--all", "-q").text.split() == [running]


@pytest.mark.parametrize("place", ONE_HOST)
def test_remove(rjob: World, at: Place) -> None:
    ref = at.start("sleep", "60")
    refused = rjob("remove", ref, status=1)
    assert "--force" in refused.errors
    job = rjob.job(ref)
    rjob("remove", "--force", ref)
    assert not processes_of(job)
    rjob("get", ref, status=1)
    left = [path for name in ("jobs", "ids", "live") for path in (at.owner / name).iterdir()]
    assert left == []
    wait_until(lambda: not at.processes(), seconds=5, what="the end of every process")
    # Numbers are never given twice.
    assert at.start("--wait", "true") == at.ref(2)
    rjob("remove", at.ref(2))
    at("registry rebuild")
    assert at.start("true") == at.ref(3)


@pytest.mark.parametrize("place", ONE_HOST)
def test_rebuilding_the_registry(rjob: World, at: Place) -> None:
    refs = [at.shell(line) for line in ("echo a", "exit 3", "sleep 60")]
    rjob("wait", *refs[:2], status=1)
    rjob("receive", refs[0])
    before = at("get", "--all", "--json").json["jobs"]
    assert [job["ref"] for job in before] == refs
    for name in ("registry.jsonl", "next"):
        (at.owner / name).unlink()
    for name in ("ids", "live"):
        for path in (at.owner / name).iterdir():
            path.unlink()
    at("registry rebuild")
    assert at("get", "--all", "--json").json["jobs"] == before
    assert sorted(event["event"] for event in at.events()) == ["end", "end", "received", "start", "start", "start"]
    assert at.start("true") == at.ref(4)


# ------------------------------------------------------------------------------------------------- where it is kept


def test_doctor(rjob: World, at: Place) -> None:
    said = rjob("doctor", *at.option[1:]).text
    assert at.machine in said
    assert str(at.rjob_home) in said
    assert not [line for line in said.splitlines() if line.startswith("problem")]


@pytest.mark.parametrize("place", ONE_HOST)
def test_private_by_default(at: Place) -> None:
    at.run("-e", "A=b", "true")
    wait_until(lambda: not [*at.owner.glob("live/*"), *at.owner.glob("lock*")], what="the end of the last operation")
    files = [at.rjob_home, *at.rjob_home.rglob("*")]
    assert len(files) > 10
    assert [path for path in files if path.stat().st_mode & 0o077] == []


def _refused(at: Place, done: Done, words: str) -> None:
    """Check that a message is one line, and a hint for a place where the settings can name another home."""
    first, *hint = done.errors.splitlines()
    assert words in first
    assert "Traceback" not in done.errors
    if at.server:
        assert first.startswith("rjob: gpu: ")
        assert "home" in "".join(hint)
        assert len(hint) == 1


@requires_root
@pytest.mark.parametrize("place", ONE_HOST)
def test_somebody_elses_folder_is_not_used(at: Place) -> None:
    at.rjob_home.mkdir(parents=True)
    os.chown(at.rjob_home, 65534, 65534)
    _refused(at, at("start", "true", status=1), "belongs to somebody else")
    assert not list(at.rjob_home.iterdir())


@requires_root
@pytest.mark.parametrize("place", ONE_HOST)
def test_a_home_that_cannot_be_written_to(at: Place) -> None:
    folder = at.home if at.server else at.rjob_home
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "--bind", folder, folder], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)
        _refused(at, at("start", "-q", "true", status=1), "cannot write")
        if at.server:
            _refused(at, at("get", status=1), "cannot write")
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
