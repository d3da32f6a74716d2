"""Secrets of jobs on a host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from world import wait_until

if TYPE_CHECKING:
    from hosts.host import Host
    from world import World

AT = ("-H", "gpu")


def test_secrets_are_in_no_process_but_the_jobs(rjob: World, gpu: Host) -> None:
    secret = "correct-horse-battery"
    options = ("--secret", "TOKEN", "--time-limit", "1h")
    ref = rjob.start(*AT, *options, "sleep", "1000", env={"TOKEN": secret})
    main = int((gpu.folder(ref) / "main").read_text().split()[0])
    # The job's own process has it from the moment on at which it becomes the command.
    wait_until(lambda: secret.encode() in environ(main), what="the command")
    assert [pid for pid in gpu.processes() if secret.encode() in environ(pid)] == [main]
    assert not [path for path in gpu.home.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    rjob("stop", ref)


def environ(pid: int) -> bytes:
    """Everything of a process that others might see."""
    whole = b""
    for name in ("environ", "cmdline"):
        with open(f"/proc/{pid}/{name}", "rb", buffering=0) as file:
            while data := file.read(65536):
                whole += data
    return whole
