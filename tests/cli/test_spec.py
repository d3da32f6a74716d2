"""The job specification that ``start`` makes of its options."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from cli.standin import StandIn

from rjob.cli.spec import StartOptions, env_file, spec_of
from rjob.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cli.standin import Ran

    from rjob.models import JobSpec


@pytest.fixture
def started(run: Callable[..., Ran], manager: StandIn) -> Callable[..., JobSpec]:
    """Provide a function that returns the specification that a command line asks the manager to start."""

    def started(*words: str) -> JobSpec:
        ran = run("start", *words)
        assert ran.status == 0, ran
        (spec,), _ = manager.call("start")
        return spec  # type: ignore[no-any-return]

    return started


@pytest.mark.parametrize(
    ("words", "argv"),
    [
        (("make", "-C", "src", "-n", "all"), ("make", "-C", "src", "-n", "all")),
        (("--", "-x", "--help"), ("-x", "--help")),
        (("-q", "python", "t.py", "-c", "1"), ("python", "t.py", "-c", "1")),
        (("make", "--", "-x"), ("make", "--", "-x")),
        (("a b",), ("a b",)),
        (("echo", ""), ("echo", "")),
        (("echo", "\udcff"), ("echo", "\udcff")),
    ],
)
def test_options_end_at_the_command(
    started: Callable[..., JobSpec], words: tuple[str, ...], argv: tuple[str, ...]
) -> None:
    spec = started(*words)
    assert spec.argv == argv
    assert spec.line is None
    assert spec.name is None


def test_every_option(started: Callable[..., JobSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").write_bytes(b"\xff\n")
    (tmp_path / "env").write_text("A=1\nB=2\n")
    monkeypatch.setenv("TOKEN", "hush")
    monkeypatch.setenv("MINE", "yours")
    spec = started(
        *("-n", "build", "-C", "/srv", "-e", "B=3", "-e", "MINE", "--env-file", str(tmp_path / "env")),
        *("--secret", "TOKEN", "--stdin", str(tmp_path / "in"), "--shell", "bash", "--login"),
        *("--time-limit", "1h30m", "--merge", "-c", "make && make test"),
    )
    assert spec.line == "make && make test"
    assert spec.argv == ()
    assert (spec.name, spec.cwd, spec.shell, spec.login, spec.merge) == ("build", "/srv", "bash", True, True)
    assert spec.env == (("A", "1"), ("B", "3"), ("MINE", "yours"))
    assert spec.secrets == (("TOKEN", "hush"),)
    assert spec.stdin == b"\xff\n"
    assert spec.time_limit == 5400


def test_a_script_with_arguments(started: Callable[..., JobSpec], tmp_path: Path) -> None:
    script = tmp_path / "go.sh"
    script.write_bytes(b"#!/bin/sh\necho \xff\n")
    spec = started("--script", str(script), "a", "-v")
    assert (spec.script, spec.script_name, spec.argv) == (b"#!/bin/sh\necho \xff\n", "go.sh", ("a", "-v"))


@pytest.mark.parametrize(("given", "cwd"), [((), None), (("-C", "src"), "src")])
def test_a_directory_is_passed_on_as_it_is(
    started: Callable[..., JobSpec], given: tuple[str, ...], cwd: str | None
) -> None:
    assert started(*given, "true").cwd == cwd


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, "nothing to run"),
        ({"line": "x", "words": ("y",)}, "exclude each other"),
        ({"line": "x", "script": "y"}, "exclude each other"),
        ({"words": ("x",), "shell": "bash"}, "--shell goes with"),
        ({"script": "-", "stdin": "-"}, "cannot both"),
        ({"words": ("x",), "env": ("1A=x",)}, "not the name of a variable: '1A'"),
        ({"words": ("x",), "env": ("=x",)}, "not the name of a variable: ''"),
        ({"words": ("x",), "env": ("RJOB_UNSET_X",)}, "RJOB_UNSET_X is not set"),
        ({"words": ("x",), "secrets": ("RJOB_UNSET_X",)}, "RJOB_UNSET_X is not set"),
        ({"words": ("x",), "secrets": ("HOME",), "env": ("HOME=x",)}, "as a secret and also openly"),
        ({"words": ("x",), "time_limit": "0"}, "longer than 0"),
        ({"words": ("x",), "time_limit": "soon"}, "not a duration"),
        ({"words": ("x",), "stdin": "/no/such/file"}, "cannot read /no/such/file: No such file"),
        ({"script": "/"}, "cannot read /: Is a directory"),
    ],
)
def test_what_makes_no_sense(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        spec_of(StartOptions(**asked))


def test_a_secret_given_as_a_value_is_not_repeated() -> None:
    with pytest.raises(UsageError) as error:
        spec_of(StartOptions(words=("x",), secrets=("TOKEN=hush",)))
    assert "hush" not in str(error.value)


def test_env_file(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_bytes(
        b'# a comment\n\nA=1\nexport B=two words \nC=\'a "b" c\'\nD="it\'s"\nE=\n'
        b"  F=no  \nG='a' 'b'\nH=x#y\r\nI=\xff\n"
    )
    assert env_file(str(file)) == [
        ("A", "1"),
        ("B", "two words"),
        ("C", 'a "b" c'),
        ("D", "it's"),
        ("E", ""),
        ("F", "no"),
        ("G", "'a' 'b'"),
        ("H", "x#y"),
        ("I", os.fsdecode(b"\xff")),
    ]


@pytest.mark.parametrize("line", ["hush hush", "1A=hush", "A =hush", "=hush", "A=hush\0"])
def test_a_wrong_line_is_named_and_not_shown(tmp_path: Path, line: str) -> None:
    file = tmp_path / "env"
    file.write_text(f"A=1\n{line}\n")
    with pytest.raises(UsageError, match="line 2") as error:
        env_file(str(file))
    assert "hush" not in str(error.value)


@pytest.mark.parametrize(
    "words", [("--stop-on-exit", "true"), ("-f", "--json", "true"), ("-f", "--wait", "true"), ("-H",), ("--bogus", "x")]
)
def test_options_that_do_not_go_together(run: Callable[..., Ran], manager: StandIn, words: tuple[str, ...]) -> None:
    ran = run("start", *words)
    assert ran.status == (125 if "-f" in words else 2)
    assert not manager.calls
