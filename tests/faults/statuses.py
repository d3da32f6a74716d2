"""The check that each command ended as documented: its exit status, its messages, its time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from faults.client import died_early

if TYPE_CHECKING:
    from faults.aftermath import Aftermath
    from faults.record import Call

_INTERRUPTED = {130, 143, 129, -2, -15, -1}
_FOUND_GONE = ("no job", "not found", "unknown", "gone", "removed", "not finished", "not removed", "live on")


def status_of(job: dict[str, Any]) -> int:
    """Return the exit status for a finished job, as docs/reference/exit-statuses.md defines it.

    Args:
        job: The job, as ``--json`` shows it.
    """
    if job["state"] == "Completed":
        return 0
    if job["state"] == "Lost":
        return 125
    if job["exit_code"] is not None and job["state"] != "Stopped":
        return int(job["exit_code"]) if 0 < job["exit_code"] <= 255 else 255
    return 128 + int(job["signal"] or 15)


def check_statuses(after: Aftermath) -> None:
    """Check every command of an episode."""
    for call in after.record.calls:
        if call.hung:
            after.find(f"every command ends: {call.verb}", call.told)
            continue
        if b"Traceback (most recent call last)" in call.err and not died_early(call.err):
            lines = call.err.decode(errors="replace").strip().splitlines()
            where = [line.strip().partition("/rjob/")[2] for line in lines if "/rjob/" in line]
            after.find(f"no command shows a traceback: {where[-1]}: {lines[-1][:80]}", call.told)
        if not _allowed(after, call):
            after.find(f"exit statuses are as documented: {call.verb} {call.streams} {call.status}", call.told)


def _allowed(after: Aftermath, call: Call) -> bool:
    if call.status == -9:
        return any(seen.pid == call.pid for _, seen in after.record.victims)
    met = after.record.disturbed(call)
    if "interrupt" in met and (call.status in _INTERRUPTED or died_early(call.err)):
        return True
    if call.verb == "wait" or "-f" in call.words:
        return _allowed_of_job(after, call, met)
    if call.status == 0:
        return True
    if call.status != 1:
        return False
    # A command that fails says why, unless its standard error is redirected.
    silent = not call.err.strip() and "2>" not in call.streams
    excused = bool(met) or bool(call.streams) or any(word in call.err.decode(errors="replace") for word in _FOUND_GONE)
    if met == {"disk"} and call.verb in ("stop", "remove", "prune", "get", "receive") and not _about_gone(call):
        return False
    return excused and not silent


def _about_gone(call: Call) -> bool:
    return any(word in call.err.decode(errors="replace") for word in _FOUND_GONE)


def _allowed_of_job(after: Aftermath, call: Call, met: set[str]) -> bool:
    """Tell whether a verb that returns a job's status did so, or had a reason not to."""
    job = next((one for one in after.jobs.values() if one["ref"] == call.ref), None)
    if call.status == 124:
        return "--timeout" in call.words
    if call.status == 125:
        # Unknown: the job was removed meanwhile, or a fault hit the connection or the runner.
        return bool(met) or job is None or status_of(job) == 125 or _about_gone(call) or bool(call.streams)
    if job is None:
        plan = next((one.plan for one in after.shared.jobs if one.ref == call.ref), None)
        return plan is not None and call.status in (plan.status, 143, 137, 125)
    if "-f" in call.words and call.streams:
        return call.status in (status_of(job), 1, 125)
    return call.status == status_of(job)
