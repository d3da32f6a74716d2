"""Who asks: the directory, the environment, the descriptors and the terminal of whoever gave the command.

A process that works for itself is its own caller (:meth:`Caller.here`).  One that works for others is given theirs.
"""

import os
from collections.abc import Mapping
from typing import NamedTuple

from rjob.errors import UsageError


class Caller(NamedTuple):
    """Whoever a command is carried out for."""

    environ: Mapping[str, str]
    cwd: str | None
    """The current directory; None if it no longer exists."""
    out: int = 1
    """The descriptor of standard output."""
    err: int = 2
    """The descriptor of standard error."""
    terminal: str | None = None
    """The terminal's path, on which questions can be asked; None if there is none."""

    @classmethod
    def here(cls) -> "Caller":
        """This process itself."""
        try:
            cwd: str | None = os.getcwd()
        except OSError:
            cwd = None
        return cls(os.environ, cwd, terminal=_terminal())

    def variable(self, name: str) -> str:
        """The value of an environment variable.

        Args:
            name: Its name.

        Raises:
            UsageError: It is not set.
        """
        if name not in self.environ:
            raise UsageError(f"{name} is not set in this environment")
        return self.environ[name]

    def absolute(self, path: str) -> str:
        """The absolute path of a directory on this machine.

        Args:
            path: As the caller wrote it; a relative one begins in the current directory, ``~`` is the home directory.

        Raises:
            UsageError: The current directory no longer exists.
        """
        if path == "~" or path.startswith("~/"):
            path = self.environ.get("HOME", os.path.expanduser("~")) + path[1:]
        if not os.path.isabs(path):
            if self.cwd is None:
                raise UsageError("the current directory no longer exists", hint="give an absolute one with -C")
            path = os.path.join(self.cwd, path)
        return path.rstrip("/") or "/"

    @property
    def can_answer(self) -> bool:
        """Whether somebody can be asked: somebody sits at the terminal."""
        return self.terminal is not None

    def ask(self, question: str) -> str:
        """Ask for something secret, on the terminal.  Blocks.

        Args:
            question: What is shown.

        Returns:
            The answer, without its newline; empty for none.
        """
        import getpass

        return getpass.getpass(question)


def _terminal() -> str | None:
    """This process's terminal, if it can be read from and written to."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except (OSError, AttributeError):
        return None
    return "/dev/tty"
