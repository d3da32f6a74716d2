"""What a job is given reaches it exactly, at every place."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from promises.place import ONE_HOST
from world import Gate, wait_until

if TYPE_CHECKING:
    from promises.place import Place
    from world import World

WORDS = [
    *(
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
        "~",
    ),
    *["x" * 100_000] * 3,
]


def test_arguments_arrive_exactly(rjob: World, at: Place) -> None:
    argv = ["python3", "-c", "import json, sys; print(json.dumps(sys.argv[1:]))", *WORDS]
    job = at.run("--", *argv)
    assert job["exit_code"] == 0
    assert json.loads(rjob("receive", job["ref"]).out) == WORDS
    assert job["argv"] == argv


@pytest.mark.parametrize("place", ONE_HOST)
def test_options_end_at_the_command(at: Place) -> None:
    done = at("start", "-q", "-f", "printf", "%s\n", "-n", "all", "--wait", "-q")
    assert done.text == "-n\nall\n--wait\n-q\n"


@pytest.mark.parametrize("place", ONE_HOST)
def test_what_cannot_be_executed_is_a_failed_job(rjob: World, at: Place) -> None:
    plain = rjob.root / "plain"
    plain.write_text("no program")
    refs = [at.start(command) for command in ("no-such-command", "echo hello", str(plain))]
    refs.append(at.start("-C", "/no/such/folder", "true"))
    rjob("wait", refs[-1], status=126)
    missing, line, plain_job, nowhere = rjob("wait", *refs, "--json", status=1).json["jobs"]
    assert (missing["state"], missing["exit_code"]) == ("Failed", 127)
    assert line["exit_code"] == 127
    assert "-c" in line["reason"]
    assert plain_job["exit_code"] == 126
    assert (nowhere["state"], nowhere["exit_code"]) == ("Failed", 126)
    assert "/no/such/folder" in nowhere["reason"]


# --------------------------------------------------------------------------------------------- scripts and input


def test_a_script_of_a_mebibyte_and_five_of_input(rjob: World, at: Place) -> None:
    script = rjob.root / "script"
    body = "#!/usr/bin/env python3\nimport sys\nprint(sys.argv[1:], flush=True)\n"
    script.write_text(f"{body}sys.stdout.buffer.write(sys.stdin.buffer.read())\n" + "#" * 1024 * 1024)
    data = os.urandom(5 * 1024 * 1024)
    ref = at.run("--stdin", "-", "--script", str(script), "a b", "-c", input=data)["ref"]
    assert rjob("receive", ref).out == b"['a b', '-c']\n" + data
    assert (at.folder(ref) / "stdin").read_bytes() == data
    assert (at.folder(ref) / "script").read_bytes() == script.read_bytes()


@pytest.mark.parametrize("place", ONE_HOST)
def test_scripts_and_shells(at: Place) -> None:
    assert at("start", "-f", "--script", "-", "x", input=b"echo plain $1 $#\n").text == "plain x 1\n"
    assert at("start", "-f", "--shell", "bash", "-c", "[[ a == a ]] && echo $BASH_VERSION").text.startswith("5")
    # What the command line could read is the job's only if it is asked to pass it on.
    assert at.run("cat", input=b"not for the job")["output_bytes"]["out"] == 0


# -------------------------------------------------------------------------------------- directories and variables


@pytest.mark.parametrize("place", ONE_HOST)
def test_where_a_job_begins(rjob: World, at: Place) -> None:
    """Here a relative directory is relative to the current one, on a host to the home there."""
    begin, home = str(at.directory), str(at.home)
    for name in ("proj", "-", "proj/deep", "a b"):
        (at.directory / name).mkdir()
    (at.home / "proj").mkdir(exist_ok=True)
    expected = {
        "": begin,
        "proj": f"{begin}/proj",
        "proj/deep": f"{begin}/proj/deep",
        ".": begin,
        "~": home,
        "~/proj": f"{home}/proj",
        "-": f"{begin}/-",
        "a b": f"{begin}/a b",
        "/": "/",
        "nothing": f"cannot change to the directory {begin}/nothing",
        "~/nothing": f"cannot change to the directory {home}/nothing",
    }
    refs = [at.start(*(("-C", directory) if directory else ()), "pwd") for directory in expected]
    jobs = rjob("wait", *refs, "--json", status=1).json["jobs"]
    printed = iter(rjob("receive", *refs).text.splitlines())
    told = [(job["reason"] or next(printed)).replace("/.", "") for job in jobs]
    assert dict(zip(expected, told, strict=True)) == expected


def test_directory_and_environment(rjob: World, at: Place) -> None:
    """A job here gets the caller's directory and variables, one on a host the home there, and what was named."""
    folder = rjob.root / "a b\n'c"
    folder.mkdir()
    mine = {"MINE": "a\nb 'c' $d", "NAMED": "two\nlines 'and' $quotes %0A", "rjob_name": "x", "id": "7"}
    code = "import os, json; print(json.dumps([os.getcwd(), dict(os.environ), os.umask(0)]))"
    options = ("-q", "-f", "-e", "SET=1 2\n3", "-e", "NAMED")
    done = at("start", *options, sys.executable, "-c", code, env=mine, cwd=folder)
    where, found, umask = json.loads(done.out)
    given = {"SET": "1 2\n3", "NAMED": mine["NAMED"], "HOME": str(at.home), "RJOB_ID": "1"}
    if at.server:
        assert where == str(at.home)
        assert "MINE" not in found
    else:
        assert where == str(folder)
        given |= rjob.env | mine | {"PWD": str(folder)}
        assert set(found) - set(given) <= {"RJOB_INSTANCE", "SHLVL", "_", "OLDPWD", "LC_CTYPE"}
    assert {name: found.get(name) for name in given} == given
    os.umask(callers := os.umask(0))
    assert umask in (callers, 0o022)
    assert at("start", "-q", "-f", "-C", str(folder), "pwd").text == f"{folder}\n"


def test_the_profile_is_read_with_login_only(at: Place) -> None:
    (at.home / ".profile").write_text("PROFILE=read; export PROFILE\n")
    line = "echo ${PROFILE-not}"
    assert at("start", "-f", "-c", line).text == "not\n"
    assert at("start", "-f", "--login", "-c", line).text == "read\n"
    assert at("start", "-f", "--login", "sh", "-c", f"{line} $1", "sh", "a  b").text == "read a b\n"


# -------------------------------------------------------------------------------------------------------- secrets


def _holds(path: Path, text: bytes) -> bool:
    """Tell whether a file holds a text; what is no file, or no longer, does not."""
    try:
        return text in path.read_bytes()
    except OSError:
        return False


def test_a_secret_is_on_no_disk_and_in_no_argument_list(rjob: World, at: Place) -> None:
    secret = "s3cr%t\nwith 'every'thing %0A"
    gate = Gate(at.home / "gate")
    line = f'echo ready; {gate.line}; printf %s "$TOKEN"'
    ref = at.start("--secret", "TOKEN", "sh", "-c", line, env={"TOKEN": secret})
    at.wait_for_output(ref)
    assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if _holds(path, b"s3cr%t")]
    gate.open()
    wait_until((at.folder(ref) / "exit").exists, what="the end of the job")
    assert "s3cr" not in rjob("get", ref, "--json").text
    # The sockets of shared connections are outside the test's folder.
    roots = [rjob.root, *map(Path, filter(None, [rjob.env.get("XDG_RUNTIME_DIR")]))]
    files = [path for root in roots for path in root.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert [path for path in files if _holds(path, b"s3cr")] == [at.folder(ref) / "out"]
    assert rjob("receive", ref).text == f"ready\n{secret}"
    assert "TOKEN" in rjob("retry", ref, status=2).errors
