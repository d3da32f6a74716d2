"""Every verb on a host, as on this machine."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hosts.host import TRANSPORTS
from world import wait_until

if TYPE_CHECKING:
    from hosts.host import Host, Hosts
    from world import World

AT = ("-H", "gpu")
both = pytest.mark.parametrize("transport", TRANSPORTS)


def state(rjob: World, ref: str) -> str:
    return str(rjob.job(ref)["state"])


@both
def test_start_get_wait_receive_remove(rjob: World, gpu: Host) -> None:
    started = rjob("start", *AT, "-n", "first", "-c", "printf 'out\\377\\0'; printf err >&2; exit 3")
    assert "1@gpu" in started.errors
    rjob("wait", "1@gpu", status=3)
    (job,) = rjob("get", "1@gpu", "--json").json["jobs"]
    assert (job["ref"], job["id"], job["name"], job["state"]) == ("1@gpu", 1, "first", "Failed")
    assert (job["exit_code"], job["machine"], job["location"]) == (3, gpu.machine, "localhost")
    assert job["has_more_data"] is True
    done = rjob("receive", "1@gpu")
    assert (done.out, done.err) == (b"out\xff\0", b"err")
    assert rjob("receive", *AT, "1").out == b""
    assert rjob.job("first@gpu")["has_more_data"] is False
    assert "1@gpu" in rjob("get", *AT).text
    rjob("remove", "1@gpu")
    assert "gpu" in rjob("get", "1@gpu", status=1).errors
    # Nothing of all that happened here.
    assert not rjob.home.exists()


@both
def test_references_can_be_given_back_as_they_are(rjob: World, gpu: Host) -> None:
    refs = [rjob.start(*AT, "-n", f"job-{number}x", "true") for number in range(2)]
    assert refs == ["1@gpu", "2@gpu"]
    rjob("wait", *refs)
    assert rjob("get", "-q", *refs).text.split() == refs
    assert rjob("get", "-q", *AT).text.split() == refs
    assert rjob("get", "-q", "1-2@gpu").text.split() == refs
    assert rjob("get", "-q", "last@gpu").text.split() == refs[1:]
    assert rjob("get", "-q", "job-*@gpu").text.split() == refs
    instance = rjob.job(refs[0])["instance_id"]
    assert rjob("get", "-q", f"{instance}@gpu").text.split() == refs[:1]
    assert rjob("get", "-q", *AT, instance[:11]).text.split() == refs[:1]
    missing = rjob("get", "-q", "1@gpu", "77@gpu", status=1)
    assert missing.text.split() == refs[:1]
    assert "77" in missing.errors


@both
def test_stop_signal_suspend_and_resume(rjob: World, gpu: Host) -> None:
    line = "trap 'echo got it' USR1; echo ready; while :; do sleep 0.05; done"
    ref = rjob.start(*AT, "-c", line)
    out = gpu.folder(ref) / "out"
    wait_until(lambda: "ready" in out.read_text(), what="the job's beginning")
    rjob("signal", ref, "USR1")
    wait_until(lambda: "got it" in out.read_text(), what="the signal")
    rjob("suspend", ref)
    assert state(rjob, ref) == "Suspended"
    rjob("resume", ref)
    assert state(rjob, ref) == "Running"
    rjob("stop", ref, "--grace", "1")
    job = rjob.job(ref)
    assert (job["state"], job["signal"]) == ("Stopped", signal.SIGTERM)
    rjob("wait", ref, status=143)
    wait_until(lambda: not gpu.processes(), what="the end of all that was started there")


@both
def test_retry_and_prune(rjob: World, gpu: Host) -> None:
    ref = rjob.start(*AT, "-e", "X=a b", "--stdin", "-", "-c", "cat; echo $X; exit 4", input=b"input ")
    rjob("wait", ref, status=4)
    again = rjob("retry", "-q", ref).text.strip()
    assert again == "2@gpu"
    rjob("wait", again, status=4)
    assert rjob("receive", again).text == "input a b\n"
    assert rjob.job(again)["retry_of"] == rjob.job(ref)["instance_id"]
    pruned = rjob("prune", *AT, "--keep", "1", "--json").json["jobs"]
    assert [job["ref"] for job in pruned] == [ref]
    assert rjob("get", "-q", "--all", *AT).text.split() == [again]


@both
def test_doctor(rjob: World, gpu: Host) -> None:
    said = rjob("doctor", "gpu").text
    assert gpu.machine in said
    assert str(gpu.rjob_home) in said
    assert not [line for line in said.splitlines() if line.startswith("problem")]


def test_rebuilding_the_registry(rjob: World, gpu: Host) -> None:
    for line in ("echo a", "exit 3", "sleep 60"):
        ref = rjob.start(*AT, "-c", line)
    rjob("wait", "1@gpu", "2@gpu", status=1)
    rjob("receive", "1@gpu")
    before = rjob("get", *AT, "--all", "--json").json["jobs"]
    (gpu.owner / "registry.jsonl").unlink()
    (gpu.owner / "next").unlink()
    for name in ("ids", "live"):
        for path in (gpu.owner / name).iterdir():
            path.unlink()
    rjob("registry", "rebuild", *AT)
    assert rjob("get", *AT, "--all", "--json").json["jobs"] == before
    assert sorted(event["event"] for event in gpu.events()) == ["end", "end", "received", "start", "start", "start"]
    assert rjob.start(*AT, "true") == f"{int(ref.partition('@')[0]) + 1}@gpu"


@both
def test_output_is_bytes(rjob: World, gpu: Host) -> None:
    data = os.urandom(2_000_000) + bytes(range(256)) + b"\0\n\0"
    other = os.urandom(700_000)
    (gpu.home / "data").write_bytes(data)
    (gpu.home / "other").write_bytes(other)
    ref = rjob.start(*AT, "-c", "cat data & cat other >&2; wait")
    rjob("wait", ref)
    kept = rjob("receive", "--keep", ref)
    assert (kept.out, kept.err) == (data, other)
    rjob("receive", ref, "-o", rjob.root / "file", "--stream", "out")
    assert (rjob.root / "file").read_bytes() == data
    assert rjob("receive", ref).err == other
    assert rjob("receive", ref)[1:] == (b"", b"")
    assert rjob("receive", "--all", ref).out == data


@both
def test_the_last_lines(rjob: World, gpu: Host) -> None:
    ref = rjob.start(*AT, "-c", "seq 100000; seq 10 >&2")
    rjob("wait", ref)
    done = rjob("receive", ref, "--tail", "2")
    assert (done.out, done.err) == (b"99999\n100000\n", b"9\n10\n")
    assert len(rjob("receive", ref).out.splitlines()) == 100_000


@both
def test_following(rjob: World, gpu: Host) -> None:
    ref = rjob.start(*AT, "-c", "echo one; sleep 0.5; echo two; echo three >&2; exit 9")
    done = rjob("receive", "-f", ref, status=9)
    assert (done.out, done.err) == (b"one\ntwo\n", b"three\n")
    assert rjob("receive", ref).out == b""
    done = rjob("start", *AT, "-f", "-c", "echo a; exit 8", status=8)
    assert done.out == b"a\n"
    rjob("start", *AT, "--wait", "no-such-command", status=127)


@both
@pytest.mark.parametrize("name", ["a name with blanks", "сборка ビルド", 'O\'Reilly "q" $x \\ %0A !'])
def test_names(rjob: World, gpu: Host, name: str) -> None:
    ref = rjob.start(*AT, "-n", name, "true")
    assert rjob.job(f"{name}@gpu")["ref"] == ref
    assert rjob("get", "-q", *AT, name).text.split() == [ref]
    assert rjob.job(ref)["name"] == name


@both
def test_arguments_arrive_exactly(rjob: World, gpu: Host) -> None:
    words = [
        "",
        " ",
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
        "~",
    ]
    code = "import json, sys; print(json.dumps(sys.argv[1:]))"
    ref = rjob.start(*AT, "--", "python3", "-c", code, *words, *(["x" * 100_000] * 3))
    rjob("wait", ref)
    assert json.loads(rjob("receive", ref).out) == words + ["x" * 100_000] * 3
    assert rjob.job(ref)["argv"][:3] == ["python3", "-c", code]


@both
def test_a_script_of_a_mebibyte_and_five_of_input(rjob: World, gpu: Host) -> None:
    script = rjob.root / "script"
    body = "#!/usr/bin/env python3\nimport hashlib, sys\n"
    body += "print(sys.argv[1:], hashlib.sha256(sys.stdin.buffer.read()).hexdigest())\n"
    script.write_text(body + "#" * 1024 * 1024)
    data = os.urandom(5 * 1024 * 1024)
    ref = rjob.start(*AT, "--stdin", "-", "--script", str(script), "a b", "-c", input=data)
    rjob("wait", ref)
    assert rjob("receive", ref).text == f"['a b', '-c'] {hashlib.sha256(data).hexdigest()}\n"
    assert (gpu.folder(ref) / "stdin").read_bytes() == data
    assert (gpu.folder(ref) / "script").read_bytes() == script.read_bytes()


@both
def test_directory_and_environment(rjob: World, gpu: Host) -> None:
    there = gpu.home / "a b 'c'"
    there.mkdir()
    code = "import os, json; print(json.dumps([os.getcwd(), dict(os.environ)]))"
    env = {"MINE": "not sent", "NAMED": "two\nlines 'and' $quotes %0A"}
    plain = rjob.start(*AT, "-e", "SET=1 2", "-e", "NAMED", "python3", "-c", code, env=env)
    placed = rjob.start(*AT, "-C", str(there), "python3", "-c", code)
    rjob("wait", plain, placed)
    where, found = json.loads(rjob("receive", plain).out)
    assert where == str(gpu.home)
    assert (found["SET"], found["NAMED"], found["HOME"]) == ("1 2", env["NAMED"], str(gpu.home))
    assert (found["RJOB_ID"], "MINE" in found) == ("1", False)
    assert json.loads(rjob("receive", placed).out)[0] == str(there)
    nowhere = rjob.start(*AT, "-C", "/no/such/folder", "true")
    rjob("wait", nowhere, status=126)
    assert "/no/such/folder" in rjob.job(nowhere)["reason"]


def _holds(path: Path, text: bytes) -> bool:
    try:
        return text in path.read_bytes()
    except OSError:
        return False


@both
def test_a_secret_is_on_no_disk_and_in_no_argument_list(rjob: World, gpu: Host) -> None:
    secret = "s3cr%t\nwith 'every'thing %0A"
    ref = rjob.start(*AT, "--secret", "TOKEN", "sh", "-c", 'sleep 1; printf %s "$TOKEN"', env={"TOKEN": secret})
    assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if _holds(path, b"s3cr%t")]
    rjob("wait", ref)
    sockets = Path(rjob.env["XDG_RUNTIME_DIR"])
    files = [path for root in (rjob.root, sockets) for path in root.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert [path.name for path in files if _holds(path, b"s3cr")] == ["out"]
    assert "s3cr" not in rjob("get", ref, "--json").text
    assert rjob("receive", ref).text == secret
    assert "TOKEN" in rjob("retry", ref, status=2).errors


@both
def test_the_profile_is_read_with_login_only(rjob: World, gpu: Host) -> None:
    (gpu.home / ".profile").write_text("PROFILE=read; export PROFILE\n")
    plain = rjob.start(*AT, "-c", "echo ${PROFILE-not}")
    login = rjob.start(*AT, "--login", "-c", "echo ${PROFILE-not}")
    words = rjob.start(*AT, "--login", "sh", "-c", "echo ${PROFILE-not} $1", "sh", "a  b")
    rjob("wait", plain, login, words)
    assert rjob("receive", plain).text == "not\n"
    assert rjob("receive", login).text == "read\n"
    assert rjob("receive", words).text == "read a b\n"


@both
def test_the_host_of_the_environment(rjob: World, gpu: Host) -> None:
    there = rjob.start("-c", "echo there", env={"RJOB_HOST": "gpu"})
    here = rjob.start("-H", ".", "-c", "echo here", env={"RJOB_HOST": "gpu"})
    assert (there, here) == ("1@gpu", "1")
    rjob("wait", there)
    rjob("wait", here)
    assert rjob("receive", "1", env={"RJOB_HOST": "gpu"}).text == "there\n"
    assert rjob("receive", "1").text == "here\n"
    assert rjob("get", "-q", *AT, "-H", ".").text.split() == ["1@gpu", "1"]
    assert rjob("get", "-q", "1@.", env={"RJOB_HOST": "gpu"}).text.split() == ["1"]


def test_a_url_in_the_place_of_a_name(rjob: World, gpu: Host, hosts: Hosts) -> None:
    hosts.know("other", gpu, transport=f"ssh://{gpu.server.user}@127.0.0.1:{gpu.server.port}")
    ref = rjob.start("-H", "other", "true")
    assert ref == "1@other"
    rjob("wait", ref)


def test_a_time_limit(rjob: World, gpu: Host) -> None:
    ref = rjob.start(*AT, "--time-limit", "1", "sleep", "60")
    rjob("wait", ref, status=143)
    job = rjob.job(ref)
    assert job["state"] == "Failed"
    assert "time limit" in job["reason"]
