"""Facts about children, jobs on other hosts with copies in their parent's folder: reporting and reading them."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from world import copy_owner

from rjob.core.jobs import view
from rjob.models import State
from rjob.runner.facts import ChildFacts, Facts, HostLink, JobFacts

if TYPE_CHECKING:
    from runner.conftest import Host

PARENTS = Path(__file__).parent.parent / "data" / "owners" / "parents"
A = "11111111-2222-3333-4444-555555555555"
B = "aaaaaaaa-2222-3333-4444-555555555555"
SUITE = "5d3c1a52-6a0e-4b7e-9c1b-0d6f1e2a3b17"
FAILED = "7f4e2b61-1c9d-4e35-8a57-3b2c4d5e6f18"
PLAIN = "9a8b7c6d-5e4f-4a3b-8c2d-1e0f9a8b7c19"
AT = "2026-01-01T00:00:00Z"


def lay_out(owner: Path, source: Path = PARENTS) -> None:
    copy_owner(source, owner)
    # The runner reads only folders that nobody else can write to.
    owner.parent.chmod(0o700)


def test_the_runner_tells_the_files_and_the_sizes_of_children(any_host: Host) -> None:
    lay_out(any_host.owner)
    answer = any_host.ask("facts", "all")
    jobs = answer.facts.jobs
    assert {uuid: list(job.children) for uuid, job in jobs.items()} == {SUITE: [1, 2, 3], FAILED: [1, 2, 3], PLAIN: []}
    one, two, three = jobs[SUITE].children.values()
    assert (one.host, one.instance, one.received) == ("web1", "00001701-0000-4000-8000-000000000000", (5, 0))
    assert (one.out_bytes, two.out_bytes, three.err_bytes) == (5, 7, 3)
    assert two.alive == ["S", "S", "-", "same"]
    assert three.link == HostLink(True, datetime(2026, 11, 24, 10, 0, 5, tzinfo=UTC), "no route to host")
    assert (jobs[PLAIN].out_bytes, jobs[PLAIN].err_bytes) == (3, 0)
    assert answer.facts.other == []


def test_the_runner_tells_many_children(any_host: Host) -> None:
    lay_out(any_host.owner)
    for number in range(4, 251):
        folder = any_host.folder(SUITE) / str(number)
        folder.mkdir()
        (folder / "host").write_text(f"web{number}\n")
        (folder / "out").write_text("x" * number)
    (any_host.folder(SUITE) / "251").symlink_to(any_host.folder(SUITE) / "1")
    jobs = any_host.ask("facts", "all").facts.jobs
    assert [child.out_bytes for child in jobs[SUITE].children.values()] == [5, 7, 0, *range(4, 251)]
    assert jobs[SUITE].children[200].host == "web200"
    assert list(jobs[FAILED].children) == [1, 2, 3]


def test_the_runner_tells_children_of_other_machines(any_host: Host) -> None:
    lay_out(any_host.owner)
    lay_out(any_host.home / "other-machine")
    shutil.rmtree(any_host.folder(SUITE))
    facts = any_host.ask("facts", "all", "others all").facts
    parent = facts.jobs[SUITE]
    assert (parent.foreign, parent.machine) == (True, "other-machine")
    assert [child.host for child in parent.children.values()] == ["web1", "web2", "ada@web3:2222"]
    # Two machines have a job with this instance id: this machine's counts, with its children.
    assert not facts.jobs[FAILED].foreign
    job, verdict = view(facts, parent, None)
    assert (job.foreign, verdict.state, verdict.record) == (True, State.DISCONNECTED, None)
    assert [(child.ref, child.state, child.foreign) for child in job.children] == [
        ("17.1@old-host", State.COMPLETED, True),
        ("17.2@old-host", State.DISCONNECTED, True),
        ("17.3@old-host", State.DISCONNECTED, True),
    ]


def child(*lines: str) -> ChildFacts:
    facts = Facts.read(["machine m here", f'./{A}/start:{{"id":5}}', *(f"./{A}/1/{line}" for line in lines)])
    return facts.jobs[A].children[1]


def test_paths_of_children_and_of_other_machines_are_told_apart() -> None:
    facts = Facts.read(
        [
            "machine m here",
            f'./{A}/start:{{"id":5}}',
            f"./{A}/2/host:mine",
            f"size 7 ./{A}/2/out",
            f'm2/jobs/{B}/start:{{"id":6}}',
            f"m2/jobs/{B}/1/host:theirs",
            f"size 8 m2/jobs/{B}/1/err",
            # Another job with the instance id A; paths that name no job or child.
            f"m2/jobs/{A}/1/host:false",
            f"m2/other/{A}/host:false",
            f"{B}/jobs/1/host:false",
            f"./{A}/2/3/host:false",
            f"./{A}/x/host:false",
            f"./{A}/-1/host:false",
            "./3/host:false",
        ]
    )
    assert list(facts.jobs) == [A, B]
    assert {number: (one.host, one.out_bytes) for number, one in facts.jobs[A].children.items()} == {2: ("mine", 7)}
    assert {number: (one.host, one.err_bytes) for number, one in facts.jobs[B].children.items()} == {1: ("theirs", 8)}
    assert (facts.jobs[A].foreign, facts.jobs[B].foreign, facts.jobs[B].children[1].foreign) == (False, True, True)


def test_a_machine_that_is_named_like_a_job() -> None:
    facts = Facts.read(["machine m here", f"{A}/jobs/{B}/1/host:web1", f"{A}/jobs/{B}/host:x"])
    assert (facts.jobs[B].machine, list(facts.jobs[B].children)) == (A, [1])


@pytest.mark.parametrize(
    ("line", "link"),
    [
        (f"up {AT}", HostLink(False, datetime(2026, 1, 1, tzinfo=UTC))),
        (f"lost {AT} no  route", HostLink(True, datetime(2026, 1, 1, tzinfo=UTC), "no  route")),
        ("lost", HostLink(True)),
        ("lost yesterday it broke", HostLink(True, None, "it broke")),
        ("", None),
        ("gone for ever", None),
        ("LOST", None),
    ],
)
def test_links(line: str, link: HostLink | None) -> None:
    assert child("link:" + line).link == link


def test_what_a_child_does_not_tell() -> None:
    bare = child("host:" + "x" * 9000, "instance:nonsense", "received:² 1")
    assert (len(bare.host), bare.instance, bare.link, bare.received, bare.alive) == (255, None, None, (0, 1), None)
    assert bare.record == {"id": 5}
    job, _ = view(facts := Facts.read([f"./{A}/1/out:x"]), facts.jobs[A], None)
    assert [(one.instance_id, one.location, one.begin) for one in job.children] == [("", "", None)]


def test_a_parent_of_which_only_children_are_told_is_no_removed_job() -> None:
    parent = JobFacts(A, "m")
    assert parent.empty
    parent.children[1] = ChildFacts(parent, 1)
    assert not parent.empty
