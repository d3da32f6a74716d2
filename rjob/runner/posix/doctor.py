"""The doctor's findings on a POSIX machine, from the answers to the operation ``info``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rjob.models import Finding

if TYPE_CHECKING:
    from collections.abc import Mapping

_LOW_KIB = 100 * 1024


def findings(info: Mapping[str, str]) -> list[Finding]:
    """Interpret the answers to the operation ``info``.

    Args:
        info: The answers by key.
    """
    return [
        _detach(info.get("detach", "none")),
        _identity(info.get("identity", "none")),
        _follow(info.get("follow", "polling")),
        _cgroups(info.get("cgroup", "none")),
        *_space(info.get("free-kib", "")),
        *_linger(info.get("linger", "")),
    ]


def _detach(method: str) -> Finding:
    if method == "none":
        return Finding(
            "note",
            "no setsid, perl or python3: jobs get no session of their own and ignore SIGINT",
            "install util-linux (or any of the three) there",
        )
    return Finding("ok", f"jobs get sessions of their own through {method}")


def _identity(how: str) -> Finding:
    if how == "none":
        return Finding(
            "note",
            "neither /proc nor a ps that tells start times: a reused process id cannot be told from a job's",
            "mount /proc, or install procps",
        )
    return Finding("ok", f"processes are told apart by their start time, through {how}")


def _follow(how: str) -> Finding:
    if how == "polling":
        return Finding("note", "tail -f does not wait for changes here: a line that is looked for shows up to 1 s late")
    return Finding("ok", "tail -f waits for changes: a followed line shows at once")


def _cgroups(where: str) -> Finding:
    if where == "none":
        return Finding(
            "note",
            "no cgroup to use: a process that leaves its job's session and clears its environment can escape stop",
            "run rjob within a delegated cgroup v2, or name one in RJOB_CGROUP",
        )
    return Finding("ok", f"each job gets a cgroup of its own below {where}: stop finds every process")


def _space(text: str) -> list[Finding]:
    from rjob.runner.values import number

    free = number(text)
    if free is None:
        return []
    if free < _LOW_KIB:
        return [Finding("problem", f"only {free} KiB are free where the jobs are kept", "free some space there")]
    return [Finding("ok", f"{free // 1024:,} MiB are free where the jobs are kept")]


def _linger(text: str) -> list[Finding]:
    if text == "no":
        return [
            Finding(
                "note",
                "lingering is off: where systemd-logind has KillUserProcesses=yes, jobs end at logout",
                "loginctl enable-linger",
            )
        ]
    return []
