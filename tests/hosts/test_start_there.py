"""Directories and secrets of jobs on a host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from world import wait_until

if TYPE_CHECKING:
    from hosts.host import Host
    from world import World

AT = ("-H", "gpu")


def working_directories(rjob: World, *given: str) -> list[str]:
    """What jobs that were started with these directories say, or why they could not begin."""
    refs = [rjob.start(*AT, *(("-C", directory) if directory else ()), "pwd") for directory in given]
    jobs = rjob("wait", *refs, "--json", status=None).json["jobs"]
    return [job["reason"] or rjob("receive", job["ref"]).text.rstrip("\n") for job in jobs]


def test_a_directory_on_a_host_is_relative_to_the_home_there(rjob: World, gpu: Host) -> None:
    for name in ("proj", "-", "proj/deep", "a b"):
        (gpu.home / name).mkdir()
    home = str(gpu.home)
    expected = {
        "": home,
        "proj": f"{home}/proj",
        "proj/deep": f"{home}/proj/deep",
        ".": home,
        "~": home,
        "~/proj": f"{home}/proj",
        "-": f"{home}/-",
        "a b": f"{home}/a b",
        "/": "/",
        "nothing": f"cannot change to the directory {home}/nothing",
    }
    told = [directory.replace("/.", "") for directory in working_directories(rjob, *expected)]
    assert dict(zip(expected, told, strict=True)) == expected


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
