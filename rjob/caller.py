"""The caller: the directory, environment, descriptors and terminal of the process that a command is carried out for.

A process that works for itself is its own caller (:meth:`Caller.here`). One that works for others is given theirs.
"""

import os
from collections.abc import Mapping
from typing import NamedTuple

from rjob.errors import UsageError


class Caller(NamedTuple):
    """The context of the process that a command is carried out for."""

    environ: Mapping[str, str]
    cwd: str | None
    """The current directory; None if it no longer exists."""
    out: int = 1
    """The descriptor of standard output."""
    err: int = 2
    """The descriptor of standard error."""
    terminal: str | None = None
    """The path of the terminal on which to ask questions; None if there is none."""

    @classmethod
    def here(cls) -> "Caller":
        """Build the caller that is this process itself."""
        try:
            cwd: str | None = os.getcwd()
        except OSError:
            cwd = None
        return cls(os.environ, cwd, terminal=_terminal())

    def variable(self, name: str) -> str:
        """Return the value of an environment variable.

        Args:
            name: The variable's name.

        Raises:
            UsageError: The variable is not set.
        """
        if name not in self.environ:
            raise UsageError(f"{name} is not set in this environment")
        return self.environ[name]

    def absolute(self, path: str) -> str:
        """Return the absolute path of a directory on this machine.

        Args:
            path: The path as the caller wrote it. A relative one starts in the current directory; ``~`` is the home
                directory.

        Raises:
            UsageError: The path is relative, and the current directory no longer exists.
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
        """Whether there is a terminal on which to ask questions."""
        return self.terminal is not None

    def ask(self, question: str) -> str:
        """Ask for a secret on the terminal. Blocks.

        Args:
            question: The prompt to show.

        Returns:
            The answer without its newline; empty if there was none.
        """
        import getpass

        return getpass.getpass(question)


def _terminal() -> str | None:
    """Return the path of this process's terminal; None if it cannot be opened for reading and writing."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except (OSError, AttributeError):
        return None
    return "/dev/tty"
