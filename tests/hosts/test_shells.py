"""Hosts of all kinds: login shells, shells that are sh, homes, tools that are missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hosts.host import SYSTEM_PATH, TRANSPORTS, script, tools_without, whole_life
from world import requires_root, wait_until

if TYPE_CHECKING:
    from hosts.host import Host, Hosts
    from world import World

AT = ("-H", "gpu")
both = pytest.mark.parametrize("transport", TRANSPORTS)
NOISE = "echo noise on stdout; echo noise on stderr >&2"
CSH_NOISE = 'echo noise on stdout; sh -c "echo noise on stderr >&2"'
# No two parse a command alike; tcsh is the odd one out.
LOGIN_SHELLS = [
    ("bash", "ssh"),
    ("fish", "openssh"),
    ("tcsh", "ssh"),
    ("tcsh", "openssh"),
    ("dash", "openssh"),
    ("busybox sh", "ssh"),
]


def need(program: str) -> str:
    """The path of a program that not every machine has."""
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"no {program} here")
    return found


def isolated(rjob: World, name: str, prepare: str, *flags: str) -> str:
    """A login shell whose commands run in namespaces of their own, prepared by a shell line."""
    if subprocess.run(["unshare", *flags, "true"], check=False).returncode != 0:
        pytest.skip("needs namespaces")
    inner = f'{prepare}; exec sh "$@"'
    return script(rjob.root / name, f"exec unshare {' '.join(flags)} sh -c '{inner}' sh \"$@\"")


def make_noise(home: Path) -> None:
    """Let every shell's start-up file print."""
    (home / ".config/fish").mkdir(parents=True)
    (home / ".config/fish/config.fish").write_text(NOISE + "\n")
    for name in (".bashrc", ".bash_profile", ".profile", ".yashrc", ".mkshrc"):
        (home / name).write_text(NOISE + "\n")
    for name in (".cshrc", ".tcshrc"):
        (home / name).write_text(CSH_NOISE + "\n")


@pytest.mark.parametrize(("shell", "transport"), LOGIN_SHELLS)
def test_login_shells_that_talk(rjob: World, hosts: Hosts, shell: str, transport: str) -> None:
    words = tuple(shell.split())
    need(words[0])
    host = hosts.add("gpu", transport, shell=words)
    make_noise(host.home)
    command = ["ssh", "-F", str(host.server.ssh_config), "private", "true"]
    assert b"noise on stdout" in subprocess.run(command, check=True, capture_output=True).stdout
    whole_life(rjob, host)


@pytest.mark.parametrize("shell", [("bash",), ("fish",), ("tcsh",), ("dash",)], ids=" ".join)
def test_a_line_for_the_login_shell(rjob: World, hosts: Hosts, shell: tuple[str, ...]) -> None:
    need(shell[0])
    host = hosts.add("gpu", shell=shell)
    settings = {"tcsh": "setenv MINE yes", "fish": "status is-login; and set -x MINE yes"}
    setting = settings.get(shell[0], "export MINE=yes")
    (host.home / ".config/fish").mkdir(parents=True)
    for name in (".profile", ".login", ".config/fish/config.fish"):
        (host.home / name).write_text(setting + "\n")
    lines = {"tcsh": "echo $MINE $tcsh", "fish": "echo $MINE (status fish-path)"}
    ref = rjob.start(*AT, "--login", "-c", lines.get(shell[0], "echo $MINE $0"))
    words = rjob.start(*AT, "--login", "printenv", "MINE")
    plain = rjob.start(*AT, "-c", "echo ${MINE-not}; echo $0")
    for one in (ref, words, plain):
        rjob("wait", one)
    assert rjob("receive", ref).text.startswith("yes")
    assert rjob("receive", words).text == "yes\n"
    # A line is sh's unless something else was asked for.
    assert rjob("receive", plain).text == "not\nsh\n"


# The other shells do all of this on this machine, in e2e/test_odd_homes.py.
@pytest.mark.parametrize("program", ["busybox", "ksh", "yash"])
def test_whatever_sh_is(rjob: World, hosts: Hosts, program: str) -> None:
    folder = rjob.root / "first"
    folder.mkdir()
    (folder / "sh").symlink_to(need(program))
    # yash takes no byte above 127 without a locale that has it.
    host = hosts.add("gpu", shell=("bash",), path=f"{folder}:{SYSTEM_PATH}", env={"LANG": "C.UTF-8"})
    whole_life(rjob, host)
    ref = rjob.start(
        *AT, "--secret", "S", "--stdin", "-", "-c", 'cat; echo "$S"; kill -9 $$', input=b"in ", env={"S": "a\nb%"}
    )
    rjob("wait", ref, status=137)
    assert rjob("receive", ref).text == "in a\nb%\n"
    limited = rjob.start(*AT, "--time-limit", "1", "sleep", "60")
    rjob("wait", limited, status=143)
    rjob("registry", "rebuild", *AT)
    assert [job["state"] for job in rjob("get", *AT, "--json").json["jobs"]] == ["Failed"] * 2


def test_a_shell_that_cannot_read_the_command(rjob: World, hosts: Hosts) -> None:
    folder = rjob.root / "first"
    folder.mkdir()
    (folder / "sh").symlink_to(need("yash"))
    hosts.add("gpu", shell=("bash",), path=f"{folder}:{SYSTEM_PATH}", env={"LC_ALL": "C"})
    ref = rjob.start(*AT, "echo", "plain")
    rjob("wait", ref)
    odd = rjob.start(*AT, "echo", "é")
    assert rjob("wait", odd, status=None).status != 0
    # It is not the command that is missing.
    assert "not found" not in rjob.job(odd)["reason"]


@requires_root
def test_two_machines_with_one_home(rjob: World, hosts: Hosts) -> None:
    shared = rjob.root / "shared"
    for name in ("login1", "login2"):
        shell = isolated(rjob, f"sh-{name}", f"hostname {name}", "--uts")
        hosts.add(name, home=shared, shell=(shell,))
    names = ("login1", "login2")
    mine = [rjob.start("-H", name, "-n", f"on-{name}", "-c", "echo $RJOB_MACHINE; sleep 60") for name in names]
    assert mine == ["1@login1", "1@login2"]
    other = rjob.start("-H", "login2", "-n", "done", "-c", "exit 3")
    assert other == "2@login2"
    rjob("wait", other, status=3)
    for name in names:
        jobs = rjob("get", "-H", name, "--json").json["jobs"]
        assert sorted(job["name"] for job in jobs) == ["done", "on-login1", "on-login2"]
        assert {job["name"]: job["machine"] for job in jobs} == {
            "on-login1": "machine-login1",
            "on-login2": "machine-login2",
            "done": "machine-login2",
        }
    seen = {job["name"]: job for job in rjob("get", "-H", "login1", "--json").json["jobs"]}
    # What login1 tells of another machine's jobs names none of that machine's.
    assert {name: job["ref"] for name, job in seen.items()} == {
        "on-login1": "1@login1",
        "on-login2": f"{seen['on-login2']['instance_id']}@login1",
        "done": f"{seen['done']['instance_id']}@login1",
    }
    assert "no job" in rjob("stop", seen["on-login2"]["ref"], status=1).errors
    assert (seen["done"]["state"], seen["done"]["exit_code"]) == ("Failed", 3)
    assert (seen["on-login1"]["state"], seen["on-login2"]["state"]) == ("Running", "Disconnected")
    assert seen["on-login2"]["owner"] == "login2"
    # What is done to a number is done to this machine's.
    rjob("stop", "1@login1")
    assert rjob.job("1@login2")["state"] == "Running"
    assert rjob("receive", "1@login2").text == "machine-login2\n"
    rjob("remove", "1@login1")
    assert "no job" in rjob("get", "2@login1", status=1).errors
    rjob("registry", "rebuild", "-H", "login1")
    assert rjob.start("-H", "login1", "true") == "2@login1"
    assert rjob("prune", "-H", "login1", "--json").status == 0
    assert rjob.job(other)["exit_code"] == 3


@requires_root
def test_a_home_of_the_settings_where_the_own_one_cannot_be_written_to(rjob: World, hosts: Hosts) -> None:
    prepare = 'mount --bind "$HOME" "$HOME"; mount -o remount,ro,bind "$HOME"'
    hosts.add("gpu", shell=(isolated(rjob, "read-only", prepare, "--mount"),))
    assert "cannot write" in rjob("get", *AT, status=1).errors
    elsewhere = rjob.root / "else where"
    hosts.know("gpu", home=str(elsewhere))
    assert rjob.start(*AT, "echo", "hello") == "1@gpu"
    rjob("wait", "1@gpu")
    assert rjob("receive", "1@gpu").text == "hello\n"
    assert (elsewhere / "machine-gpu/jobs").is_dir()


@both
def test_a_home_with_an_odd_name(rjob: World, hosts: Hosts, transport: str) -> None:
    odd = rjob.root / 'a  b\'c "d" $e;f&\\g*é'
    whole_life(rjob, hosts.add("gpu", transport, home=odd))


def test_a_home_of_the_settings_below_the_hosts_own(rjob: World, hosts: Hosts) -> None:
    host = hosts.add("gpu", settings={"home": "~/my jobs"})
    ref = rjob.start(*AT, "-c", "echo hello")
    rjob("wait", ref)
    assert rjob("receive", ref).text == "hello\n"
    assert (host.home / "my jobs/machine-gpu/jobs").is_dir()
    assert not host.rjob_home.exists()


@pytest.mark.parametrize(
    ("missing", "rung"),
    [(["setsid"], "perl"), (["setsid", "perl"], "python3"), (["setsid", "perl", "python3"], None)],
    ids=["perl", "python3", "none"],
)
def test_without_setsid(rjob: World, hosts: Hosts, missing: list[str], rung: str | None) -> None:
    if rung:
        need(rung)
    host = hosts.add("gpu", path=tools_without(rjob.root / "tools", *missing))
    whole_life(rjob, host)
    said = rjob("doctor", "gpu").text
    if rung:
        assert f"through {rung}" in said
    else:
        assert "no setsid, perl or python3" in said
    # It outlives its session here, too.
    os.mkfifo(host.home / "gate")
    client = rjob.popen("start", *AT, "--wait", "-c", "echo begun; read x <gate; exit 4")
    wait_until(lambda: any(path.read_text() for path in host.owner.glob("jobs/*/out")), what="the job's beginning")
    client.kill()
    client.communicate()
    host.server.drop_connections()
    assert rjob.job("last@gpu")["state"] == "Running"
    (host.home / "gate").write_text("go\n")
    rjob("wait", "last@gpu", status=4)


@requires_root
def test_without_proc(rjob: World, hosts: Hosts) -> None:
    shell = isolated(rjob, "no-proc", "mount -t tmpfs none /proc", "--mount")
    host = hosts.add("gpu", shell=(shell,))
    ref = rjob.start(*AT, "-c", "echo out; echo err >&2; sleep 0.5; exit 7")
    done = rjob("receive", "-f", ref, status=7)
    assert (done.out, done.err) == (b"out\n", b"err\n")
    long = rjob.start(*AT, "sh", "-c", "echo ready; sleep 300 & wait")
    wait_until((host.folder(long) / "out").read_text, what="the job's beginning")
    assert rjob.job(long)["state"] == "Running"
    rjob("stop", long)
    assert rjob.job(long)["state"] == "Stopped"
    rjob("wait", ref, status=7)
    rjob("remove", ref, long)
    said = rjob("doctor", "gpu").text
    assert any("neither /proc" in text and text.startswith("note") for text in said.splitlines())


@both
def test_a_cache_that_somebody_clears(rjob: World, gpu: Host) -> None:
    os.mkfifo(gpu.home / "gate")
    ref = rjob.start(*AT, "-c", "echo hello; read x <gate; exit 3")
    limited = rjob.start(*AT, "--time-limit", "3", "sleep", "60")
    wait_until((gpu.folder(ref) / "out").read_text, what="the job's beginning")
    shutil.rmtree(gpu.rjob_home / "runner")
    (gpu.home / "gate").write_text("go\n")
    wait_until((gpu.folder(ref) / "exit").exists, what="the end of the job")
    # Now the end of the job cannot be told to the registry by itself.
    rjob("wait", ref, status=3)
    shutil.rmtree(gpu.rjob_home / "runner")
    assert rjob("receive", ref).text == "hello\n"
    rjob("wait", limited, "--timeout", "20", status=143)
    assert [job["state"] for job in rjob("get", *AT, "--json").json["jobs"]] == ["Failed", "Failed"]


@requires_root
def test_somebody_elses_runner_is_not_run(rjob: World, gpu: Host) -> None:
    ref = rjob.start(*AT, "true")
    rjob("wait", ref)
    wait_until(lambda: not gpu.processes(), what="the end of what runs the real one")
    (runner,) = (gpu.rjob_home / "runner").iterdir()
    runner.write_text(f"echo evil >{gpu.home}/evil\n")
    os.chown(runner, 65534, 65534)
    assert rjob("get", "-q", ref).text.split() == [ref]
    again = rjob.start(*AT, "true")
    rjob("wait", again)
    assert not (gpu.home / "evil").exists()
    assert runner.stat().st_uid == 0
