"""Processes that look like a job's but are not; each notes every signal that it gets."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# It ends when its standard input is closed, so none outlives the test.
_PROGRAM = """
import os, signal, sys
log = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
def note(number, frame):
    os.write(log, b"%d\\n" % number)
for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}:
    signal.signal(number, note)
os.write(log, b"ready\\n")
while os.read(0, 1):
    pass
"""
_LAST_PID = "/proc/sys/kernel/ns_last_pid"
_pid_counter = threading.Lock()


class Decoy:
    """A process that looks like a job's, in a session of its own.

    Args:
        log: The file in which it notes signals.
        what: Why it looks like a job's, for messages.
        env: Its variables.
    """

    def __init__(self, log: Path, what: str, env: Mapping[str, str]) -> None:
        self.what = what
        self._log = log
        self._child = subprocess.Popen(
            [sys.executable, "-S", "-E", "-c", _PROGRAM, str(log)],
            env={"PATH": os.environ["PATH"], **env},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.pid = self._child.pid

    def harm(self) -> str:
        """Describe what was done to it; empty if nothing."""
        state = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WSTOPPED | os.WNOHANG | os.WNOWAIT)
        if state is not None:
            return f"{_NAMES.get(state.si_code, 'ended')} ({state.si_status})"
        signals = [line for line in self._log.read_text().split() if line != "ready"] if self._log.exists() else []
        return "got " + ", ".join(signal.Signals(int(number)).name for number in signals) if signals else ""

    def close(self) -> None:
        """Kill it."""
        self._child.kill()
        self._child.communicate()


_NAMES = {os.CLD_KILLED: "killed", os.CLD_STOPPED: "stopped", os.CLD_EXITED: "exited", os.CLD_DUMPED: "killed"}


def can_choose_pids() -> bool:
    """Tell whether the kernel lets this user choose the next process id."""
    return os.geteuid() == 0 and os.access(_LAST_PID, os.W_OK)


def decoy_with_pid(pid: int, log: Path, what: str) -> Decoy | None:
    """Start a decoy with the id of a process that has gone.

    Args:
        pid: The id; it may take half a second to become free.
        log: See :class:`Decoy`.
        what: See :class:`Decoy`.

    Returns:
        The decoy; None if another process got the id, or if ids cannot be chosen.
    """
    if not can_choose_pids():
        return None
    deadline = time.monotonic() + 0.5
    with _pid_counter:
        while time.monotonic() < deadline:
            if os.path.exists(f"/proc/{pid}"):
                time.sleep(0.01)
                continue
            try:
                with open(_LAST_PID, "w") as file:
                    file.write(str(pid - 1))
            except OSError:
                return None
            decoy = Decoy(log, what, {})
            if decoy.pid == pid:
                return decoy
            decoy.close()
            log.unlink(missing_ok=True)
    return None
