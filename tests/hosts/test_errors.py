"""What is said when a host cannot be had: one line that names it, and the way out."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import psutil
import pytest
from hosts.host import TRANSPORTS
from world import requires_root

from rjob.testing.sshd import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from hosts.host import Host, Hosts
    from world import World

AT = ("-H", "gpu")
both = pytest.mark.parametrize("transport", TRANSPORTS)


def refused(rjob: World, code: str, *, within: float = 20) -> tuple[str, str]:
    """What is said of the host, and the hint; each a line, nothing else is printed."""
    begin = time.monotonic()
    done = rjob("get", *AT, status=1, timeout=60)
    assert time.monotonic() - begin < within
    assert done.out == b""
    first, hint, *rest = [*done.errors.splitlines(), ""]
    assert rest in ([], [""]), done.errors
    assert first.startswith("rjob: gpu: ")
    assert hint.startswith("  ")
    assert "Traceback" not in done.errors
    (error,) = rjob("get", *AT, "--json", status=1).json["errors"]
    assert (error["host"], error["code"]) == ("gpu", code), error
    assert first == f"rjob: gpu: {error['message']}"
    return first, hint.strip()


def follow_hint(rjob: World, hint: str) -> None:
    """Do what a hint says behind its colon."""
    command = hint.partition(": ")[2].removesuffix(".")
    subprocess.run(["sh", "-c", command], env=rjob.env, check=True, capture_output=True)


def test_an_unknown_host_key(rjob: World, gpu: Host) -> None:
    gpu.server.known_hosts.unlink()
    first, hint = refused(rjob, "host-key")
    assert "not known" in first
    assert "SHA256:" in first
    follow_hint(rjob, hint)
    rjob("get", *AT)


def test_a_changed_host_key(rjob: World, gpu: Host) -> None:
    known = gpu.server.known_hosts.read_text()
    gpu.server.stop()
    gpu.server.new_host_key()
    gpu.server.start()
    gpu.server.known_hosts.write_text(known)
    first, hint = refused(rjob, "host-key")
    assert "CHANGED" in first
    follow_hint(rjob, hint)
    first, hint = refused(rjob, "host-key")
    assert "not known" in first
    follow_hint(rjob, hint)
    rjob("get", *AT)


def test_host_keys_with_openssh(rjob: World, hosts: Hosts) -> None:
    host = hosts.add("gpu", "openssh")
    known = host.server.known_hosts.read_text()
    host.server.known_hosts.write_text("")
    refused(rjob, "host-key")
    host.server.stop()
    host.server.new_host_key()
    host.server.start()
    host.server.known_hosts.write_text(known)
    refused(rjob, "host-key")


@both
def test_nobody_listens(rjob: World, gpu: Host, hosts: Hosts) -> None:
    hosts.know("gpu", port=free_port())
    first, _ = refused(rjob, "unreachable")
    assert "refused" in first


@both
def test_no_such_name(rjob: World, gpu: Host, hosts: Hosts) -> None:
    hosts.know("gpu", hostname="no-such-host.invalid")
    first, _ = refused(rjob, "unreachable")
    assert "no-such-host.invalid" in first


@both
def test_a_host_that_never_answers(rjob: World, gpu: Host, hosts: Hosts) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=50) as silent:
        hosts.know("gpu", port=silent.getsockname()[1], connect_timeout=1)
        refused(rjob, "timeout", within=10)


@both
def test_a_server_that_is_not_ssh(rjob: World, gpu: Host, hosts: Hosts) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=50) as web:
        hosts.know("gpu", port=web.getsockname()[1], retries=0)
        client = [rjob.popen("get", *AT), rjob.popen("get", *AT, "--json")]
        ends = []
        for _ in client:
            peer, _ = web.accept()
            with peer:
                peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 100)
        ends = [one.communicate(timeout=30) for one in client]
    assert [one.returncode for one in client] == [1, 1]
    assert ends[0][1].startswith(b"rjob: gpu: ")
    assert len(ends[0][1].splitlines()) <= 2


@both
def test_a_key_that_is_not_let_in(rjob: World, gpu: Host, hosts: Hosts) -> None:
    other = rjob.root / "other-key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", other], check=True)
    hosts.know("gpu", identity_file=str(other))
    (rjob.root / "ssh_config").write_text("Host *\n    IdentitiesOnly yes\n")
    refused(rjob, "authentication")


@both
@pytest.mark.parametrize("program", ["/bin/false", "/usr/sbin/nologin"])
def test_an_account_without_a_shell(rjob: World, hosts: Hosts, transport: str, program: str) -> None:
    if not os.access(program, os.X_OK):
        pytest.skip(f"no {program} here")
    hosts.add("gpu", transport, lines=[f"ForceCommand {program}"])
    first, hint = refused(rjob, "protocol")
    assert "not available" in first or "exit status 1" in first
    assert "sh" in hint


@both
@pytest.mark.parametrize("command", ["yes garbage", "cat /dev/zero", "yes garbage >&2"])
def test_a_host_that_talks_for_ever(rjob: World, hosts: Hosts, transport: str, command: str) -> None:
    # The programs that openssh asks the host for have so long to end.
    patience = {"connect_timeout": 2, "retries": 0}
    hosts.add("gpu", transport, settings=patience, lines=[f"ForceCommand exec {command}"])
    client = rjob.popen("get", *AT)
    peak, begin = 0, time.monotonic()
    while client.poll() is None and time.monotonic() - begin < 10:
        try:
            peak = max(peak, psutil.Process(client.pid).memory_info().rss)
        except psutil.NoSuchProcess:
            break
        time.sleep(0.05)
    client.kill()
    _, err = client.communicate()
    assert client.returncode == 1, err
    assert err.startswith(b"rjob: gpu: ")
    assert peak < 120 * 1024 * 1024


@requires_root
def test_a_full_disk_there(rjob: World, hosts: Hosts) -> None:
    host = hosts.add("gpu")
    small = rjob.root / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=0700", "none", small], check=True)
    try:
        hosts.know("gpu", home=str(small))
        _fill_and_start(rjob, small)
        _, _, free = shutil.disk_usage(small)
        assert free > 0
    finally:
        host.close()
        subprocess.run(["umount", "-l", small], check=True)


def _fill_and_start(rjob: World, small: Path) -> None:
    data = os.urandom(400_000)
    done = rjob("start", *AT, "--stdin", "-", "cat", input=data, status=1)
    assert done.errors.startswith("rjob: gpu: ")
    assert "space" in done.errors
    assert rjob("get", "-q", *AT).text == ""
    ref = rjob.start(*AT, "echo", "hello")
    rjob("wait", ref)
    assert rjob("receive", ref).text == "hello\n"
    assert not list(small.glob("*/new/*"))
