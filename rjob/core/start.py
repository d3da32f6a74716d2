"""Starting jobs on one owner: new ones, and retries."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rjob.core.isolation import merged
from rjob.core.owner import OwnerResult
from rjob.errors import OwnerError, RjobError
from rjob.loopless import running
from rjob.models import JobSpec
from rjob.runner.launch import launch_of, start_request

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Sequence
    from typing import Any

    from rjob.core.collect import Begun
    from rjob.core.ledger import Ledger
    from rjob.core.owner import Owner
    from rjob.models import Job, Result
    from rjob.runner.facts import Facts
    from rjob.runner.launch import Launch


class Launching:
    """The progress of a start: what it may have caused so far, and a way to give up the rest.

    Attributes:
        asked: By owner name: the instance ids that it was requested to start, noted before the request is sent.
        given_up: Whether no more owners are to be sent a request.
    """

    def __init__(self) -> None:
        self.asked: dict[str, tuple[str, ...]] = {}
        self.given_up = False
        self._connecting: set[asyncio.Task[Any]] = set()

    def give_up(self) -> None:
        """Send no more requests; owners with a request may still answer. For signal handlers."""
        self.given_up = True
        for task in self._connecting:
            task.get_loop().call_soon_threadsafe(task.cancel)

    async def connect(self, owner: Owner) -> bool:
        """Open the connection to an owner.

        Args:
            owner: The owner.

        Returns:
            Whether the request may be sent now; False if the start was given up meanwhile.
        """
        if not running():
            await owner.channel.connect()
            return not self.given_up
        import asyncio

        task = asyncio.ensure_future(owner.channel.connect())
        self._connecting.add(task)
        try:
            if self.given_up:
                task.cancel()
            await task
        except asyncio.CancelledError:
            if not self.given_up:
                raise
        finally:
            self._connecting.remove(task)
        return not self.given_up


async def start_at(owner: Owner, specs: Sequence[JobSpec], launching: Launching) -> OwnerResult:
    """Start jobs, with one request.

    Args:
        owner: The owner to run them.
        specs: What to run there (:func:`spec_at`).
        launching: The state of the whole start.

    Returns:
        The jobs, or why they did not begin; nothing if the start was given up before the request was sent.
    """

    async def work(launches: Sequence[Launch]) -> OwnerResult:
        return await launch(owner, launches)

    return await _launching(owner, specs, launching, work)


async def run_at(
    owner: Owner, specs: Sequence[JobSpec], launching: Launching, begun: Begun, ledger: Ledger | None
) -> OwnerResult:
    """Start jobs and follow them until they end: one command on the host.

    Args:
        owner: The owner to run them.
        specs: What to run there (:func:`spec_at`).
        launching: The state of the whole start.
        begun: Is called with the jobs that have begun; following starts after it returns.
        ledger: Receives the jobs' output; None if it is not wanted.

    Returns:
        The jobs as they are at the end; an error for each that did not begin, or could not be followed to its end.
    """
    from rjob.core.collect import Collector
    from rjob.core.options import Options
    from rjob.core.receive import follow_all
    from rjob.core.wait import NO_BYTES

    async def work(launches: Sequence[Launch]) -> OwnerResult:
        options = Options() if ledger else NO_BYTES
        collector = Collector(owner, Starting(owner, launches), ledger, options, begun)
        if ledger:
            return await follow_all(collector, ledger, options)
        await collector.follow(lambda: False)
        return collector.result

    return await _launching(owner, specs, launching, work)


async def _launching(
    owner: Owner,
    specs: Sequence[JobSpec],
    launching: Launching,
    work: Callable[[Sequence[Launch]], Awaitable[OwnerResult]],
) -> OwnerResult:
    """Have an owner start jobs, unless the start has been given up by then."""
    launches = [launch_of(owner.runner, spec, str(uuid.uuid4())) for spec in specs]
    if not launches or not await launching.connect(owner):
        return OwnerResult(owner)
    launching.asked[owner.name] = tuple(launch.uuid for launch in launches)
    try:
        return await work(launches)
    except OwnerError:
        # The owner refused, so there is no job.
        launching.asked.pop(owner.name, None)
        raise


class Confirmations:
    """The owners' confirmations of a start: following begins after all have confirmed or failed.

    Args:
        count: How many owners there are.
        told: Is called once, with everything that has begun.
    """

    def __init__(self, count: int, told: Callable[[Result], None]) -> None:
        self._left = count
        self._told = told
        self._parts: dict[str, OwnerResult] = {}
        self._waiting: list[asyncio.Future[None]] = []

    async def wait(self, found: OwnerResult) -> None:
        """Note what one owner has confirmed, and wait for the others.

        Args:
            found: Its jobs, and why others did not begin.
        """
        self._note(found)
        if self._left:
            import asyncio

            self._waiting.append(asyncio.get_running_loop().create_future())
            await self._waiting[-1]

    def fail(self, found: OwnerResult) -> None:
        """Note that one owner will confirm nothing; its errors are reported at the end.

        Args:
            found: The owner's result.
        """
        if found.owner.name not in self._parts:
            self._note(found._replace(jobs=(), errors=()))

    def _note(self, found: OwnerResult) -> None:
        self._parts[found.owner.name] = found
        self._left -= 1
        if not self._left:
            self._told(merged(list(self._parts.values())))
            for future in self._waiting:
                if not future.done():
                    future.set_result(None)


def listed(spec: JobSpec | Sequence[JobSpec]) -> Sequence[JobSpec]:
    """Return one specification or several as a sequence; note that a specification is a tuple itself.

    Args:
        spec: What to run.
    """
    return [spec] if isinstance(spec, JobSpec) else spec


def spec_at(owner: Owner, spec: JobSpec) -> JobSpec:
    """Complete a specification with what depends on the owner: the directory here, the shell of the settings there.

    Args:
        owner: The owner to run the job.
        spec: What to run.

    Raises:
        UsageError: The current directory no longer exists, or the runner there cannot start such a job.
    """
    if owner.shares_directory:
        spec = spec._replace(cwd=owner.caller.absolute(spec.cwd or ""))
    if spec.line is not None and spec.shell is None and not spec.login:
        spec = spec._replace(shell=owner.shell)
    owner.runner.parts(spec)
    return spec


class Starting:
    """Jobs that are being started; also a source for a collector, which then follows them.

    Args:
        owner: The owner to run them.
        launches: The jobs.
    """

    def __init__(self, owner: Owner, launches: Sequence[Launch]) -> None:
        self._owner = owner
        self._launches = launches

    def lines(self) -> tuple[list[bytes], bytes]:
        """Return the lines and the body of a ``start`` request."""
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}" if self._owner.shares_directory else None
        return start_request(self._launches, now)

    def request(self) -> tuple[Sequence[str | bytes], bytes]:
        """Return the lines and the body of a ``collect`` request that starts the jobs first."""
        lines, body = self.lines()
        return ["start", *lines], body

    async def found(self, facts: Facts) -> OwnerResult:
        """Return the jobs as they have begun, without another request; an error for each that did not begin.

        Args:
            facts: The owner's reply.
        """
        from rjob.core.jobs import begun
        from rjob.runner.values import number

        owner = self._owner
        started = {words[1] for words in facts.other if words[0] == "started" and len(words) > 1}
        numbers = {words[1]: number(words[2]) for words in facts.other if words[0] == "job" and len(words) > 2}
        jobs: list[Job] = []
        errors: list[RjobError] = []
        for launch in self._launches:
            id_ = numbers.get(launch.uuid)
            if id_ is None or launch.uuid not in started:
                message = "the job was not started" if id_ is None else f"job {id_} was registered but did not start"
                errors.append(OwnerError(message, reason="not-started", hint="see `rjob doctor`", host=owner.host))
            else:
                jobs.append(begun(facts, launch.record, id_, launch.uuid, owner.host))
        return OwnerResult(owner, tuple(jobs), tuple(errors))


async def launch(owner: Owner, launches: Sequence[Launch]) -> OwnerResult:
    """Have the runner commit and launch jobs.

    Args:
        owner: The owner to run them.
        launches: The jobs.

    Returns:
        The jobs that have begun; an error for each that has not.
    """
    starting = Starting(owner, launches)
    lines, body = starting.lines()
    return await starting.found(await owner.channel.call("start", *lines, body=body))
