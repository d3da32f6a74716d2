"""Several hosts at once."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest
from hosts.host import TRANSPORTS, script
from world import wait_until

from rjob.testing.sshd import free_port

if TYPE_CHECKING:
    from hosts.host import Host, Hosts
    from world import World

EVERY = ("-H", "gpu", "-H", "web[1-3]", "-H", ".")
REFS = ["1@gpu", "1@web1", "1@web2", "1@web3", "1"]
both = pytest.mark.parametrize("transport", TRANSPORTS)


@pytest.fixture
def fleet(hosts: Hosts, transport: str) -> dict[str, Host]:
    """Four hosts; two of them answer to ``@pair``."""
    made = {name: hosts.add(name, transport) for name in ("gpu", "web1", "web2", "web3")}
    hosts.group("web", "web[1-3]")
    hosts.group("pair", "gpu", "web2")
    return made


@both
def test_one_job_each(rjob: World, fleet: dict[str, Host]) -> None:
    started = rjob("start", "-q", *EVERY, "-c", "echo $RJOB_MACHINE; exit 3")
    assert started.text.split() == REFS
    rjob("wait", *REFS, status=1)
    assert rjob("get", "-q", *EVERY).text.split() == REFS
    machines = [job["machine"] for job in rjob("get", *EVERY, "--json").json["jobs"]]
    assert machines == [*(host.machine for host in fleet.values()), "test-machine"]
    assert rjob("receive", *REFS).text.split() == machines
    rjob("remove", *REFS[:2])
    assert rjob("get", "-q", *EVERY).text.split() == REFS[2:]


def test_groups(rjob: World, fleet: dict[str, Host]) -> None:
    assert rjob.start("-H", "@pair", "true").split() == ["1@gpu", "1@web2"]
    assert rjob.start("-H", "@web", "-H", "gpu", "true").split() == ["1@web1", "2@web2", "1@web3", "2@gpu"]
    assert rjob("get", "-q", "--all", "-H", "@all", env={"RJOB_HOST": "web1"}).text.split() == [
        *("1@gpu", "2@gpu", "1@web1", "1@web2", "2@web2", "1@web3")
    ]
    assert rjob("get", "-q", "1", env={"RJOB_HOST": "@pair"}).text.split() == ["1@gpu", "1@web2"]
    assert "@nobody" in rjob("get", "-H", "@nobody", status=2).errors


def test_a_host_that_cannot_be_reached_hides_nobody_else(rjob: World, hosts: Hosts, fleet: dict[str, Host]) -> None:
    hosts.know("down", fleet["gpu"], port=free_port(), retries=0)
    empty = rjob.root / "nothing-known"
    empty.touch()
    hosts.know("strange", fleet["gpu"], known_hosts=str(empty))
    among = ("-H", "down", *EVERY, "-H", "strange")
    started = rjob("start", "-q", *among, "true", status=1)
    assert started.text.split() == REFS
    shown = rjob("get", *among, status=1)
    rows = shown.text.splitlines()[1:]
    assert [row.split()[0] for row in rows] == REFS
    lines = [text for text in shown.errors.splitlines() if text.startswith("rjob: ")]
    assert [text.split(":")[1].strip() for text in lines] == ["down", "strange"]
    answer = rjob("get", *among, "--json", status=1).json
    assert [job["ref"] for job in answer["jobs"]] == REFS
    assert [(error["host"], error["code"]) for error in answer["errors"]] == [
        ("down", "unreachable"),
        ("strange", "host-key"),
    ]
    assert all(error["hint"] for error in answer["errors"])
    # For a status that is the job's, not knowing beats everything.
    rjob("wait", "1@gpu", "1@down", status=125)
    rjob("stop", "1@down", "1@web1", status=1)


@pytest.mark.parametrize("verb", ["stop", "remove", "suspend", "resume", "retry"])
def test_what_changes_jobs_wants_to_know_whose(rjob: World, fleet: dict[str, Host], verb: str) -> None:
    refs = rjob.start("-H", "@pair", "-n", "same", "sleep", "60").split()
    for bare in ("1", "last"):
        assert rjob(verb, "-H", "@pair", bare, status=2).errors
    assert {job["state"] for job in rjob("get", *refs, "--json").json["jobs"]} == {"Running"}
    rjob("stop", "-H", "@pair", "same")
    assert {job["state"] for job in rjob("get", *refs, "--json").json["jobs"]} == {"Stopped"}


def test_waiting_for_the_first_of_several_hosts(rjob: World, fleet: dict[str, Host]) -> None:
    slow = rjob.start("-H", "gpu", "sleep", "60")
    quick = rjob.start("-H", "web1", "-c", "sleep 1; exit 6")
    begin = time.monotonic()
    rjob("wait", "--any", slow, quick, status=6)
    assert time.monotonic() - begin < 20
    rjob("wait", slow, quick, "--timeout", "0.2", status=124)


def test_following_on_several_hosts(rjob: World, fleet: dict[str, Host]) -> None:
    line = "for i in 1 2 3 4 5; do echo $RJOB_MACHINE $i; sleep 0.1; done"
    refs = rjob.start("-H", "@web", "-c", line).split()
    done = rjob("receive", "-f", *refs)
    lines = done.text.splitlines()
    for name in ("web1", "web2", "web3"):
        mine = [text.rpartition(f"machine-{name} ")[2] for text in lines if f"machine-{name} " in text]
        assert mine == ["1", "2", "3", "4", "5"]
    assert len(lines) == 15


def test_hosts_are_asked_at_the_same_time(rjob: World, hosts: Hosts) -> None:
    slow = script(rjob.root / "slow-sh", 'sleep 1; exec sh "$@"')
    host = hosts.add("slow1", shell=(slow,))
    rjob.start("-H", "slow1", "true")
    for number in range(2, 9):
        hosts.know(f"slow{number}", host)
    begin = time.monotonic()
    assert len(rjob("get", "-q", "-H", "slow[1-8]").text.split()) == 8
    assert time.monotonic() - begin < 5


def test_sixteen_clients_at_once(rjob: World, hosts: Hosts) -> None:
    host = hosts.add("gpu")
    clients = [rjob.popen("start", "-q", "-H", "gpu", "-c", f"echo {number}; sleep 1") for number in range(16)]
    ends = [client.communicate(timeout=100) for client in clients]
    assert [client.returncode for client in clients] == [0] * 16, ends
    refs = [out.decode().strip() for out, _ in ends]
    assert sorted(int(ref.partition("@")[0]) for ref in refs) == list(range(1, 17))
    rjob("wait", *refs)
    # Each ran what it was asked for, and each once.
    assert rjob("receive", *refs).text.split() == [str(number) for number in range(16)]
    begun = [event["id"] for event in host.events() if event["event"] == "start"]
    assert sorted(begun) == list(range(1, 17))


@both
@pytest.mark.parametrize("words", ["wait", "receive -f"])
def test_ctrl_c_ends_a_viewer_of_this_machine_and_a_host(rjob: World, hosts: Hosts, transport: str, words: str) -> None:
    gpu = hosts.add("gpu", transport)
    here, there = rjob.start("-H", ".", "sleep", "300"), rjob.start("-H", "gpu", "sleep", "300")
    before = len(rjob.processes()), len(gpu.processes())
    viewer = rjob.popen(*words.split(), f"{here}@.", there)
    # The signal comes when both runners are at work: a shell, its watcher, what it waits with.
    wait_until(lambda: len(gpu.processes()) >= before[1] + 3 and len(rjob.processes()) >= before[0] + 4, what="viewers")
    viewer.send_signal(signal.SIGINT)
    _, err = viewer.communicate(timeout=10)
    assert viewer.returncode == 130, err
    assert b"Traceback" not in err
    assert rjob.job(there)["state"] == "Running"
