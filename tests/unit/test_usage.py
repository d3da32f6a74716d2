"""Arguments that the job manager refuses before it asks any host, such as a string instead of a list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rjob.caller import Caller
from rjob.config import Config
from rjob.core.manager import JobManager
from rjob.core.usage import secret_values
from rjob.errors import UsageError
from rjob.models import JobSpec

if TYPE_CHECKING:
    from collections.abc import Callable


class Nowhere:
    def write(self, *_: object) -> None: ...

    def held(self, _: str) -> int:
        return 0


SPEC = JobSpec(argv=("true",))
CALLS: dict[str, Callable[[JobManager, Any, Any], Any]] = {
    "get": lambda manager, jobs, hosts: manager.get(jobs, hosts=hosts),
    "wait": lambda manager, jobs, hosts: manager.wait(jobs, hosts=hosts),
    "receive": lambda manager, jobs, hosts: manager.receive(jobs, Nowhere(), hosts=hosts),
    "save": lambda manager, jobs, hosts: manager.save(jobs, "file", hosts=hosts),
    "stop": lambda manager, jobs, hosts: manager.stop(jobs, hosts=hosts),
    "signal": lambda manager, jobs, hosts: manager.signal(jobs, "HUP", hosts=hosts),
    "suspend": lambda manager, jobs, hosts: manager.suspend(jobs, hosts=hosts),
    "resume": lambda manager, jobs, hosts: manager.resume(jobs, hosts=hosts),
    "remove": lambda manager, jobs, hosts: manager.remove(jobs, hosts=hosts),
    "retry": lambda manager, jobs, hosts: manager.retry(jobs, hosts=hosts),
}
LISTS: dict[str, Callable[[JobManager, Any], Any]] = {
    "start": lambda manager, hosts: manager.start(SPEC, hosts=hosts),
    "prune": lambda manager, hosts: manager.prune(hosts=hosts),
    "rebuild": lambda manager, hosts: manager.rebuild(hosts=hosts),
    "compact": lambda manager, hosts: manager.compact(hosts=hosts),
}


@pytest.fixture
def manager() -> JobManager:
    return JobManager(Config(environ={}))


@pytest.mark.parametrize("bad", ["17", b"17", [17], [None]])
@pytest.mark.parametrize("verb", CALLS)
async def test_jobs_that_are_no_list(manager: JobManager, verb: str, bad: object) -> None:
    with pytest.raises(UsageError, match="jobs is not a list of strings") as raised:
        await CALLS[verb](manager, bad, ["."])
    assert raised.value.hint == 'write jobs=["17"]'


@pytest.mark.parametrize("bad", ["gpu", b"gpu", [1]])
@pytest.mark.parametrize("verb", [*CALLS, *LISTS])
async def test_hosts_that_are_no_list(manager: JobManager, verb: str, bad: object) -> None:
    with pytest.raises(UsageError, match="hosts is not a list of strings"):
        await (CALLS[verb](manager, ["17"], bad) if verb in CALLS else LISTS[verb](manager, bad))
    with pytest.raises(UsageError, match="hosts is not a list of strings"):
        manager.needs_loop(["17"], bad)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("spec", "word"),
    [
        ({"argv": "ls"}, "argv"),
        ({"argv": [1]}, "argv"),
        ({"argv": ["ls"], "env": "A=b"}, "env"),
        ({"argv": ["ls"], "env": ["A"]}, "env"),
        ({"argv": ["ls"], "env": [("A", 1)]}, "env"),
        ({"argv": ["ls"], "secrets": "TOKEN"}, "secrets"),
        ({"argv": ["ls"], "secrets": ["TOKEN"]}, "secrets"),
        ({}, "no command"),
        ({"argv": ["a\0b"]}, "NUL"),
    ],
)
async def test_specifications_that_cannot_be(manager: JobManager, spec: dict[str, Any], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        # The host does not exist: the specification must be refused before it is asked.
        await manager.start(JobSpec(**spec), hosts=["no-such-host.invalid"])


def test_values_of_secrets() -> None:
    caller = Caller({"TOKEN": "value"}, "/")
    assert secret_values(["TOKEN"], caller) == {"TOKEN": "value"}
    assert secret_values({"OTHER": "v"}, caller) == {"OTHER": "v"}
    assert secret_values((), caller) == {}
    with pytest.raises(UsageError, match="NOSUCH is not set"):
        secret_values(["NOSUCH"], caller)
    for bad in ("TOKEN", b"TOKEN", [1]):
        with pytest.raises(UsageError, match="secrets is not a list"):
            secret_values(bad, caller)  # type: ignore[arg-type]
