"""A job in another pid namespace, a container's say: from here it cannot be told whether it lives."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from world import RJOB, alive, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from world import World


class Container:
    """A shell in a pid namespace of its own, with the same files."""

    def __init__(self, rjob: World) -> None:
        words = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "sh"]
        self._shell = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=rjob.env, cwd=rjob.root
        )

    def __call__(self, *words: str) -> tuple[int, str]:
        """Run rjob in there; its status and what it printed."""
        assert self._shell.stdin
        assert self._shell.stdout
        line = " ".join(f"'{word}'" for word in [*RJOB, *words])
        self._shell.stdin.write(f"{line} 2>&1; s=$?; echo; echo END $s\n".encode())
        self._shell.stdin.flush()
        said = ""
        for raw in self._shell.stdout:
            if raw.startswith(b"END "):
                return int(raw.split()[1]), said.removesuffix("\n")
            said += raw.decode()
        raise AssertionError(f"the container ended: {said}")

    def close(self) -> None:
        assert self._shell.stdin
        self._shell.stdin.close()
        self._shell.kill()
        self._shell.wait()
        assert self._shell.stdout
        self._shell.stdout.close()


@pytest.fixture
def container(rjob: World, as_root: None) -> Iterator[Container]:
    probe = ["unshare", "--pid", "--fork", "--mount-proc", "true"]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("needs pid namespaces")
    made = Container(rjob)
    yield made
    made.close()


def test_a_living_job_of_a_container_is_neither_lost_nor_stopped_from_outside(
    rjob: World, container: Container
) -> None:
    go = rjob.root / "go"
    status, said = container("start", "-q", "-c", f"until [ -e {go} ]; do sleep 0.05; done; echo done; exit 3")
    assert (status, said.strip()) == (0, "1"), said
    job = rjob.job("1")
    assert job["state"] == "Disconnected"
    assert "container" in job["reason"]
    for verb in ("stop", "suspend", "remove"):
        done = rjob(verb, "1", *(["--force"] if verb == "remove" else []), status=1)
        assert "container" in done.errors, done
    assert rjob("signal", "1", "TERM", status=1).errors
    rjob("wait", "1", "--timeout", "3", status=124)
    assert not (rjob.folder("1") / "exit").exists()
    assert container("get", "-q", "--state", "running")[1].strip() == "1"
    go.touch()
    assert container("wait", "1")[0] == 3
    assert (rjob.job("1")["state"], rjob.job("1")["exit_code"]) == ("Failed", 3)
    assert rjob("receive", "1").text == "done\n"
    rjob("remove", "1")


def test_a_job_outside_is_neither_lost_nor_stopped_from_a_container(rjob: World, container: Container) -> None:
    ref = rjob.start("sleep", "1000")
    main = int((rjob.folder(ref) / "main").read_text().split()[0])
    assert "Disconnected" in container("get")[1]
    assert container("stop", ref)[0] == 1
    assert container("remove", "--force", ref)[0] == 1
    assert alive(main)
    assert rjob.job(ref)["state"] == "Running"
    rjob("stop", ref)
    assert rjob.job(ref)["state"] == "Stopped"


def test_a_lock_that_is_held_in_a_container_is_not_broken(rjob: World, container: Container) -> None:
    rjob.ended(rjob.start("true"))
    # A process of ours holds the lock, as it looks from the container: another namespace's pid.
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    namespace = os.readlink("/proc/self/ns/pid").partition("[")[2].rstrip("]")
    begin = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    (rjob.owner / "lock").symlink_to(f"{os.getpid()} {begin} {boot} {namespace}")
    child = rjob.popen("get", "1")
    child.communicate()
    status: list[int] = []

    asker = threading.Thread(target=lambda: status.append(container("start", "-q", "true")[0]))
    asker.start()
    with pytest.raises(AssertionError):
        wait_until(lambda: not (rjob.owner / "lock").is_symlink(), seconds=3, what="a broken lock")
    (rjob.owner / "lock").unlink()
    asker.join(60)
    assert status == [0]
