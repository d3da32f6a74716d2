"""What users meet on this machine only, or on every machine alike: names, listings, tables, odd files."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from world import World

from world import wait_until


def test_a_command_is_never_a_builtin_or_a_function(rjob: World) -> None:
    commands = ["exit", ":", "-x", "a=b", "rj_lock", "cd"]
    jobs = rjob("wait", *[rjob.start("--", command, "3") for command in commands], "--json", status=1).json["jobs"]
    assert [(job["argv"], job["state"], job["exit_code"]) for job in jobs] == [
        ([command, "3"], "Failed", 127) for command in commands
    ]


def test_names_that_could_be_something_else_are_refused(rjob: World) -> None:
    for name in ("17", "last", "a*", "a@b", "deadbeef", "a\tb", "x" * 201, ""):
        assert "name" in rjob("start", "-n", name, "true", status=2).errors


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


def test_long_commands_are_summarised_in_the_registry_and_whole_in_json(rjob: World) -> None:
    args = ["é" * 300, *(str(number) * 50 for number in range(200))]
    ref = rjob.start("--", "true", *args)
    job = rjob.ended(ref)
    assert job["argv"] == ["true", *args]
    lines = (rjob.owner / "registry.jsonl").read_bytes().splitlines()
    assert max(map(len, lines)) <= 2048


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
