"""A start over a line that breaks: what was asked for happens once, whenever the line breaks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hosts.host import Line
from world import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hosts.host import Host, Hosts
    from world import Done, World

AT = ("-H", "gpu")


@pytest.fixture
def line(hosts: Hosts, gpu: Host) -> Iterator[Line]:
    """A line to the host that can be cut."""
    made = Line(gpu.server.port)
    known = gpu.server.known_hosts
    known.write_text(known.read_text().replace(f"]:{gpu.server.port}", f"]:{made.port}"))
    hosts.know("gpu", port=made.port)
    yield made
    made.close()


class Starts:
    """Starts over a bad line, and what came of each."""

    def __init__(self, rjob: World, gpu: Host, hosts: Hosts) -> None:
        self._rjob, self._gpu, self._hosts = rjob, gpu, hosts
        self.done: dict[str, Done] = {}

    def __call__(self, mark: str) -> Done:
        """Start a job that leaves its id under a name."""
        # No connection may be shared with an earlier start.
        env = {"XDG_RUNTIME_DIR": self._hosts.sockets()}
        self.done[mark] = self._rjob("start", "-q", *AT, "-c", f"echo $RJOB_ID >>{mark}", status=None, env=env)
        return self.done[mark]

    def runs(self, mark: str) -> list[str]:
        """The ids under which a start's command ran."""
        path = self._gpu.home / mark
        return path.read_text().split() if path.exists() else []

    def check(self) -> None:
        """Nothing ran twice, nothing that was confirmed did not run, and the registry agrees."""
        jobs = self._rjob("get", "--all", *AT, "--json").json["jobs"]
        assert [job["ref"] for job in jobs if job["state"] == "NotStarted"] == []
        self._rjob("wait", *(job["ref"] for job in jobs), "--timeout", "20")
        for mark, done in self.done.items():
            ran = self.runs(mark)
            assert len(ran) <= 1, (mark, ran)
            assert "Traceback" not in done.errors
            if done.status == 0:
                assert done.text.strip() == f"{ran[0]}@gpu", mark
            else:
                assert done.out == b"", mark
                assert "gpu" in done.errors, mark
        numbers = sorted(int(path.read_text()) for path in self._gpu.owner.glob("jobs/*/id"))
        assert numbers == sorted(int(path.name) for path in self._gpu.owner.glob("ids/*"))
        begun = [event["id"] for event in self._gpu.events() if event["event"] == "start"]
        assert sorted(begun) == numbers
        # An id is never given twice; one that a start spent before it broke off may be missing.
        assert len(set(begun)) == len(begun)
        listed = self._rjob("get", "-q", "--all", *AT).text.split()
        assert listed == [f"{number}@gpu" for number in numbers]
        wait_until(lambda: not list((self._gpu.owner / "new").iterdir()), what="the end of half requests")
        wait_until(lambda: not self._gpu.processes(), what="the end of every process on the host")


@pytest.fixture
def starts(rjob: World, gpu: Host, hosts: Hosts, line: Line) -> Starts:
    return Starts(rjob, gpu, hosts)


def traffic(line: Line, starts: Starts) -> dict[str, int]:
    """How much goes over the line when all goes well."""
    starts("warm-up")
    line.counts.clear()
    starts("measured")
    total = {way: sum(count[way] for count in line.counts) for way in ("up", "down")}
    assert min(total.values()) > 1000
    return total


def steps(total: int, count: int) -> list[int]:
    """Where to cut: over the whole exchange, and more often at its end, where the request and its reply are."""
    coarse = [total * step // count for step in range(count)]
    fine = [total - 40 * step for step in range(count)]
    return sorted({max(1, at) for at in coarse + fine})


@pytest.mark.parametrize("way", ["up", "down"])
@pytest.mark.parametrize(("transport", "count"), [("ssh", 5), ("openssh", 3)])
def test_one_cut_anywhere(line: Line, starts: Starts, transport: str, count: int, way: str) -> None:
    for at in steps(traffic(line, starts)[way], count):
        line.cut_next(way, at)
        starts(f"cut-{at}")
    starts.check()
    assert {mark: done.errors for mark, done in starts.done.items() if done.status} == {}


@pytest.mark.parametrize("way", ["up", "down"])
def test_every_line_cut(line: Line, starts: Starts, way: str) -> None:
    total = traffic(line, starts)[way]
    for at in (total // 2, total - 400, total - 200, total - 90):
        line.cut_next(way, *[at] * 50)
        starts(f"cut-{at}")
    line.cut_next(way)
    starts("finally")
    assert starts.done["finally"].status == 0
    starts.check()


def test_the_first_start_of_all_cut_while_the_runner_is_sent(line: Line, starts: Starts) -> None:
    """The runner is some dozens of kilobytes: it must arrive whole or not at all."""
    for number, at in enumerate((4_000, 12_000, 25_000, 40_000)):
        line.cut_next("up", at)
        starts(f"cut-{number}")
    starts.check()
    assert {mark: done.errors for mark, done in starts.done.items() if done.status} == {}


def test_other_verbs_over_a_bad_line(rjob: World, line: Line, starts: Starts) -> None:
    total = traffic(line, starts)["up"]
    ref = rjob.start(*AT, "-c", "exit 3")
    for at in (total // 2, total - 500, total - 150):
        for words, status in ((["get", "-q", ref], 0), (["wait", ref], 3), (["get", "-q", "--all", *AT], 0)):
            line.cut_next("up", at)
            done = rjob(*words, status=status)
            assert b"rjob:" not in done.err
