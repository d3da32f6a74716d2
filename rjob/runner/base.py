"""What a runner is: the scripts that perform the operations on one kind of machine, and how jobs are handed to them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar

from rjob.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rjob.models import Finding, JobSpec

RUNNERS = {"posix": "rjob.runner.posix"}
"""The packages that have a runner, by platform.  Each brings one as ``RUNNER``; it is imported when it is needed."""


class Runner(ABC):
    """Performs the operations (:data:`rjob.runner.operations.OPERATIONS`) on one kind of machine.

    It opens nothing itself: it says which words to run there and which bytes to send.
    """

    platform: ClassVar[str]
    """What kind of machine, as ``[hosts.NAME] runner`` and a job's record call it."""

    needs: ClassVar[str]
    """What has to be there, in words: ``a POSIX sh``."""

    life: ClassVar[float]
    """Seconds for which one command may look on at most; 0 for as long as its client."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The file's name under which the script is kept on the machine; it holds the hash of the script."""

    @property
    @abstractmethod
    def script(self) -> bytes:
        """What is kept there."""

    @abstractmethod
    def words(self) -> list[str]:
        """The command that performs one request, as :meth:`rjob.transports.base.Connection.run` takes it.

        It reads the request from its standard input, and answers ``absent`` where the script is not kept.
        """

    @abstractmethod
    def installer(self) -> list[str]:
        """The command that takes the script (:meth:`install_request`) from standard input and keeps it there."""

    @abstractmethod
    def install_request(self, marker: str, home: str) -> bytes:
        """The bytes for :meth:`installer`'s standard input.

        Args:
            marker: What frames the reply.
            home: Where rjob's files are there; empty for the default.
        """

    @abstractmethod
    def parts(self, spec: JobSpec) -> Sequence[tuple[str, bytes]]:
        """The files, beside the neutral specification, from which this runner begins a job: name and content.

        Args:
            spec: What to run.

        Raises:
            UsageError: It cannot start such a job.
        """

    @abstractmethod
    def findings(self, info: Mapping[str, str]) -> Sequence[Finding]:
        """What the answers to the operation ``info`` mean.

        Args:
            info: They, by key.
        """


def runner_for(platform: str, host: str | None = None) -> Runner:
    """The runner for one kind of machine.

    Args:
        platform: Its name.
        host: Whose, for the message.

    Raises:
        ConfigError: This version has none.
    """
    if platform not in RUNNERS:
        raise ConfigError(f"this version of rjob has a runner for {', '.join(RUNNERS)} hosts only", host=host)
    runner: Runner = import_module(RUNNERS[platform]).RUNNER
    return runner
