"""Start, get, wait, remove, retry, prune, references: as users use them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from world import World

from world import naps, requires_root, wait_until


def words(rjob: World, *args: str) -> list[str]:
    """What a command was given, as it printed it: each word on a line of JSON."""
    ref = rjob.start("--", "python3", "-c", "import json, sys; print(json.dumps(sys.argv[1:]))", *args)
    assert rjob.ended(ref)["exit_code"] == 0
    value: list[str] = json.loads(rjob("receive", ref).out)
    return value


def test_arguments_arrive_exactly(rjob: World) -> None:
    args = [
        "",
        " ",
        "a b",
        "-n",
        "--all",
        "'",
        '"',
        "$HOME",
        "`id`",
        "\n",
        "a\nb\n",
        "\\",
        "%s",
        "é漢😀",
        "*",
        "a=b",
        "!",
    ]
    assert words(rjob, *args) == args


@pytest.mark.parametrize("command", ["exit", ":", "-x", "a=b", "rj_lock", "cd"])
def test_a_command_is_never_a_builtin_or_a_function(rjob: World, command: str) -> None:
    ref = rjob.start("--", command, "3")
    job = rjob.ended(ref)
    assert (job["state"], job["exit_code"]) == ("Failed", 127)


def test_options_end_at_the_command(rjob: World) -> None:
    ref = rjob.start("printf", "%s\n", "-n", "all", "--wait", "-q")
    rjob.ended(ref)
    assert rjob("receive", ref).text == "-n\nall\n--wait\n-q\n"


def test_what_cannot_be_executed_is_a_failed_job(rjob: World) -> None:
    missing = rjob.ended(rjob.start("no-such-command"))
    assert (missing["state"], missing["exit_code"]) == ("Failed", 127)
    line = rjob.ended(rjob.start("echo hello"))
    assert line["exit_code"] == 127
    assert "-c" in line["reason"]
    plain = rjob.root / "plain"
    plain.write_text("no program")
    assert rjob.ended(rjob.start(str(plain)))["exit_code"] == 126
    nowhere = rjob.ended(rjob.start("-C", "/no/such/folder", "true"))
    assert (nowhere["state"], nowhere["exit_code"]) == ("Failed", 126)
    assert "/no/such/folder" in nowhere["reason"]


def test_the_callers_directory_and_environment(rjob: World) -> None:
    folder = rjob.root / "a b\n'c"
    folder.mkdir()
    env = {"PLAIN": "a\nb 'c' $d", "rjob_name": "x", "id": "7"}
    code = "import os, json; print(json.dumps([os.getcwd(), dict(os.environ), os.umask(0)]))"
    ref = rjob.start("-e", "ADDED=1\n2", "-e", "PLAIN", sys.executable, "-c", code, env=env, cwd=folder)
    rjob.ended(ref)
    where, there, umask = json.loads(rjob("receive", ref).out)
    assert where == str(folder)
    expected = rjob.env | env | {"ADDED": "1\n2", "PWD": str(folder)}
    assert {key: there.get(key) for key in expected} == expected
    assert set(there) - set(expected) <= {"RJOB_INSTANCE", "RJOB_ID", "SHLVL", "_", "OLDPWD", "LC_CTYPE"}
    assert umask == os.umask(umask) or umask == 0o022


def test_a_secret_is_on_no_disk_and_in_no_argument_list(rjob: World) -> None:
    secret = "s3cr%t\nwith 'every'thing %0A"
    ref = rjob.start("--secret", "TOKEN", "sh", "-c", 'sleep 1; printf %s "$TOKEN"', env={"TOKEN": secret})
    assert not any(b"s3cr" in _bytes(path) for path in Path("/proc").glob("[0-9]*/cmdline"))
    rjob.ended(ref)
    files = [path for path in rjob.home.rglob("*") if path.name != "out"]
    assert len(files) > 5
    assert not any(b"s3cr" in _bytes(path) for path in files)
    assert rjob("receive", ref).text == secret
    assert "s3cr" not in rjob("get", ref, "--json").text


def _bytes(path: Path) -> bytes:
    """A file's bytes; none of what is no file, or no longer."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_scripts(rjob: World) -> None:
    script = rjob.root / "script"
    script.write_text("#!/usr/bin/env python3\nimport sys\nprint(sys.argv[1:])\n" + "#" * 1024 * 1024)
    ref = rjob.start("--script", str(script), "a b", "-c")
    rjob.ended(ref)
    assert rjob("receive", ref).text == "['a b', '-c']\n"
    ref = rjob.start("--script", "-", "x", input=b"echo plain $1 $#\n")
    rjob.ended(ref)
    assert rjob("receive", ref).text == "plain x 1\n"
    ref = rjob.start("--shell", "bash", "-c", "[[ a == a ]] && echo $BASH_VERSION")
    rjob.ended(ref)
    assert rjob("receive", ref).text.startswith("5")


def test_standard_input(rjob: World) -> None:
    data = os.urandom(2_000_000)
    ref = rjob.start("--stdin", "-", "cat", input=data)
    rjob.ended(ref)
    assert rjob("receive", ref).out == data
    ref = rjob.start("cat", input=b"not for the job")
    assert rjob.ended(ref)["output_bytes"]["out"] == 0


def test_names_in_any_script(rjob: World) -> None:
    for name in ("сборка", "ビルド", "بناء", "naïve build", "x" * 200):
        ref = rjob.start("-n", name, "true")
        assert rjob.job(name)["ref"] == ref
    for name in ("17", "last", "a*", "a@b", "deadbeef", "a\tb", "x" * 201, ""):
        assert "name" in rjob("start", "-n", name, "true", status=2).errors


def test_references(rjob: World) -> None:
    refs = [rjob.start("-n", name, "true") for name in ("build", "Build-2", "test", "build")]
    for ref in refs:
        rjob.ended(ref)

    def ids(*args: str) -> list[str]:
        return rjob("get", "-q", *args).text.split()

    assert ids("build") == ["4"]
    assert ids("BUILD*") == ["1", "2", "4"]
    assert ids("2-3") == ["2", "3"]
    assert ids("last") == ["4"]
    rjob("get", "Job1", status=1)
    instance = rjob.job("3")["instance_id"]
    # One in fifty instance ids begins with eight decimal digits, which are a number.
    short = instance[:13] if instance[:8].isdigit() else instance[:8]
    assert ids(instance) == ids(short) == ids(instance[:13]) == ["3"]
    done = rjob("get", "-q", "3", "99", "nothing", status=1)
    assert done.text.split() == ["3"]
    assert "99" in done.errors
    assert "nothing" in done.errors


def test_a_listing_shows_the_unfinished_and_the_newest(rjob: World) -> None:
    running = rjob.shell("sleep 60")
    for _ in range(4):
        last = rjob.start("true")
    rjob.ended(last)
    wait_until(lambda: rjob("get", "--state", "completed", "-q").text.split() == ["2", "3", "4", "5"])
    done = rjob("get", "-q", env={"RJOB_CONFIG": _config(rjob, "[defaults]\nnewest = 2\n")})
    assert done.text.split() == [running, "4", "5"]
    assert "2 more" in done.errors
    assert rjob("get", "--all", "-q").text.split() == ["1", "2", "3", "4", "5"]
    assert rjob("get", "--newest", "2", "-q").text.split() == ["4", "5"]
    assert rjob("get", "--state", "Running", "-q").text.split() == ["1"]
    assert rjob("get", "--since", "1h", "-q").text.split() == ["1", "2", "3", "4", "5"]
    assert rjob("get", "--until", "1h", "-q").text.split() == []


def _config(rjob: World, text: str) -> str:
    path = rjob.root / "other.toml"
    path.write_text(text)
    return str(path)


def test_a_table_shows_no_control_characters(rjob: World) -> None:
    ref = rjob.shell("printf '\\033[31mred'; : '\x1b]0;title\x07'\n", "-n", "evil")
    rjob.ended(ref)
    done = rjob("get", "--all", env={"COLUMNS": "200"})
    assert b"\x1b" not in done.out
    assert b"\x07" not in done.out
    assert rjob("receive", ref).out == b"\x1b[31mred"


def test_waiting(rjob: World) -> None:
    slow, quick = rjob.shell("sleep 60"), rjob.shell("sleep 0.3; exit 6")
    rjob("wait", quick, status=6)
    begin = time.monotonic()
    rjob("wait", slow, "--timeout", "0", status=124)
    rjob("wait", slow, "--timeout", "0.5", status=124)
    assert time.monotonic() - begin < 5
    rjob("wait", slow, quick, "--any", status=6)
    good = rjob.start("true")
    rjob("wait", good, status=0)
    rjob("wait", good, quick, status=1)
    rjob("wait", good, "99", status=125)
    rjob("wait", quick, "nothing", status=125)
    rjob("wait", "--no-such-option", status=125)
    child = rjob.popen("wait", slow)
    wait_until(lambda: naps(child.pid), what="the runner that waits")
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=10)
    assert child.returncode == 130
    assert b"rjob" in err
    assert rjob.job(slow)["state"] == "Running"


def test_start_and_wait(rjob: World) -> None:
    rjob("start", "--wait", "-c", "exit 7", status=7)
    done = rjob("start", "-f", "-c", "echo a; echo b >&2; exit 8", status=8)
    assert done.out == b"a\n" or done.out.endswith(b"a\n")
    assert b"b\n" in done.err
    rjob("start", "--wait", "no-such-command", status=127)
    rjob("start", "--wait", "-c", "kill -9 $$", status=137)


def test_remove(rjob: World) -> None:
    ref = rjob.shell("echo x; sleep 60")
    refused = rjob("remove", ref, status=1)
    assert "--force" in refused.errors
    rjob("remove", "--force", ref)
    rjob("get", ref, status=1)
    assert not list((rjob.owner / "jobs").iterdir())
    assert not list((rjob.owner / "ids").iterdir())
    assert not list((rjob.owner / "live").iterdir())
    assert not rjob.processes()
    assert rjob.start("true") == "2"
    rjob.ended("2")
    rjob("remove", "2")
    rjob("registry", "rebuild")
    assert rjob.start("true") == "3"


def test_rebuilding_the_registry(rjob: World) -> None:
    for line in ("echo a", "exit 3", "sleep 60"):
        ref = rjob.shell(line)
    rjob.ended("1")
    rjob.ended("2")
    rjob("receive", "1")
    before = rjob("get", "--all", "--json").json["jobs"]
    (rjob.owner / "registry.jsonl").unlink()
    (rjob.owner / "next").unlink()
    for name in ("ids", "live"):
        for path in (rjob.owner / name).iterdir():
            path.unlink()
    rjob("registry", "rebuild")
    assert rjob("get", "--all", "--json").json["jobs"] == before
    assert sorted(event["event"] for event in rjob.events()) == ["end", "end", "received", "start", "start", "start"]
    assert rjob.start("true") == str(int(ref) + 1)


def test_retry(rjob: World) -> None:
    good = rjob.shell("echo good", "-n", "good")
    bad = rjob.start("-e", "X=y z", "--stdin", "-", "-n", "bad", "-c", "cat; echo $X; exit 4", input=b"input ")
    for ref in (good, bad):
        rjob.ended(ref)
    fresh = rjob("retry", "--failed", "-q", good, bad).text.split()
    assert fresh == ["3"]
    job = rjob.ended("3")
    assert (job["exit_code"], job["name"]) == (4, "bad")
    assert job["retry_of"] == rjob.job(bad)["instance_id"]
    assert rjob("receive", "3").text == "input y z\n"
    long = rjob.start("--", "printf", "%s", *["x" * 1000 for _ in range(90)])
    rjob.ended(long)
    again = rjob("retry", "-q", long).text.strip()
    rjob.ended(again)
    assert rjob("receive", again).out == b"x" * 90_000
    secret = rjob.start("--secret", "S", "sh", "-c", "echo $S", env={"S": "1"})
    rjob.ended(secret)
    assert "S" in rjob("retry", secret, status=2).errors
    other = rjob("retry", "-q", secret, "--secret", "S", env={"S": "2"}).text.strip()
    rjob.ended(other)
    assert rjob("receive", other).text == "2\n"


def test_long_commands_are_summarised_in_the_registry_and_whole_in_json(rjob: World) -> None:
    args = ["é" * 300, *(str(number) * 50 for number in range(200))]
    ref = rjob.start("--", "true", *args)
    job = rjob.ended(ref)
    assert job["argv"] == ["true", *args]
    lines = (rjob.owner / "registry.jsonl").read_bytes().splitlines()
    assert max(map(len, lines)) <= 2048


def test_prune(rjob: World) -> None:
    refs = [rjob.start("true") for _ in range(4)]
    running = rjob.shell("sleep 60")
    for ref in refs:
        rjob.ended(ref)

    def pruned(*args: str) -> list[str]:
        return [job["ref"] for job in rjob("prune", "--json", *args).json["jobs"]]

    assert pruned("--older-than", "1h") == []
    assert pruned("--keep", "1", "--dry-run") == refs[:3]
    assert pruned("--keep", "1") == refs[:3]
    assert rjob("get", "--all", "-q").text.split() == [refs[3], running]
    rjob("prune")
    assert rjob("get", "--all", "-q").text.split() == [running]


def test_hostile_files_in_the_owner(rjob: World) -> None:
    good = rjob.shell("echo good", "-n", "good")
    evil = rjob.shell("echo evil", "-n", "evil")
    for ref in (good, evil):
        rjob.ended(ref)
    registry = rjob.owner / "registry.jsonl"
    with registry.open("ab") as file:
        file.write(b'{"v":1,"event":"start","id":77,"instance":"../../../etc","name":"ghost"}\n')
        file.write(b'{"v":1,"event":"end","id":78,"instance":"00000000-0000-4000-8000-000000000000","status":0}\n')
        file.write(b'{"v":9,"event":"future","deep":[1,2]}\n')
        file.write(b"\xff\xfe not json \x1b[31m\n")
        file.write(b'{"v":1,"event":"start","id":5,"name":"' + b"x" * 10_000_000 + b'"}\n')
        file.write(b'{"v":1,"event":"sta')
    folder = rjob.folder(evil)
    aside = rjob.root / "aside"
    folder.rename(aside)
    folder.symlink_to(aside)
    done = rjob("get", "--all", "--json", status=None)
    assert [job["name"] for job in done.json["jobs"]] == ["good"]
    assert any("symbolic link" in error["message"] for error in done.json["errors"])
    assert rjob.job("good")["ref"] == good
    rjob("get", "ghost", status=1)
    rjob("remove", evil, status=1)
    assert (aside / "out").read_text() == "evil\n"
    fresh = rjob.start("true")
    rjob.ended(fresh)
    rjob("registry", "compact")
    lines = registry.read_bytes().splitlines()
    assert b'{"v":9,"event":"future","deep":[1,2]}' in lines
    assert b'{"v":1,"event":"sta' in lines
    assert sum(b'"event":"start","id":%s,' % fresh.encode() in line for line in lines) == 1


@requires_root
def test_somebody_elses_folder(rjob: World) -> None:
    rjob.home.mkdir()
    os.chown(rjob.home, 65534, 65534)
    done = rjob("start", "true", status=1)
    assert "belongs to somebody else" in done.errors
    assert "Traceback" not in done.errors
    assert not list(rjob.home.iterdir())


@requires_root
def test_a_read_only_home(rjob: World) -> None:
    rjob.home.mkdir()
    subprocess.run(["mount", "--bind", rjob.home, rjob.home], check=True)
    subprocess.run(["mount", "-o", "remount,ro,bind", rjob.home], check=True)
    try:
        done = rjob("start", "true", status=1)
        assert "cannot write" in done.errors
        assert "Traceback" not in done.errors
    finally:
        subprocess.run(["umount", rjob.home], check=True)


def test_private_by_default(rjob: World) -> None:
    ref = rjob.start("-e", "A=b", "true")
    rjob.ended(ref)
    wait_until(
        lambda: not [*rjob.owner.glob("live/*"), *rjob.owner.glob("lock*")], what="the end of the last operation"
    )
    for path in [rjob.home, *rjob.home.rglob("*")]:
        mode = path.stat().st_mode & 0o077
        assert mode == 0, path


def test_two_machines_share_a_home(rjob: World) -> None:
    here = rjob.shell("sleep 60", "-n", "here")
    there = rjob.start("-c", "exit 3", "-n", "there", env={"RJOB_MACHINE": "login2"})
    wait_until(lambda: list((rjob.home / "login2" / "jobs").glob("*/exit")), what="the end")
    jobs = {job["name"]: job for job in rjob("get", "--json").json["jobs"]}
    assert (here, there) == ("1", "1")
    assert jobs["here"]["ref"] == "1"
    # Both bear this machine's host name, which is no way to the other one.
    assert jobs["there"]["ref"] == jobs["there"]["instance_id"]
    assert (jobs["there"]["state"], jobs["there"]["machine"]) == ("Failed", "login2")
    running = rjob.start("-c", "sleep 60", env={"RJOB_MACHINE": "login2"})
    listing = {(job["machine"], job["id"]): job["state"] for job in rjob("get", "--json").json["jobs"]}
    assert listing[("login2", int(running))] == "Disconnected"
