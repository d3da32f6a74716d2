"""Words and values of any bytes arrive unchanged, whatever a shell would make of them."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from runner.conftest import SHELLS, Host
from runner.jobs import dumper, run_all

from rjob.models import JobSpec, State

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


GATES = ("dash", "bash", "busybox")
"""Shells that must pass on any bytes."""


OTHERS = ("ksh", "mksh", "yash")
"""Shells that must pass on any ASCII text; yash refuses bytes that are no characters of its locale."""


NASTY = [
    *("", " ", "-x", "--", "-", "a=b", "exit 3", ":", "rj_lock", "'", '"', "\\", "\\\\n", "$HOME", "`id`", "$(id)"),
    *("a\nb", "\n", "\n\n", "*", "?", "[a-z]", "~", "#x", "!x", "a;b", "a&b", "{a,b}", "%s%n", "\t", "\r\n"),
    *("x'y'z", "'''", "\x01\x7f\x1b[0m", "=", "==", "'\\''", "-e", "-n", "a" * 5000),
]


ascii_words = st.text(st.characters(min_codepoint=1, max_codepoint=127), max_size=40) | st.sampled_from(NASTY)


any_words = st.one_of(
    ascii_words,
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40),
    st.binary(max_size=40).map(lambda data: os.fsdecode(data.replace(b"\0", b"\xff"))),
)


def vectors(words: st.SearchStrategy[str]) -> st.SearchStrategy[list[list[str]]]:
    return st.lists(st.lists(words, max_size=6), min_size=1, max_size=6)


def check_vectors(host: Host, argvs: Sequence[Sequence[str]]) -> None:
    program = dumper(host.root / "programs")
    jobs = run_all(host, [JobSpec(argv=(program, *argv)) for argv in argvs])
    for job, argv in zip(jobs, argvs, strict=True):
        got = host.out(job).split(b"\0")[:-1]
        assert got == [os.fsencode(word) for word in argv], host.out(job, "err")


@pytest.mark.parametrize("shell", GATES)
def test_any_bytes_arrive(shell: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    host = Host(tmp_path_factory.mktemp(shell), shell)

    @settings(max_examples=15)
    @given(vectors(any_words))
    @example([["\udcff\udcfe", "ä", "\udcc3", "日本\u2028"]])
    def check(argvs: list[list[str]]) -> None:
        check_vectors(host, argvs)

    try:
        check()
    finally:
        host.close()


@pytest.mark.parametrize("shell", OTHERS)
def test_any_ascii_text_arrives(shell: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    host = Host(tmp_path_factory.mktemp(shell), shell)

    @settings(max_examples=6)
    @given(vectors(ascii_words))
    def check(argvs: list[list[str]]) -> None:
        check_vectors(host, argvs)

    try:
        check()
    finally:
        host.close()


def test_nasty_words_arrive_one_by_one_and_together(any_host: Host) -> None:
    check_vectors(any_host, [NASTY, *([word] for word in NASTY[:30])])


def test_long_words_arrive(any_host: Host) -> None:
    check_vectors(any_host, [["x" * 100_000, "'" * 20_000, "a\n" * 30_000]])


@pytest.mark.parametrize("shell", ["ksh", "mksh"])
def test_bytes_arrive_under_ksh_too(make_host: Callable[..., Host], shell: str) -> None:
    check_vectors(make_host(shell), [["ä", "\udcff\udcfe", "日本\u2028"]])


def test_text_arrives_under_yash_in_a_locale_that_knows_it(make_host: Callable[..., Host]) -> None:
    host = make_host("yash")
    host.env["LC_ALL"] = "C.UTF-8"
    check_vectors(host, [["ä", "日本\u2028"]])


@pytest.mark.parametrize("name", ["exit 3", ":", "rj_lock", "-x", "a=b", "set", "test", "a b'c", "local", "trap", "--"])
def test_the_command_is_a_program_never_something_of_a_shell(any_host: Host, name: str) -> None:
    folder = any_host.root / "bin"
    dumper(folder, name)
    any_host.env["PATH"] = f"{any_host.env['PATH']}:{folder}"
    # If the system has a program of that name, it comes first in PATH: use the path.
    system = shutil.which(name, path=any_host.env["PATH"])
    word = name if system == str(folder / name) else str(folder / name)
    (job,) = run_all(any_host, [JobSpec(argv=(word, "1", "-x", ""))])
    assert any_host.out(job) == b"1\0-x\0\0", any_host.out(job, "err")
    assert any_host.verdict(job).state is State.COMPLETED


@pytest.mark.parametrize("shell", GATES)
def test_any_values_given_with_the_job_arrive(shell: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    host = Host(tmp_path_factory.mktemp(shell), shell)

    @settings(max_examples=12)
    @given(st.lists(any_words, min_size=1, max_size=8), st.lists(any_words, min_size=1, max_size=8))
    @example(
        ["%", "%0A", "%25", "a\nb", "ü%\n%"],
        ["%", "%0A", "%25", "%%", "\n", "a\nb\n", "ü%\n%0", "", " x ", "\\", "\\n", "\udcff"],
    )
    def check(values: list[str], secrets: list[str]) -> None:
        spec = JobSpec(
            argv=("env", "-0"),
            env=tuple((f"GIVEN_{i}", value) for i, value in enumerate(values)),
            secrets=tuple((f"SECRET_{i}", value) for i, value in enumerate(secrets)),
        )
        (job,) = run_all(host, [spec])
        got = dict(part.split(b"=", 1) for part in host.out(job).split(b"\0") if part)
        for key, value in (*spec.env, *spec.secrets):
            assert got[key.encode()] == os.fsencode(value)

    try:
        check()
    finally:
        host.close()


def test_every_shell_is_tested() -> None:
    assert {*GATES, *OTHERS} == set(SHELLS)
