"""A stand-in for the job manager, and example jobs, for the tests of the command line."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from rjob.models import Job, Result, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from rjob.errors import RjobError

NOON = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


def a_job(number: int = 17, state: State = State.COMPLETED, **fields: Any) -> Job:
    """Make an unremarkable job, with these fields changed."""
    known: dict[str, Any] = {
        "name": f"Job{number}",
        "instance_id": f"{number:08x}-0000-4000-8000-000000000000",
        "ref": str(number),
        "exit_code": 0 if state is State.COMPLETED else None,
        "owner": "here",
        "machine": "abc",
        "command": "make -C src",
        "argv": ("make", "-C", "src"),
        "begin": NOON,
        "end": NOON if state.finished else None,
    }
    return Job(number, state=state, **(known | fields))


class StandIn:
    """A job manager that records each call and answers with the results that a test has set."""

    def __init__(self) -> None:
        self.result = Result((a_job(),))
        self.results: dict[str, Result | BaseException] = {}
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.local = True
        self.closed = 0

    def needs_loop(self, jobs: Any, hosts: Any) -> bool:
        return not self.local

    async def close(self) -> None:
        self.closed += 1

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        async def answer(*args: Any, **kwargs: Any) -> Any:
            self.calls.append((verb, args, kwargs))
            if verb == "run":
                # The callback reports first which jobs have started.
                args[1](self.results.get("start", self.result))
            given = self.results.get(verb, self.result)
            if isinstance(given, BaseException):
                raise given
            return given

        return answer

    def call(self, verb: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments of the only call of a verb."""
        ((_, args, kwargs),) = [known for known in self.calls if known[0] == verb]
        return args, kwargs


class Ran(NamedTuple):
    status: int
    out: str
    err: str


def failing(error: RjobError, *jobs: Job) -> Result:
    return Result(jobs, (error,))
