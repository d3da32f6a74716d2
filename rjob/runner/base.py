"""The interface of a runner: the scripts that perform the operations on one kind of machine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar

from rjob.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rjob.models import Finding, JobSpec

RUNNERS = {"posix": "rjob.runner.posix"}
"""The packages that contain a runner, as ``RUNNER``, by platform; they are imported at their first use."""


class Runner(ABC):
    """A runner: performs the operations (:data:`rjob.runner.operations.OPERATIONS`) on one kind of machine.

    It opens nothing itself: it returns the command to run there and the bytes to send.
    """

    platform: ClassVar[str]
    """The kind of machine, as in ``[hosts.NAME] runner`` and in a job's record."""

    needs: ClassVar[str]
    """What the machine must have, in words: ``a POSIX sh``."""

    life: ClassVar[float]
    """The most seconds for which one command may follow jobs; 0 for as long as its client lives."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The name of the file in which the script is cached on the machine; it contains the hash of the script."""

    @property
    @abstractmethod
    def script(self) -> bytes:
        """The content of that file."""

    @abstractmethod
    def words(self) -> list[str]:
        """Return the command that performs one request, as :meth:`rjob.transports.base.Connection.run` takes it.

        It reads the request from its standard input, and answers ``absent`` if the script is not cached.
        """

    @abstractmethod
    def installer(self) -> list[str]:
        """Return the command that reads the script (:meth:`install_request`) from standard input and caches it."""

    @abstractmethod
    def install_request(self, marker: str, home: str) -> bytes:
        """Return the bytes for :meth:`installer`'s standard input.

        Args:
            marker: The marker that frames the reply.
            home: The folder of rjob's files there; empty for the default.
        """

    @abstractmethod
    def parts(self, spec: JobSpec) -> Sequence[tuple[str, bytes]]:
        """Return the files, beside the neutral specification, that this runner needs to start a job: name and content.

        Args:
            spec: What to run.

        Raises:
            UsageError: It cannot start such a job.
        """

    @abstractmethod
    def findings(self, info: Mapping[str, str]) -> Sequence[Finding]:
        """Interpret the answers to the operation ``info``.

        Args:
            info: The answers by key.
        """


def runner_for(platform: str, host: str | None = None) -> Runner:
    """Return the runner for one kind of machine.

    Args:
        platform: The runner's platform.
        host: The host, for the message.

    Raises:
        ConfigError: This version has no runner for it.
    """
    if platform not in RUNNERS:
        raise ConfigError(f"this version of rjob has a runner for {', '.join(RUNNERS)} hosts only", host=host)
    runner: Runner = import_module(RUNNERS[platform]).RUNNER
    return runner
