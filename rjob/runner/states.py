"""What the facts of a job mean: the one place where states and reasons are made, for every runner.

A pure function of :class:`rjob.runner.facts.JobFacts`; docs/explanation/states.md draws it.
"""

from __future__ import annotations

import signal as signals
from typing import TYPE_CHECKING, NamedTuple

from rjob.models import State
from rjob.runner.facts import number
from rjob.runner.facts import signal_number as told_signal

if TYPE_CHECKING:
    from rjob.runner.facts import JobFacts


class Verdict(NamedTuple):
    """Where a job stands, and why."""

    state: State
    reason: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    conclude: str | None = None
    """Set for an end that nobody recorded: the word to record it with, so that it stays what it is."""


LOST = {
    "lost-killed": "it and its supervisor were killed: no exit status was recorded",
    "lost-reboot": "the host was rebooted while it ran",
    "lost-unclaimed": "its supervisor died before the command began",
}
"""What the words that conclude a lost job mean."""


def signal_number(name: str) -> int | None:
    """The number of a signal, here; None for an unknown one.

    Args:
        name: ``TERM``, ``SIGTERM`` or ``15``.
    """
    word = name.upper().removeprefix("SIG")
    if (given := number(word)) is not None:
        return given
    found = getattr(signals, "SIG" + word, None)
    return int(found) if isinstance(found, signals.Signals) else None


def signal_name(number: int) -> str:
    """``SIGTERM`` for 15; ``signal 99`` for what has no name."""
    try:
        return signals.Signals(number).name
    except ValueError:
        return f"signal {number}"


def derive(facts: JobFacts) -> Verdict:
    """Say where a job stands.

    Args:
        facts: What its owner tells.
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
        return Verdict(State.DISCONNECTED, "it is in another container of its machine: from here it cannot be told")
    if supervisor != "-":
        return _supervised(facts, leader)
    if boot == "other":
        return Verdict(State.LOST, LOST["lost-reboot"], conclude="lost-reboot")
    if count not in ("-", "0"):
        return Verdict(State.RUNNING, f"its supervisor is gone; {count} of its processes live on")
    word = "lost-killed" if facts.words("main") else "lost-unclaimed"
    return Verdict(State.LOST, LOST[word], conclude=word)


def _supervised(facts: JobFacts, leader: str) -> Verdict:
    if facts.words("stop") is not None or facts.words("expired") is not None:
        return Verdict(State.STOPPING)
    if leader.startswith(("T", "t")):
        return Verdict(State.SUSPENDED)
    return Verdict(State.RUNNING)


def survivors(facts: JobFacts) -> int:
    """How many processes of a job live on after its command has ended.

    Args:
        facts: What its owner tells.
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
    status = number(word)
    stop, expired = facts.words("stop"), facts.words("expired")
    sent = told_signal(seen)
    if sent is None:
        sent = _sent_signal(facts, status)
    if sent is not None:
        status = None
    if stop is not None:
        if word == "never":
            return Verdict(State.STOPPED, "it was stopped before it began")
        return Verdict(State.STOPPED, None, status, sent or _marked(stop))
    if expired is not None:
        # However politely it ended: its end is the signal's doing.
        return Verdict(State.FAILED, "its time limit was reached", None, sent or _marked(expired))
    if sent is not None:
        return Verdict(State.FAILED, f"ended by {signal_name(sent)}", None, sent)
    if status is None:
        return Verdict(State.LOST, "its exit record cannot be read")
    if status == 0:
        return Verdict(State.COMPLETED, None, 0)
    return Verdict(State.FAILED, _why(facts, status), status)


def _marked(words: list[str]) -> int | None:
    sent = signal_number(words[0]) if words else None
    return None if sent is None else told_signal(str(sent))


def _sent_signal(facts: JobFacts, status: int | None) -> int | None:
    """The signal that ended it, where rjob itself sent one and the status is that signal's.

    A shell's 128+n cannot be told from a command's own 128+n otherwise.
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
    if 128 < status <= 192:
        return f"exit status {status} (128 + {signal_name(status - 128)}, perhaps)"
    return f"exit status {status}"
