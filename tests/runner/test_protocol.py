"""Requests as bytes and replies as events, in any pieces and with any output around them."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from runner.conftest import SYSTEM_PATH
from world import need

from rjob.errors import OwnerError, ProtocolError
from rjob.runner.operations import OPERATIONS
from rjob.runner.posix import RUNNER
from rjob.runner.protocol import (
    Absent,
    Bytes,
    Data,
    End,
    Event,
    Line,
    Ready,
    Reply,
    escape,
    new_marker,
    owner_error,
    request,
)
from rjob.transports.base import command_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MARKER = "0123456789abcdef0123456789abcdef"
MARK = MARKER.encode()

words = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=30)
plain_lines = words.filter(lambda text: text.split(" ")[0] not in ("error", "data", MARKER))
payloads = st.binary(max_size=200) | st.sampled_from([MARK, MARK + b" end\n", b"error x\n", b"data out 0 5\n", b"\n"])
noise = st.binary(max_size=100).filter(lambda data: MARK not in data)
tellings = st.lists(
    st.one_of(
        st.builds(Line, plain_lines),
        st.builds(lambda data, at: (Data("out", at, len(data)), data), payloads, st.integers(0, 10**12)),
        st.just(Ready()),
    ),
    max_size=12,
)


def encode(events: Sequence[object]) -> bytes:
    """Encode events as a runner prints them."""
    parts = [MARK + b" begin\n"]
    for event in events:
        if isinstance(event, Line):
            parts.append(event.text.encode() + b"\n")
        elif isinstance(event, Ready):
            parts.append(MARK + b" ready\n")
        elif isinstance(event, tuple):
            head, data = event
            parts.append(f"data {head.name} {head.offset} {head.size}\n".encode() + data)
    return b"".join(parts) + MARK + b" end\n"


def cut(data: bytes, at: Sequence[int]) -> list[bytes]:
    """Cut bytes into pieces."""
    places = sorted({place % (len(data) + 1) for place in at} | {0, len(data)})
    return [data[start:end] for start, end in zip(places, places[1:], strict=False)]


def joined(events: Sequence[Event]) -> list[Event]:
    """Join neighbouring bytes, because the protocol does not promise how they are cut."""
    result: list[Event] = []
    for event in events:
        last = result[-1] if result else None
        if isinstance(event, Bytes) and isinstance(last, Bytes):
            result[-1] = Bytes(last.data + event.data)
        else:
            result.append(event)
    return result


def expected(events: Sequence[object]) -> list[Event]:
    result: list[Event] = []
    for event in events:
        if isinstance(event, (Line, Ready)):
            result.append(event)
        elif isinstance(event, tuple):
            head, data = event
            result += [head, Bytes(data)] if data else [head]
    return [*result, End()]


cuts = st.lists(st.integers(0, 10**6), max_size=12)


@given(tellings, cuts, noise, noise, noise)
@example([Line("a")], list(range(200)), b"motd\n", b"bye", b"warning: x")
def test_a_reply_is_the_same_whatever_pieces_it_comes_in(
    events: list[object], at: list[int], before: bytes, after: bytes, errors: bytes
) -> None:
    # The newline behind the noise: the marker's line must not begin with it.
    reply = Reply(MARKER)
    got: list[Event] = []
    for piece in cut(before + b"\n" + encode(events) + after, at):
        got += reply.feed("err", errors)
        got += reply.feed("out", piece)
    assert joined(got) == expected(events)
    assert reply.ended


def test_a_beat_is_no_event() -> None:
    reply = Reply(MARKER)
    assert reply.feed("out", MARK + b" begin\n" + MARK + b" beat\n") == []
    assert reply.feed("out", b"data err 7 2\nab" + MARK + b" beat\nx\n") == [Data("err", 7, 2), Bytes(b"ab"), Line("x")]


def test_an_absent_runner_is_told() -> None:
    reply = Reply(MARKER)
    assert reply.feed("out", b"motd\n" + MARK + b" absent\n") == [Absent()]
    assert reply.ended


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("read-only /x", "read-only"),
        ("no-space /x", "no-space"),
        ("foreign /x", "foreign"),
        ("locked 5 6 7", "locked"),
        ("machine ../x", "machine"),
        ("cut the request ended early", "cut"),
        ("unknown-operation dance", "unknown-operation"),
        ("something-new it broke", "something-new"),
        ("bare", "bare"),
    ],
)
@pytest.mark.parametrize("form", ["error {}\n", MARKER + " error {}\n"])
def test_error_lines_become_owner_errors(text: str, code: str, form: str) -> None:
    reply = Reply(MARKER)
    with pytest.raises(OwnerError) as caught:
        reply.feed("out", MARK + b" begin\n" + form.format(text).encode())
    assert caught.value.code == code
    assert "{}" not in caught.value.message
    assert owner_error(text).message == caught.value.message


@pytest.mark.parametrize(
    "line",
    [
        "data out 0",
        "data out 0 x",
        "data out 0 -5",
        "data out x 5",
        "data out 0 5 5",
        "data",
        MARKER + " dance",
        "data out 0 ²",
    ],
)
def test_a_broken_reply_is_a_protocol_error(line: str) -> None:
    reply = Reply(MARKER)
    with pytest.raises(ProtocolError):
        reply.feed("out", MARK + b" begin\n" + line.encode() + b"\n")


def test_a_line_without_end_is_a_protocol_error() -> None:
    reply = Reply(MARKER)
    reply.feed("out", MARK + b" begin\n")

    def flood() -> None:
        for _ in range(20):
            reply.feed("out", b"x" * (1024 * 1024))

    with pytest.raises(ProtocolError):
        flood()


def test_noise_without_end_is_a_protocol_error_and_costs_no_memory() -> None:
    reply = Reply(MARKER)

    def flood() -> None:
        for _ in range(40):
            assert reply.feed("out", b"x" * (1024 * 1024)) == []
            assert len(reply.said) <= 2000

    with pytest.raises(ProtocolError):
        flood()


@given(st.binary(max_size=300), cuts)
def test_a_hostile_host_brings_nothing_but_our_own_errors(data: bytes, at: list[int]) -> None:
    reply = Reply(MARKER)
    try:
        for piece in cut(MARK + b" begin\n" + data.replace(b"#", MARK), at):
            reply.feed("out", piece)
            reply.feed("err", piece)
    except (OwnerError, ProtocolError):
        pass


@pytest.mark.parametrize("bad", ["a\nb", "a\0b", b"a\nb", b"\0"])
def test_a_request_refuses_what_would_be_another_line(bad: str | bytes) -> None:
    with pytest.raises(ValueError, match="newline or NUL"):
        request(MARKER, "facts", bad)
    with pytest.raises(ValueError, match="newline or NUL"):
        request(MARKER, "facts", home=os.fsdecode(bad))


def test_a_request_refuses_an_unknown_operation() -> None:
    with pytest.raises(ValueError, match="no such operation"):
        request(MARKER, "dance")


@given(st.sampled_from(sorted(OPERATIONS)), st.lists(words.filter(lambda text: "\0" not in text)), st.binary())
def test_a_request_tells_its_own_length(operation: str, lines: list[str], body: bytes) -> None:
    data = request(MARKER, operation, *lines, body=body, home="/h")
    marker, home, head, rest = data.split(b"\n", 3)
    assert marker.decode() == MARKER
    name, count, size = head.decode().split()
    assert (home, name, int(count), int(size)) == (b"/h", operation, len(lines), len(body))
    *got, tail = rest.split(b"\n", len(lines))
    assert [os.fsdecode(line) for line in got] == lines
    assert tail == b"go\n" + body


@given(st.text(st.characters(exclude_characters="\0"), max_size=60))
def test_escaped_values_stand_on_one_line_and_come_back(text: str) -> None:
    try:
        data = escape(text)
    except UnicodeEncodeError:
        return
    assert b"\n" not in data
    assert os.fsdecode(data.replace(b"%0A", b"\n").replace(b"%25", b"%")) == text


@pytest.mark.parametrize("words", [RUNNER.words(), RUNNER.installer()], ids=["bootstrap", "installer"])
def test_the_commands_are_safe_in_single_quotes_of_any_shell(words: list[str]) -> None:
    assert not set("".join(words)) & set("'!\\\n")
    assert all(word.isascii() for word in words)


def test_the_runner_is_ascii() -> None:
    # yash reads a script in the caller's locale and gives up at the first byte that is no character there.
    assert RUNNER.script.isascii()


@pytest.mark.parametrize("login", ["sh", "bash", "fish", "tcsh", "ksh", "mksh", "yash"])
def test_the_commands_survive_a_login_shell(login: str, tmp_path: Path) -> None:
    shell = need(login, SYSTEM_PATH)
    env = {"PATH": SYSTEM_PATH, "HOME": str(tmp_path), "RJOB_MACHINE": "m"}
    home = str(tmp_path / 'jobs of $USER `x` "y"')

    def ask(words: list[str], data: bytes, marker: str) -> list[Event]:
        done = subprocess.run(
            [shell, "-c", command_line(words)], input=data, env=env, capture_output=True, check=False, timeout=30
        )
        reply = Reply(marker)
        events = reply.feed("out", done.stdout)
        assert reply.ended, done
        return events

    marker = new_marker()
    facts = request(marker, "facts", "id 1", home=home)
    assert ask(RUNNER.words(), facts, marker) == [Absent()]
    assert ask(RUNNER.installer(), RUNNER.install_request(marker, home), marker) == [End()]
    told = ask(RUNNER.words(), facts, marker)
    assert Line("total 0") in told
    assert told[-1] == End()


def test_a_reply_that_lasts_may_bring_bytes_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rjob.runner.protocol._TEXT_LIMIT", 100_000)
    frame = b"data job/out 0 1\nx" + MARK + b" beat\n"
    lasting = Reply(MARKER, lasts=True)
    lasting.feed("out", MARK + b" begin\n")
    # The same frames are too much for a reply that has to end.
    ending = Reply(MARKER)
    ending.feed("out", MARK + b" begin\n")
    assert sum(len(lasting.feed("out", frame)) for _ in range(3000)) == 6000
    with pytest.raises(ProtocolError, match="does not end"):
        ending.feed("out", frame * 3000)
    # Lines, which are kept, stay limited.
    with pytest.raises(ProtocolError, match="does not end"):
        lasting.feed("out", b"a fact\n" * 3000)
