"""The states of children and of their parent: the rules as a table, and properties that hold for any children."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rjob.models import State
from rjob.runner.facts import ChildFacts, HostLink, JobFacts
from rjob.runner.states import LOST, Verdict, derive_child, derive_parent

UUID = "11111111-2222-3333-4444-555555555555"
AT = "2026-01-01T00:00:00Z"
BEGUN = f"5 6 boot setsid {AT} token -"
LOST_LINK = HostLink(True, datetime(2026, 1, 1, tzinfo=UTC), "no route to host")
UNREACHABLE = f"its host is unreachable since {AT}: no route to host"


def child(*, foreign: bool = False, argv: str = "make", **files: str) -> ChildFacts:
    parent = JobFacts(UUID, "m", foreign=foreign)
    parent.add("start", json.dumps({"id": 1, "argv": [argv]}))
    facts = ChildFacts(parent, 1)
    for name, text in files.items():
        facts.add(name, text)
    return facts


TABLE: list[tuple[str, ChildFacts, HostLink | None, Verdict]] = [
    ("not asked", child(), None, Verdict(State.NOT_STARTED, "its host has not confirmed yet that it began")),
    ("host never reached", child(), LOST_LINK, Verdict(State.NOT_STARTED, UNREACHABLE)),
    ("refused", child(error="no such user"), None, Verdict(State.FAILED, "no such user")),
    ("refused without a word", child(error=""), None, Verdict(State.FAILED, "it could not be started")),
    ("refused, link lost", child(error="no such user"), LOST_LINK, Verdict(State.FAILED, "no such user")),
    ("running", child(identity=BEGUN), HostLink(False), Verdict(State.RUNNING)),
    ("nothing known of the link", child(identity=BEGUN), None, Verdict(State.RUNNING)),
    ("link lost", child(identity=BEGUN), LOST_LINK, Verdict(State.DISCONNECTED, UNREACHABLE)),
    (
        "link lost, no more told",
        child(identity=BEGUN),
        HostLink(True),
        Verdict(State.DISCONNECTED, "its host is unreachable"),
    ),
    ("stop asked", child(identity=BEGUN, stop=f"TERM {AT}"), None, Verdict(State.STOPPING)),
    (
        "stop asked, link lost",
        child(identity=BEGUN, stop=f"TERM {AT}"),
        LOST_LINK,
        Verdict(State.DISCONNECTED, UNREACHABLE),
    ),
    ("past its limit", child(identity=BEGUN, expired=f"TERM {AT}"), None, Verdict(State.STOPPING)),
    ("suspended", child(identity=BEGUN, alive="S T - same"), None, Verdict(State.SUSPENDED)),
    (
        "its host was rebooted",
        child(identity=BEGUN, alive="- - - other"),
        None,
        Verdict(State.LOST, LOST["lost-reboot"]),
    ),
    (
        "lost, recorded",
        child(identity=BEGUN, exit=f"1 lost-killed - {AT}"),
        None,
        Verdict(State.LOST, LOST["lost-killed"]),
    ),
    ("completed", child(identity=BEGUN, exit=f"1 0 - {AT}"), None, Verdict(State.COMPLETED, None, 0)),
    ("completed, link lost", child(identity=BEGUN, exit=f"1 0 - {AT}"), LOST_LINK, Verdict(State.COMPLETED, None, 0)),
    ("failed", child(identity=BEGUN, exit=f"1 3 - {AT}"), None, Verdict(State.FAILED, "exit status 3", 3)),
    (
        "stopped in the queue",
        child(stop=f"TERM {AT}", exit=f"1 never - {AT}"),
        None,
        Verdict(State.STOPPED, "it was stopped before it began"),
    ),
    (
        "not found",
        child(identity=BEGUN, exit=f"1 127 - {AT}", argv="make && x"),
        None,
        Verdict(State.FAILED, "the command was not found (exit status 127); for a shell line use -c", 127),
    ),
    (
        "another machine's",
        child(foreign=True, identity=BEGUN),
        HostLink(False),
        Verdict(State.DISCONNECTED, "its machine is another one under the same home: as its files tell"),
    ),
]


@pytest.mark.parametrize(("facts", "link", "verdict"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_the_state_of_a_child(facts: ChildFacts, link: HostLink | None, verdict: Verdict) -> None:
    assert derive_child(facts, link) == verdict


DONE = Verdict(State.COMPLETED, None, 0)
BAD = Verdict(State.FAILED, "exit status 3", 3)
ENDED = Verdict(State.STOPPED, None, 0, 15)
GONE = Verdict(State.LOST, LOST["lost-killed"])
RUNS = Verdict(State.RUNNING)
WAITS = Verdict(State.NOT_STARTED, "its host has not confirmed yet that it began")
AWAY = Verdict(State.DISCONNECTED, UNREACHABLE)
HALTED = Verdict(State.SUSPENDED)

PARENTS: list[tuple[list[Verdict], Verdict]] = [
    ([], Verdict(State.NOT_STARTED, "it has no children yet")),
    ([DONE, DONE], Verdict(State.COMPLETED, None, 0)),
    ([DONE, RUNS], Verdict(State.RUNNING, "1/2 completed, 1 running")),
    ([RUNS, RUNS], RUNS),
    ([WAITS, WAITS], Verdict(State.RUNNING, "0/2 completed, 2 not started")),
    ([BAD, RUNS, DONE], Verdict(State.RUNNING, "1/3 completed, 1 running, 1 failed: h0")),
    ([DONE, BAD], Verdict(State.FAILED, "1/2 completed, 1 failed: h1", 3)),
    ([BAD, BAD], Verdict(State.FAILED, "0/2 completed, 2 failed: h[0-1]", 3)),
    ([DONE, GONE], Verdict(State.FAILED, "1/2 completed, 1 lost: h1")),
    ([BAD, GONE], Verdict(State.FAILED, "0/2 completed, 1 failed: h0, 1 lost: h1")),
    ([BAD, ENDED], Verdict(State.FAILED, "0/2 completed, 1 failed: h0, 1 stopped: h1", 3)),
    ([BAD, Verdict(State.FAILED, None, None, 9)], Verdict(State.FAILED, "0/2 completed, 2 failed: h[0-1]", None, 9)),
    ([DONE, ENDED], Verdict(State.STOPPED, "1/2 completed, 1 stopped: h1", None, 15)),
    ([DONE, AWAY], Verdict(State.DISCONNECTED, "1/2 completed, 1 disconnected: h1")),
    ([AWAY, AWAY], Verdict(State.DISCONNECTED)),
    ([AWAY, RUNS], Verdict(State.RUNNING, "0/2 completed, 1 running, 1 disconnected: h0")),
    ([AWAY, HALTED], Verdict(State.RUNNING, "0/2 completed, 1 suspended, 1 disconnected: h0")),
    ([HALTED, DONE], Verdict(State.SUSPENDED, "1/2 completed, 1 suspended")),
    ([BAD], BAD),
    ([AWAY], AWAY),
    ([GONE], Verdict(State.FAILED, GONE.reason)),
]


@pytest.mark.parametrize(("children", "verdict"), PARENTS)
def test_the_state_of_a_parent(children: list[Verdict], verdict: Verdict) -> None:
    assert derive_parent((f"h{at}", one) for at, one in enumerate(children)) == verdict


def test_a_parent_that_was_asked_to_stop() -> None:
    assert derive_parent([("a", RUNS), ("b", DONE)], stop_asked=True).state is State.STOPPING
    assert derive_parent([("a", AWAY)], stop_asked=True).state is State.STOPPING
    assert derive_parent([("a", DONE)], stop_asked=True) == DONE


unfinished = st.sampled_from([state for state in State if not state.finished]).map(Verdict)
finished = st.one_of(
    st.just(DONE),
    st.builds(Verdict, st.just(State.FAILED), st.none(), st.integers(-9, 300).filter(bool) | st.none()),
    st.builds(Verdict, st.just(State.FAILED), st.none(), st.none(), st.integers(1, 64)),
    st.builds(Verdict, st.just(State.STOPPED), st.none(), st.integers(0, 255) | st.none(), st.integers(1, 64)),
    st.just(GONE),
)
families = st.lists(st.tuples(st.sampled_from(["", "web1", "web2", "db"]), finished | unfinished), max_size=8)


@given(families, st.booleans(), st.randoms())
def test_their_order_does_not_matter(children: list[tuple[str, Verdict]], stop_asked: bool, random: object) -> None:
    shuffled = list(children)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert derive_parent(shuffled, stop_asked=stop_asked) == derive_parent(children, stop_asked=stop_asked)


@given(families, st.booleans())
def test_a_parent_is_finished_when_all_its_children_are(children: list[tuple[str, Verdict]], stop_asked: bool) -> None:
    verdict = derive_parent(children, stop_asked=stop_asked)
    assert verdict.state.finished == (bool(children) and all(one.state.finished for _, one in children))
    assert verdict.state is not State.LOST
    assert verdict.record is None
    if not verdict.state.finished:
        assert (verdict.exit_code, verdict.signal) == (None, None)


@given(families)
def test_success_means_that_all_completed(children: list[tuple[str, Verdict]]) -> None:
    verdict = derive_parent(children)
    completed = bool(children) and all(one.state is State.COMPLETED for _, one in children)
    assert (verdict.state is State.COMPLETED) == completed
    assert (verdict.exit_code == 0) == completed


@given(families, finished)
def test_one_that_is_finished_makes_nothing_unfinished(children: list[tuple[str, Verdict]], one: Verdict) -> None:
    before, after = derive_parent(children).state, derive_parent([*children, ("web3", one)]).state
    assert after.finished or not before.finished
    ranks = [State.COMPLETED, State.STOPPED, State.FAILED]
    if before.finished:
        assert ranks.index(after) >= ranks.index(before)


@given(families, unfinished, finished)
def test_a_child_that_ends_brings_its_parent_no_further_from_its_end(
    children: list[tuple[str, Verdict]], running: Verdict, ended: Verdict
) -> None:
    assert not derive_parent([*children, ("db", running)]).state.finished
    rest = all(one.state.finished for _, one in children)
    assert derive_parent([*children, ("db", ended)]).state.finished == rest
