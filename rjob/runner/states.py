"""Deriving states from facts: the one place where states and reasons are made, for every runner.

Pure functions of :class:`rjob.runner.facts.JobFacts`; docs/explanation/states.md draws them.
"""

from __future__ import annotations

import signal as signals
from typing import TYPE_CHECKING, NamedTuple

from rjob.models import State
from rjob.runner.values import number, signal_number, status_number
from rjob.signals import name_of, number_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rjob.runner.facts import ChildFacts, HostLink, JobFacts


class Verdict(NamedTuple):
    """A job's state, and why."""

    state: State
    reason: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    record: str | None = None
    """For an end that is not recorded yet: the word to record it with, so that the state stays final."""


LOST = {
    "lost-killed": "it and its supervisor were killed: no exit status was recorded",
    "lost-reboot": "the host was rebooted while it ran",
    "lost-unclaimed": "its supervisor died before the command began",
}
"""The meanings of the words that record the end of a lost job."""


def derive(facts: JobFacts) -> Verdict:
    """Derive a job's state.

    Args:
        facts: The owner's facts of the job.
    """
    record = facts.words("exit")
    if record is not None:
        return _with_survivors(_finished(facts, record), facts)
    if facts.foreign:
        return Verdict(State.DISCONNECTED, "its machine is another one under the same home: as its files tell")
    if facts.alive is None:
        return Verdict(State.NOT_STARTED, "its owner does not tell")
    supervisor, leader, count, boot = (facts.alive + ["-"] * 4)[:4]
    if supervisor == "none":
        return Verdict(State.NOT_STARTED, "it was registered, but nothing has started it")
    if boot == "apart":
        return Verdict(
            State.DISCONNECTED, "it is in another container, or on another machine: from here it cannot be told"
        )
    if supervisor != "-":
        return _supervised(facts, leader)
    if boot == "other":
        return Verdict(State.LOST, LOST["lost-reboot"], record="lost-reboot")
    if count not in ("-", "0"):
        return Verdict(State.RUNNING, f"its supervisor is gone; {count} of its processes live on")
    word = "lost-killed" if facts.words("main") else "lost-unclaimed"
    return Verdict(State.LOST, LOST[word], record=word)


def derive_child(facts: ChildFacts, link: HostLink | None) -> Verdict:
    """Derive a child's state, as far as the owner of its parent knows.

    Args:
        facts: The owner's copy of what the child's host reported.
        link: The connection to that host; None if unknown.
    """
    if facts.words("exit") is not None:
        return derive(facts)
    if facts.words("identity") is None and (why := facts.text("error")) is not None:
        return Verdict(State.FAILED, why or "it could not be started")
    if facts.foreign:
        return derive(facts)
    if facts.words("identity") is None:
        why = _unreachable(link) if link and link.lost else "its host has not confirmed yet that it began"
        return Verdict(State.NOT_STARTED, why)
    if link and link.lost:
        return Verdict(State.DISCONNECTED, _unreachable(link))
    if facts.words("stop") is not None or facts.words("expired") is not None:
        return Verdict(State.STOPPING)
    if facts.alive is None:
        return Verdict(State.RUNNING)
    # Its end is recorded on its own host, never on this owner.
    return derive(facts)._replace(record=None)


def _unreachable(link: HostLink) -> str:
    since = f" since {link.since:%Y-%m-%dT%H:%M:%SZ}" if link.since else ""
    return f"its host is unreachable{since}" + (f": {link.reason}" if link.reason else "")


def derive_parent(children: Iterable[tuple[str, Verdict]], *, stop_asked: bool = False) -> Verdict:
    """Derive a parent's state from its children's.

    Args:
        children: The host and the verdict of each child, in any order.
        stop_asked: Whether a stop of the whole parent was requested.
    """
    told = list(children)
    if not told:
        return Verdict(State.NOT_STARTED, "it has no children yet")
    verdicts = [verdict for _, verdict in told]
    state = _state_of_all({verdict.state for verdict in verdicts}, stop_asked=stop_asked)
    reason = _reason_of_all(state, told)
    if not state.finished:
        return Verdict(state, reason)
    return Verdict(state, reason, *_worst_end(state, verdicts))


def _state_of_all(states: set[State], *, stop_asked: bool) -> State:
    unfinished = {state for state in states if not state.finished}
    if not unfinished:
        if states & {State.FAILED, State.LOST}:
            return State.FAILED
        return State.STOPPED if State.STOPPED in states else State.COMPLETED
    if stop_asked:
        return State.STOPPING
    # A parent counts as running from its creation, even while children wait for their turn.
    common = unfinished.pop() if len(unfinished) == 1 else State.RUNNING
    return State.RUNNING if common is State.NOT_STARTED else common


def _worst_end(state: State, verdicts: Sequence[Verdict]) -> tuple[int | None, int | None]:
    """Return the worst exit code and signal among the children that determine the parent's state.

    An unknown end is the worst; a signal counts as 128+n.
    """
    if state is State.COMPLETED:
        return 0, None
    guilty = {State.STOPPED} if state is State.STOPPED else {State.FAILED, State.LOST}
    ends = [(verdict.exit_code or None, verdict.signal) for verdict in verdicts if verdict.state in guilty]
    return max(ends, key=_badness)


def _badness(end: tuple[int | None, int | None]) -> tuple[int, int, int]:
    code, signal = end
    if signal is None:
        return (1, 0, 0) if code is None else (0, abs(code), code)
    return (0, 128 + signal, code or 0)


_WORDS = {State.NOT_STARTED: "not started"}
_NAMED = (State.DISCONNECTED, State.FAILED, State.STOPPED, State.LOST)
"""The states for which a parent's reason names the hosts."""


def _reason_of_all(state: State, children: Sequence[tuple[str, Verdict]]) -> str | None:
    """Count the children by state, ``9/10 completed, 1 failed: web3``; None if the parent's state says it all."""
    if len(children) == 1:
        return children[0][1].reason
    alike = all(verdict.state is state for _, verdict in children)
    if alike and state is not State.FAILED:
        return None
    from rjob.nodesets import fold

    hosts: dict[State, list[str]] = {kind: [] for kind in State}
    for host, verdict in children:
        hosts[verdict.state].append(host)
    parts = [f"{len(hosts.pop(State.COMPLETED))}/{len(children)} completed"]
    for kind, names in hosts.items():
        if names:
            where = fold(sorted(filter(None, names))) if kind in _NAMED else ""
            parts.append(f"{len(names)} {_WORDS.get(kind, str(kind).lower())}" + (f": {where}" if where else ""))
    return ", ".join(parts)


def _supervised(facts: JobFacts, leader: str) -> Verdict:
    if facts.words("stop") is not None or facts.words("expired") is not None:
        return Verdict(State.STOPPING)
    if leader.startswith(("T", "t")):
        return Verdict(State.SUSPENDED)
    return Verdict(State.RUNNING)


def survivors(facts: JobFacts) -> int:
    """Return how many processes of a job live on after its command has ended.

    Args:
        facts: The owner's facts of the job.
    """
    if facts.words("exit") is None or facts.alive is None or len(facts.alive) < 3:
        return 0
    return number(facts.alive[2]) or 0


def _with_survivors(verdict: Verdict, facts: JobFacts) -> Verdict:
    count = survivors(facts)
    if not count:
        return verdict
    told = f"{count} of its processes live on" if count > 1 else "1 of its processes lives on"
    return verdict._replace(reason=f"{verdict.reason}; {told}" if verdict.reason else told)


def _finished(facts: JobFacts, record: list[str]) -> Verdict:
    if len(record) < 4 or record[0] != "1":
        return Verdict(State.LOST, "its exit record cannot be read")
    word, seen = record[1], record[2]
    if word in LOST:
        return Verdict(State.LOST, LOST[word])
    status = status_number(word)
    stop, expired = facts.words("stop"), facts.words("expired")
    sent = signal_number(seen)
    if sent is None:
        sent = _sent_signal(facts, status)
    if sent is not None:
        status = None
    if stop is not None:
        if word == "never":
            return Verdict(State.STOPPED, "it was stopped before it began")
        return Verdict(State.STOPPED, None, status, sent or _marked(stop))
    if expired is not None:
        # Even if it exited with a status: the time limit's signal caused its end.
        return Verdict(State.FAILED, "its time limit was reached", None, sent or _marked(expired))
    if sent is not None:
        return Verdict(State.FAILED, f"ended by {name_of(sent)}", None, sent)
    if status is None:
        return Verdict(State.LOST, "its exit record cannot be read")
    if status == 0:
        return Verdict(State.COMPLETED, None, 0)
    return Verdict(State.FAILED, _why(facts, status), status)


def _marked(words: list[str]) -> int | None:
    sent = number_of(words[0]) if words else None
    return None if sent is None else signal_number(str(sent))


def _sent_signal(facts: JobFacts, status: int | None) -> int | None:
    """Return the signal that ended a job, if rjob sent that signal and the exit status is 128 plus its number.

    Otherwise a shell's 128+n cannot be distinguished from a command's own exit status.
    """
    if status is None or status <= 128:
        return None
    likely = status - 128
    sent = {_marked([line]) for line in (facts.text("signals") or "").split()}
    for name in ("stop", "expired"):
        words = facts.words(name)
        if words is not None:
            sent |= {_marked(words), int(signals.Signals(9))}
    return likely if likely in sent else None


def _why(facts: JobFacts, status: int) -> str:
    if status in (126, 127):
        what = "the command was not found" if status == 127 else "the command cannot be executed"
        told = facts.text("error") or f"{what} (exit status {status})"
        argv = (facts.record or {}).get("argv") or []
        if isinstance(argv, list) and len(argv) == 1 and " " in str(argv[0]).strip():
            return f"{told}; for a shell line use -c"
        return told
    if 128 < status <= 192 and (facts.record or {}).get("platform", "posix") == "posix":
        return f"exit status {status} (128 + {name_of(status - 128)}, perhaps)"
    return f"exit status {status}"
