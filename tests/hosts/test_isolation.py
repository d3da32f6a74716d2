"""One host that is bad, in whatever way, is an error of its own: the others are served."""

from __future__ import annotations

import re
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest
from hosts.host import script
from world import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from hosts.host import Host, Hosts
    from world import World

VERBS = [
    ("get",),
    ("get", "job"),
    ("wait", "job"),
    ("receive", "job"),
    ("receive", "-f", "job"),
    ("stop", "job"),
    ("signal", "job", "CONT"),
    ("suspend", "job"),
    ("resume", "job"),
    ("retry", "job"),
    ("remove", "job"),
    ("prune",),
    ("registry", "rebuild"),
    ("registry", "compact"),
]
BAD: dict[str, dict[str, Any]] = {
    "windows": {"hostname": "127.0.0.1", "runner": "windows"},
    "an unknown transport": {"transport": "nosuch"},
    "a URL that is none": {"transport": "ssh://["},
    "a port that nobody serves": {"hostname": "127.0.0.1", "port": 1, "retries": 0},
}


@pytest.mark.parametrize("kind", BAD)
def test_settings_of_one_host(rjob: World, gpu: Host, hosts: Hosts, kind: str) -> None:
    hosts.know("bad", None, **BAD[kind])
    rjob("wait", rjob.start("-H", "gpu", "-n", "job", "echo", "hello"))
    for first, second in (("bad", "gpu"), ("gpu", "bad")):
        done = rjob("get", "-q", "-H", first, "-H", second, "--all", status=1)
        assert done.text == "1@gpu\n"
        assert done.errors.startswith("rjob: bad: ")
        assert "Traceback" not in done.errors
    done = rjob("receive", "--keep", "1@bad", "1@gpu", status=1)
    assert done.text == "hello\n"
    assert done.errors.startswith("rjob: bad: ")
    # The listing of hosts says it, too, and goes on.
    assert "gpu" in rjob("hosts").text
    # Alone it is an error as well.
    assert rjob("get", "-H", "bad", status=1).errors.startswith("rjob: bad: ")


@pytest.mark.parametrize("words", VERBS, ids=" ".join)
def test_every_verb(rjob: World, gpu: Host, hosts: Hosts, words: tuple[str, ...]) -> None:
    hosts.know("bad", transport="nosuch")
    hosts.know("worse", transport="nosuch")
    hosts.know("worst", hostname="127.0.0.1", runner="windows")
    rjob("wait", rjob.start("-H", "gpu", "-n", "job", "echo", "hello"))
    done = rjob(*words, "-H", "bad", "-H", "gpu", "-H", "worse", "-H", "worst", status=None)
    assert done.status == (125 if words[0] == "wait" or "-f" in words else 1), done
    said = [line.split(":")[1].strip() for line in done.errors.splitlines() if line.startswith("rjob: ")]
    # Some have something to say to a job that has ended.
    assert [host for host in said if host != "gpu"] == ["bad", "worse", "worst"]
    if words[0] in ("receive", "retry", "remove", "stop"):
        assert b"hello" in done.out + done.err


def test_references_that_no_host_can_have(rjob: World, gpu: Host) -> None:
    ref = rjob.start("-H", "gpu", "true")
    done = rjob("get", "-q", "1@-oProxyCommand=x", "1@a b", ref, status=1)
    assert done.text == f"{ref}\n"
    assert len([line for line in done.errors.splitlines() if "not a host" in line]) == 2
    # Where that is all that was asked for, the command line is wrong.
    assert rjob("get", "1@a b", status=2).errors.startswith("rjob: ")


def silent_shell(rjob: World) -> str:
    return script(rjob.root / "silent-sh", "exec sleep 1000")


def silent_after_begin(rjob: World) -> str:
    """A host whose runner begins every reply and goes no further, but for what installs it."""
    body = 'case $* in *installed*) exec sh "$@" ;; esac; sh "$@" | { head -n 1; exec sleep 1000; }'
    return script(rjob.root / "slow-sh", body)


@pytest.mark.parametrize("shell", [silent_shell, silent_after_begin])
@pytest.mark.parametrize("transport", ["ssh", "openssh"])
def test_a_host_that_hangs(rjob: World, hosts: Hosts, gpu: Host, transport: str, shell: Callable[[World], str]) -> None:
    hosts.add("hung", transport, shell=(shell(rjob),), settings={"reply_timeout": 1, "connect_timeout": 2})
    rjob("wait", rjob.start("-H", "gpu", "-n", "job", "echo", "hello"))
    begin = time.monotonic()
    done = rjob("get", "-q", "-H", "hung", "-H", "gpu", "--all", status=1)
    assert time.monotonic() - begin < 15
    assert done.text == "1@gpu\n"
    first, hint = done.errors.splitlines()
    # openssh runs a command to see whether it can connect; there the connection's own patience counts.
    said = "1 s while waiting for the reply" if transport == "ssh" else "7 s while connecting"
    assert first == f"rjob: hung: no sign of life for {said}"
    assert "reply_timeout" in hint
    (error,) = rjob("get", "-H", "hung", "--json", status=1).json["errors"]
    assert (error["host"], error["code"]) == ("hung", "timeout")


def test_a_host_that_hangs_does_not_hold_up_other_verbs(rjob: World, hosts: Hosts, gpu: Host) -> None:
    hosts.add("hung", shell=(silent_shell(rjob),), settings={"reply_timeout": 1})
    done = rjob("start", "-q", "-H", "hung", "-H", "gpu", "-n", "job", "echo", "hello", status=1)
    assert done.text == "1@gpu\n"
    rjob("wait", "1@gpu")
    assert rjob("receive", "--keep", "1@hung", "1@gpu", status=1).text == "hello\n"
    assert rjob("wait", "1@hung", "1@gpu", status=125)[0] == 125
    done = rjob("remove", "1@hung", "1@gpu", status=1)
    assert "Job 1@gpu removed" in done.text + done.errors


def test_a_quiet_job_is_no_silent_host(rjob: World, hosts: Hosts) -> None:
    hosts.add("gpu", settings={"reply_timeout": 3})
    ref = rjob.start("-H", "gpu", "-c", "trap '' TERM; sleep 5; echo late")
    done = rjob("receive", "-f", ref)
    assert done.text == "late\n"
    assert done.errors == ""
    slow = rjob.start("-H", "gpu", "-c", "trap '' TERM; while :; do sleep 0.2; done")
    begin = time.monotonic()
    rjob("stop", "--grace", "6", slow)
    assert time.monotonic() - begin >= 6
    assert rjob.job(slow)["state"] == "Stopped"


def test_signs_of_life_stay_out_of_the_output(rjob: World, hosts: Hosts) -> None:
    hosts.add("gpu")
    line = "for i in 1 2 3 4 5 6 7 8 9; do printf '%s' $i; printf '%s' $i >&2; sleep 0.3; done"
    done = rjob("receive", "-f", rjob.start("-H", "gpu", "-c", line))
    assert (done.out, done.err) == (b"123456789", b"123456789")


@pytest.mark.parametrize(
    "given",
    [("-H", "gpu", "-H", "gpu"), ("-H", "gpu,gpu"), ("-H", "@same"), ("-H", "@same", "-H", "gpu"), ("-H", "g[p]u,gpu")],
)
def test_a_host_named_twice_counts_once(rjob: World, gpu: Host, hosts: Hosts, given: tuple[str, ...]) -> None:
    hosts.group("same", "gpu", "gpu", "@other")
    hosts.group("other", "gpu")
    if given[-1].startswith("g["):
        given = ("-H", "gpu", "-H", "gpu", "-H", "gpu")
    assert rjob("start", "-q", *given, "-n", "job", "echo", "hello").text == "1@gpu\n"
    rjob("wait", *given, "job")
    assert rjob("get", "-q", *given).text == "1@gpu\n"
    # Once for a reference, however often that is given, too.
    assert rjob("get", "-q", *given, "1", "job", "1@gpu").text == "1@gpu\n"
    assert rjob("receive", "--keep", *given, "1", "1@gpu").text == "hello\n"
    assert rjob("retry", "-q", *given, "1", "1@gpu").text == "2@gpu\n"
    rjob("wait", "2@gpu")
    assert rjob("remove", *given, "1", "1@gpu").errors == "Job 1@gpu removed: echo hello\n"
    assert rjob("prune", "--dry-run", *given).errors == "Job 2@gpu would be removed: echo hello\n"
    assert len(rjob("prune", *given, "--json").json["jobs"]) == 1


def test_an_interrupted_start_tells_of_hosts_that_have_not_confirmed(rjob: World, hosts: Hosts, gpu: Host) -> None:
    hung = hosts.add("hung", shell=(silent_shell(rjob),))
    child = rjob.popen("start", "-f", "-H", "gpu", "-H", "hung", "sleep", "600")
    wait_until(lambda: list(gpu.owner.glob("jobs/*/main")) and hung.processes(), what="the job, and a silent host")
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 130
    # It may not have heard from the other one either.
    assert re.search(rb"look whether a job was started: rjob get ([0-9a-f-]{36}@gpu )?[0-9a-f-]{36}@hung\b", err), err
    rjob("stop", "1@gpu")
