"""No environment, however odd, makes a traceback; what is wrong with it is named."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from world import RJOB

if TYPE_CHECKING:
    from world import Done, World

VERBS = (("get",), ("start", "-q", "true"), ("config",), ("doctor",))

ODD: dict[str, tuple[dict[str, str | None], str]] = {
    "newline": ({"RJOB_HOME": "/tmp/a\nb"}, "RJOB_HOME"),
    "another user": ({"RJOB_HOME": "~nobody-of-that-name/x"}, "RJOB_HOME"),
    "a file": ({"RJOB_HOME": "/etc/passwd"}, "/etc/passwd"),
    "below a file": ({"RJOB_HOME": "/dev/null/x"}, "/dev/null/x"),
    "too long": ({"RJOB_HOME": "/tmp/" + "a" * 5000}, "rjob: "),
    "relative home": ({"RJOB_HOME": None, "HOME": "relative"}, "HOME is not"),
    "empty home": ({"RJOB_HOME": None, "HOME": ""}, "HOME is not"),
    "home with a newline": ({"RJOB_HOME": None, "HOME": "/tmp/a\nb"}, "HOME"),
    "relative home, for settings": ({"RJOB_CONFIG": None, "HOME": "relative"}, "HOME is not"),
    "home is a file": ({"RJOB_CONFIG": None, "HOME": "/dev/null"}, "config.toml"),
    "settings: folder": ({"RJOB_CONFIG": "/tmp"}, "/tmp: Is a directory"),
    "settings: another user": ({"RJOB_CONFIG": "~nobody-of-that-name/x"}, "RJOB_CONFIG"),
    "settings: newline": ({"RJOB_CONFIG": "/tmp/a\nb"}, "no such file"),
    "settings: too long": ({"RJOB_CONFIG": "/tmp/" + "a" * 5000}, "File name too long"),
    "machine": ({"RJOB_MACHINE": "a/b"}, "machine id"),
    "machine: parent": ({"RJOB_MACHINE": ".."}, "machine id"),
    "machine: newline": ({"RJOB_MACHINE": "a\nb"}, "machine id"),
    "no programs": ({"PATH": "/nonexistent"}, "sh"),
}
"""Environments in which some verbs cannot work, and what the message names."""

HARMLESS: dict[str, dict[str, str | None]] = {
    "empty": {"RJOB_HOST": ""},
    "home": {"HOME": None},
    "locale": {"LANG": "xx_YY.latin-99", "LC_ALL": "nonsense"},
    "ascii": {"LC_ALL": "C", "PYTHONIOENCODING": "ascii:strict", "PYTHONUTF8": "0"},
    "columns": {"COLUMNS": "9" * 40},
    "more columns": {"COLUMNS": "9" * 5000},
    "negative columns": {"COLUMNS": "-7", "LINES": "x"},
    "terminal": {"TERM": None},
    "strange terminal": {"TERM": "\x1b"},
    "time zone": {"TZ": ":../../nonsense"},
    "temporary folder": {"TMPDIR": "/nonexistent"},
    "xdg": {"XDG_CONFIG_HOME": "relative", "XDG_STATE_HOME": "\n"},
}


def run(rjob: World, env: dict[str, str | None], *words: str, status: int | None = None) -> Done:
    changed = {key: value for key, value in (rjob.env | env).items() if value is not None}
    old, rjob.env = rjob.env, changed
    try:
        done = rjob(*words, status=status)
    finally:
        rjob.env = old
    assert "Traceback" not in done.errors, (env, words, done.errors)
    return done


@pytest.mark.parametrize("name", ODD)
def test_what_is_wrong_is_named(rjob: World, name: str) -> None:
    env, named = ODD[name]
    rows = [run(rjob, env, *words) for words in VERBS]
    assert all(done.status in (0, 1) for done in rows)
    failed = [done for done in rows if done.status]
    assert failed
    assert all(named in done.errors for done in failed), failed
    # Whatever is relative must not come about in the current directory.
    assert not (rjob.root / "relative").exists()


@pytest.mark.parametrize("name", HARMLESS)
def test_what_does_not_matter(rjob: World, name: str) -> None:
    for words in VERBS:
        run(rjob, HARMLESS[name], *words, status=0)


def test_bytes_that_are_no_text(rjob: World) -> None:
    home = os.fsdecode(os.fsencode(rjob.root) + b"/h\xff \xc3\xa9")
    run(rjob, {"RJOB_HOME": home}, "start", "--wait", "true", status=0)
    assert "Job1" in run(rjob, {"RJOB_HOME": home}, "get", status=0).text
    assert os.path.isdir(home)


def in_a_lost_folder(rjob: World, *words: str) -> subprocess.CompletedProcess[str]:
    gone = rjob.root / "gone"
    line = f"mkdir '{gone}' && cd '{gone}' && rmdir '{gone}' && exec \"$@\""
    done = subprocess.run(
        ["sh", "-c", line, "sh", *RJOB, *words], env=rjob.env, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_a_current_directory_that_is_gone(rjob: World) -> None:
    for words in (("true",), ("-C", "relative", "true"), ("-H", ".", "-H", "127.0.0.1:1", "true")):
        refused = in_a_lost_folder(rjob, "start", *words)
        assert refused.returncode == 2, refused
        assert "the current directory no longer exists" in refused.stderr
    assert in_a_lost_folder(rjob, "start", "-q", "-C", "/", "pwd").stdout == "1\n"
    assert in_a_lost_folder(rjob, "start", "-q", "-C", "~", "pwd").stdout == "2\n"
    assert in_a_lost_folder(rjob, "wait", "1", "2").returncode == 0
    assert in_a_lost_folder(rjob, "receive", "1", "2").stdout == f"/\n{rjob.env['HOME']}\n"
    for line in ("get", "stop 1", "retry 1", "hosts", "config", "doctor", "remove 1"):
        assert in_a_lost_folder(rjob, *line.split()).returncode == 0, line
    rjob.env["RJOB_HOME"] = "relative"
    refused = in_a_lost_folder(rjob, "get")
    assert refused.returncode == 1
    assert "RJOB_HOME is a relative path" in refused.stderr


def test_where_a_job_runs(rjob: World) -> None:
    home = rjob.env["HOME"]
    (rjob.root / "sub" / "~").mkdir(parents=True)
    os.mkdir(f"{home}/below")
    for given, there in {
        ".": "/sub",
        "..": "",
        "~": home,
        "~/below": f"{home}/below",
        "./~": "/sub/~",
        "/": "/",
    }.items():
        done = rjob("start", "-f", "-C", given, "sh", "-c", "pwd -P", cwd=rjob.root / "sub")
        expected = there if there in ("/", home) or there.startswith(home) else f"{rjob.root}{there}"
        assert os.path.realpath(done.text.strip()) == os.path.realpath(expected)
