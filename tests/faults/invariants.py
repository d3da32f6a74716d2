"""The promises that hold whatever happens, and the checks that an episode has kept them."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from faults.receipts import check_receipts
from faults.statuses import check_statuses, status_of

if TYPE_CHECKING:
    from faults.aftermath import Aftermath
    from faults.witness import Plan, Testimony


def check(after: Aftermath) -> None:
    """Let an episode come to rest and check every promise; record each broken one."""
    after.settle()
    _check_runs(after)
    for instance, job in after.jobs.items():
        _check_state(after, instance, job)
    _check_known(after)
    _check_registry(after)
    check_receipts(after)
    check_statuses(after)
    _check_decoys(after)
    _check_verbs(after)


def _check_runs(after: Aftermath) -> None:
    """Check that each job with a confirmed start ran once, and every other one at most once."""
    for instance, said in after.witness.items():
        if said.begins > 1 or said.ends > said.begins:
            after.find("no instance runs twice", f"{instance}: {said}")
    runs = Counter(said.name for said in after.witness.values())
    for name, count in runs.items():
        if count > after.shared.plans[name][1]:
            after.find("each start runs once at most", f"{name}: {count} runs of {after.shared.plans[name][1]} starts")
    for instance, tracked in after.tracked.items():
        # If the disk is full where its folder is, a job may fail with that reason instead of running.
        refused = after.main == "disk" and (after.jobs.get(instance) or {}).get("exit_code") == 126
        excused = after.record.hurt(instance) or instance in after.stopped | after.saboteur.removed
        if instance not in after.witness and not (excused or refused):
            after.find("a job whose start was confirmed runs", f"{tracked.ref} {instance} {after.jobs.get(instance)}")
    told = after.of_event("start") + after.of_event("remove")
    known = {event["instance"] for event in told} | set(after.jobs) | after.saboteur.removed
    for instance in set(after.witness) - known:
        after.find("whatever runs is known", f"{instance}: {after.witness[instance]}")


def _check_state(after: Aftermath, instance: str, job: dict[str, Any]) -> None:
    """Check that the witness file and the faults explain a job's state."""
    said = after.witness.get(instance)
    plan = _plan_of(after, instance, said)
    if plan is None:
        return
    why = _explain(after, instance, job, plan, said)
    if why is None:
        text = f"{job['ref']} is {job['state']} ({job['reason']}), exit {job['exit_code']}, signal {job['signal']}"
        hurt = sorted(after.record.hurt(instance))
        after.find(
            f"a job's state is what happened: {job['state']}",
            f"{text}; {plan.kind}, to end with {plan.status}; {said}; killed {hurt}; "
            f"{'' if instance in after.stopped else 'not '}stopped",
        )


def _plan_of(after: Aftermath, instance: str, said: Testimony | None) -> Plan | None:
    if said:
        return after.shared.plans[said.name][0]
    tracked = after.tracked.get(instance)
    return tracked.plan if tracked else None


def _explain(after: Aftermath, instance: str, job: dict[str, Any], plan: Plan, said: Testimony | None) -> str | None:
    """Return why a job may be in its state; None if it may not."""
    hurt = after.record.hurt(instance)
    state, code, number = job["state"], job["exit_code"], job["signal"]
    ended = bool(said and said.ends)
    stopped = instance in after.stopped
    if state == "Completed":
        return "it ended so" if ended and plan.status == 0 else None
    if state == "Stopped":
        return "it was asked to" if stopped else None
    if state == "Lost":
        return "what watches it was killed" if hurt & {"supervisor", "claimant"} else None
    if state == "Failed":
        if code is not None and code == plan.status and ended:
            return "it ended so"
        if (number == 9 or code in (137, 143)) and hurt & {"command", "claimant"}:
            return "its command was killed"
        if plan.limit == "1":
            return "its time limit was reached"
        if code == 126 and after.main == "disk":
            return "there was no space to begin in"
    if state == "NotStarted":
        return None if instance in after.tracked else "its start was not confirmed"
    return None


def _check_known(after: Aftermath) -> None:
    """Check that every confirmed job is shown, unless a client asked for its removal."""
    removed = {event["instance"] for event in after.of_event("remove")}
    asked = {call.ref for call in after.record.calls if call.verb == "remove"}
    pruned = any(call.verb == "prune" for call in after.record.calls)
    for instance, tracked in after.tracked.items():
        if instance in after.jobs or instance in after.saboteur.removed:
            continue
        if not (tracked.ref in asked or pruned):
            after.find("no job is lost", f"{tracked.ref} {instance} is not shown, and nobody removed it")
        elif instance not in removed and after.main not in ("disk", "folder"):
            after.find("what is removed is journalled", f"{tracked.ref} {instance}")
    missing = [job.ref for job in after.shared.jobs if job not in after.tracked.values() and job.ref]
    if missing and after.main != "folder":
        after.find("no job is lost", f"{missing} were confirmed; no instance is known")


def _check_registry(after: Aftermath) -> None:
    """Check that ids, starts and ends are unique, and that a rebuild changes nothing that is shown."""
    after.read_registry()
    starts = after.of_event("start")
    for what, key, events in (
        ("no id is given twice", "id", starts),
        ("one start event for each job", "instance", starts),
        ("one end event for each job", "instance", after.of_event("end")),
        ("one remove event for each job", "instance", after.of_event("remove")),
    ):
        twice = [value for value, count in Counter(event[key] for event in events).items() if count > 1]
        if twice:
            after.find(what, str(twice))
    if starts or after.jobs:
        before = {instance: _shown(job) for instance, job in after.jobs.items()}
        after.look()
        now = {instance: _shown(job) for instance, job in after.jobs.items()}
        after.call("registry", "rebuild", *(("-H", after.shared.host) if after.shared.host else ()))
        after.look()
        rebuilt = {instance: _shown(job) for instance, job in after.jobs.items()}
        if now != rebuilt:
            after.find("a rebuild gives the same jobs", f"{now} became {rebuilt}")
        if set(before) != set(now):
            after.find("no job is lost", f"{sorted(before)} became {sorted(now)}")


def _shown(job: dict[str, Any]) -> dict[str, Any]:
    return {
        key: job[key]
        for key in (
            "ref",
            "id",
            "name",
            "state",
            "exit_code",
            "signal",
            "begin",
            "end",
            "output_bytes",
            "received_bytes",
        )
    }


def _check_decoys(after: Aftermath) -> None:
    for decoy in after.saboteur.decoys:
        if harm := decoy.harm():
            after.find("no stranger is signalled", f"{decoy.what}: {harm}")


def _check_verbs(after: Aftermath) -> None:
    """Check that every verb works, that no lock blocks it, and that a new id is higher than all before."""
    at = ("-H", after.shared.host) if after.shared.host else ()
    call = after.call("start", "--json", *at, "-c", "echo out; exit 3")
    try:
        (job,) = json.loads(call.out)["jobs"]
    except (ValueError, KeyError):
        return
    highest = max((event["id"] for event in after.of_event("start")), default=0)
    if job["id"] <= highest:
        after.find("no id is given twice", f"{job['id']} after {highest}")
    ref = job["ref"]
    after.call("wait", ref, allowed=(3,))
    if after.call("receive", ref).out != b"out\n":
        after.find("every verb works afterwards", f"receive {ref} brought something else")
    again = after.call("retry", "-q", ref).out.decode().strip()
    after.call("stop", again)
    after.call("remove", ref, again)
    ran = [one for one in after.jobs.values() if one["state"] in ("Completed", "Failed", "Stopped", "Lost")]
    for one in ran[-2:]:
        after.call("wait", one["ref"], allowed=(status_of(one),))
