"""The conformance suite: the requirements on a transport to a POSIX machine, as a pytest class.

Subclass it, give it your transport, and run pytest with pytest-asyncio and pytest-timeout, in any ``asyncio_mode``::

    class TestMine(TransportTests):
        @pytest.fixture
        def transport(self):
            return MyTransport(Target.parse("mine://somewhere"), {})

``pytest.register_assert_rewrite("rjob.testing.conformance")`` in your ``conftest.py`` makes failures more detailed.
The machine needs ``sh``, ``cat``, ``head``, ``sleep``, ``od`` and ``wc``.
"""

# ruff: noqa: D102  (a test's name says what it tests)

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, NamedTuple

import pytest
import pytest_asyncio

from rjob.errors import TransportError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from rjob.transports.base import Connection, Process, Transport

EVERY_BYTE = bytes(range(256))
LARGE = 4 << 20

PATIENCE = 30.0
"""Seconds after which a step counts as hanging."""


class Outcome(NamedTuple):
    """The output and the exit status of a command."""

    out: bytes
    err: bytes
    status: int | None


async def drain(process: Process) -> Outcome:
    """Read a command's output to its end, and wait for its exit status.

    Args:
        process: The command, of which nothing was read yet.
    """
    parts: dict[str, list[bytes]] = {"out": [], "err": []}
    while (chunk := await process.read()) is not None:
        assert chunk.data, "read() never returns no bytes"
        parts[chunk.stream].append(chunk.data)
    return Outcome(b"".join(parts["out"]), b"".join(parts["err"]), await process.wait())


async def run(connection: Connection, argv: Sequence[str], data: bytes = b"") -> Outcome:
    """Run a command; write its standard input while reading its output.

    Args:
        connection: The connection to run it on.
        argv: The command and its arguments.
        data: Its standard input, which is closed afterwards.
    """
    process = await connection.run(argv)
    async with process:

        async def feed() -> None:
            await process.write(data)
            await process.write_eof()

        feeder = asyncio.create_task(feed())
        try:
            return await drain(process)
        finally:
            await feeder


class TransportTests:
    """The suite; a subclass has to override :meth:`transport`.

    Attributes:
        tells_signals: Whether the transport reports that a signal ended a command (128+n); otherwise it reports None.
    """

    # With this mark, and fixtures that are not coroutines, the tests run in any asyncio_mode of the plugin's author.
    pytestmark = pytest.mark.asyncio

    tells_signals = True

    @pytest.fixture
    def transport(self) -> Transport:
        """Return the transport to test, ready to connect to a POSIX machine."""
        raise NotImplementedError("override the fixture 'transport'")

    @pytest.fixture
    def unreachable(self) -> Transport | None:
        """Return a transport whose machine is unreachable; override it to test that too."""
        return None

    @pytest_asyncio.fixture
    async def connection(self, transport: Transport) -> AsyncIterator[Connection]:
        """Yield an open connection; close it afterwards."""
        connection = await transport.connect()
        async with connection:
            yield connection

    @pytest.fixture(autouse=True)
    def _no_hanging(self, request: pytest.FixtureRequest) -> None:
        request.node.add_marker(pytest.mark.timeout(4 * PATIENCE))

    async def test_every_byte_comes_back(self, connection: Connection) -> None:
        outcome = await run(connection, ["cat"], EVERY_BYTE * 10)
        assert outcome == (EVERY_BYTE * 10, b"", 0)

    async def test_every_byte_arrives(self, connection: Connection) -> None:
        outcome = await run(connection, ["od", "-An", "-v", "-tu1"], EVERY_BYTE)
        assert bytes(map(int, outcome.out.split())) == EVERY_BYTE

    async def test_streams_are_kept_apart(self, connection: Connection) -> None:
        outcome = await run(connection, ["sh", "-c", "echo one; echo two >&2; echo three; echo four >&2"])
        assert outcome == (b"one\nthree\n", b"two\nfour\n", 0)

    @pytest.mark.parametrize("status", [0, 3, 255])
    async def test_exit_status(self, connection: Connection, status: int) -> None:
        assert await run(connection, ["sh", "-c", f"exit {status}"]) == (b"", b"", status)

    async def test_status_of_a_signal(self, connection: Connection) -> None:
        status = (await run(connection, ["sh", "-c", "kill -TERM $$"])).status
        assert status == 143 or (status is None and not self.tells_signals)

    @pytest.mark.parametrize(
        "word",
        [
            "",
            "a  b",
            " x ",
            "$HOME",
            "`id`",
            "a;b",
            "a&b",
            'say "hi"',
            "*",
            "~",
            "-n",
            "#",
            "|",
            "(a)",
            "{a,b}",
            "é日",
            "%s",
            "\t",
        ],
    )
    async def test_words_arrive_as_they_are(self, connection: Connection, word: str) -> None:
        outcome = await run(connection, ["sh", "-c", 'for a do printf "<%s>" "$a"; done', "sh", word, "end"])
        assert outcome.out.decode() == f"<{word}><end>"

    async def test_a_long_word_arrives(self, connection: Connection) -> None:
        word = "x" * 60_000
        assert (await run(connection, ["sh", "-c", 'printf %s "$1" | wc -c', "sh", word])).out.strip() == b"60000"

    async def test_large_input_and_output_at_once(self, connection: Connection) -> None:
        data = EVERY_BYTE * (LARGE // 256)
        outcome = await run(connection, ["cat"], data)
        assert outcome.out == data
        assert outcome.status == 0

    async def test_large_output_of_both_streams(self, connection: Connection) -> None:
        outcome = await run(
            connection, ["sh", "-c", f"head -c {LARGE} /dev/zero >&2 & head -c {LARGE} /dev/zero; wait"]
        )
        assert (len(outcome.out), len(outcome.err), outcome.status) == (LARGE, LARGE, 0)

    async def test_a_slow_reader_loses_nothing(self, connection: Connection) -> None:
        process = await connection.run(["head", "-c", str(LARGE), "/dev/zero"])
        async with process:
            total = 0
            while (chunk := await process.read(1000)) is not None:
                total += len(chunk.data)
                await asyncio.sleep(0)
            assert total == LARGE

    async def test_output_comes_while_the_command_runs(self, connection: Connection) -> None:
        process = await connection.run(["sh", "-c", "echo first; read answer; echo $answer"])
        async with process:
            first = await process.read()
            assert first is not None
            assert first == ("out", b"first\n")
            await process.write(b"second\n")
            assert await drain(process) == (b"second\n", b"", 0)

    async def test_output_keeps_its_order(self, connection: Connection) -> None:
        outcome = await run(connection, ["sh", "-c", "i=0; while [ $i -lt 2000 ]; do echo $i; i=$((i+1)); done"])
        assert outcome.out.split() == [str(number).encode() for number in range(2000)]

    async def test_end_of_input(self, connection: Connection) -> None:
        process = await connection.run(["wc", "-c"])
        async with process:
            await process.write(b"12345")
            await process.write_eof()
            assert (await drain(process)).out.strip() == b"5"

    async def test_read_after_the_end(self, connection: Connection) -> None:
        process = await connection.run(["true"])
        async with process:
            await drain(process)
            assert await process.read() is None
            assert await process.wait() == 0

    async def test_no_terminal(self, connection: Connection) -> None:
        outcome = await run(connection, ["sh", "-c", "for fd in 0 1 2; do [ -t $fd ] && exit 1; done; exit 0"])
        assert outcome.status == 0

    async def test_several_commands_at_once(self, connection: Connection) -> None:
        # Each waits for its input, so all of them have to run at the same time.
        processes = [await connection.run(["cat"]) for _ in range(5)]
        for number, process in reversed(list(enumerate(processes))):
            await process.write(b"%d" % number)
            await process.write_eof()
        outcomes = [await drain(process) for process in processes]
        assert [outcome.out for outcome in outcomes] == [b"0", b"1", b"2", b"3", b"4"]
        for process in processes:
            await process.close()

    async def test_many_commands_one_after_another(self, connection: Connection) -> None:
        for _ in range(25):
            assert (await run(connection, ["true"])).status == 0

    async def test_writing_to_a_command_that_does_not_read(self, connection: Connection) -> None:
        process = await connection.run(["sh", "-c", "exec 0<&-; echo said; exit 3"])
        async with process:
            async with asyncio.timeout(PATIENCE):
                await process.write(b"x" * LARGE)
                await process.write_eof()
                assert await drain(process) == (b"said\n", b"", 3)
                await process.write(b"more")

    async def test_closing_early_does_not_wait(self, connection: Connection) -> None:
        process = await connection.run(["sleep", "300"])
        began = time.monotonic()
        await process.close()
        await process.close()
        assert time.monotonic() - began < PATIENCE / 3
        assert (await run(connection, ["echo", "alive"])).out == b"alive\n"

    async def test_closing_ends_the_commands_input(self, connection: Connection) -> None:
        mark = (await run(connection, ["mktemp"])).out.decode().strip()
        process = await connection.run(["sh", "-c", f"echo up; cat >/dev/null; echo ended >{mark}"])
        await process.write(b"some")
        assert await process.read() == ("out", b"up\n")
        await process.close()
        async with asyncio.timeout(PATIENCE):
            while (await run(connection, ["cat", mark])).out != b"ended\n":  # noqa: ASYNC110  (only the machine knows)
                await asyncio.sleep(0.05)
        await run(connection, ["rm", mark])

    async def test_closing_a_command_that_floods(self, connection: Connection) -> None:
        process = await connection.run(["cat", "/dev/zero"])
        assert await process.read() is not None
        async with asyncio.timeout(PATIENCE):
            await process.close()
        assert (await run(connection, ["echo", "alive"])).out == b"alive\n"

    async def test_closing_the_connection_twice(self, transport: Transport) -> None:
        connection = await transport.connect()
        process = await connection.run(["sleep", "300"])
        async with asyncio.timeout(PATIENCE):
            await connection.close()
            await connection.close()
            with contextlib.suppress(TransportError):
                await process.close()

    async def test_two_connections(self, transport: Transport) -> None:
        first, second = await transport.connect(), await transport.connect()
        await first.close()
        assert (await run(second, ["echo", "alive"])).out == b"alive\n"
        await second.close()

    async def test_an_unreachable_machine(self, unreachable: Transport | None) -> None:
        if unreachable is None:
            pytest.skip("not applicable: the suite was given no unreachable machine")
        with pytest.raises(TransportError) as raised:
            await (await unreachable.connect()).run(["true"])
        assert "\n" not in raised.value.message
        assert raised.value.host == unreachable.target.name
