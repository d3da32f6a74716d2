"""The tree of the errors that rjob raises on purpose.

::

    RjobError
      UsageError                the request makes no sense
      ConfigError               the settings file is wrong
      PluginError               a transport plugin is missing, broken or ambiguous
      JobNotFound               no job matches the reference
      JobConflict               the job's state forbids the request (remove a running job, ...)
      OwnerError                the owner cannot do it (read-only home, disk full, lock held, ...)
      ProtocolError             the other side did not speak the runner protocol
      TransportError            communication with the machine failed
        ConnectFailed           no connection: refused, DNS, unreachable (may be transient)
        AuthenticationFailed
        HostKeyRejected
        TimedOut
        ConnectionLost          the connection broke in use: whether the operation took place is unknown

An expected error is shown as one line, ``rjob: HOST: message``, followed by its hint. The exceptions of a library are
mapped to this tree in the module that imports the library.
"""

from __future__ import annotations


def without_password(text: str) -> str:
    """Hide the passwords of URLs and of ``user:password@host`` in a text.

    Args:
        text: A message, or one word of a command line.
    """
    # str: the message of a plugin's error may be any object.
    if ":" not in str(text):
        return text
    import re

    # A password may hold blanks and other word delimiters: hide everything up to the last @, unless it is a port.
    text = re.sub(r"(://[^/\s:@\[]*):(?!\d*(?:[/\s'\"]|$))[^\n]*@", r"\1:…@", text)
    # A malformed port may be a password whose host was forgotten.
    text = re.sub(r"(://[^/\s:@\[]+):(?!\d*(?:[/\s'\"]|$))[^\s@'\"]+(?!\S*@)", r"\1:…", text)
    return re.sub(r"""((?:://|^|[\s'"@(])[^\s/:@'"]*):(?!//)\S*@""", r"\1:…@", text)


class RjobError(Exception):
    """An error with a message for the user.

    Args:
        message: One line without a full stop and without the host's name.
        hint: One line that says what to do next, or None.
        host: The host concerned, as the user named it, or None.
        job: The job concerned, as the user named it, or None.
    """

    code = "error"
    """A stable word for programs (``errors[].code`` in ``--json``)."""

    def __init__(
        self, message: str, *, hint: str | None = None, host: str | None = None, job: str | None = None
    ) -> None:
        # Done here, so that no message from any source repeats a password that was typed into a URL.
        super().__init__(without_password(message))
        self.message = without_password(message)
        self.hint = hint and without_password(hint)
        self.host = host
        self.job = job

    @property
    def host(self) -> str | None:
        """The host concerned, as the user named it."""
        return self._host

    @host.setter
    def host(self, host: str | None) -> None:
        self._host = host and without_password(host)

    @property
    def job(self) -> str | None:
        """The job concerned, as the user named it."""
        return self._job

    @job.setter
    def job(self, job: str | None) -> None:
        self._job = job and without_password(job)

    def __str__(self) -> str:
        return f"{self.host}: {self.message}" if self.host else self.message


class UsageError(RjobError):
    """The request makes no sense as it stands."""

    code = "usage"


class ConfigError(RjobError):
    """The settings file or an environment variable holds an unusable value."""

    code = "config"


class PluginError(RjobError):
    """A transport plugin is missing or broken, or two plugins serve one scheme."""

    code = "plugin"


class JobNotFound(RjobError):
    """No job matches the reference."""

    code = "not-found"


class JobConflict(RjobError):
    """The job's state forbids the request."""

    code = "conflict"


class OwnerError(RjobError):
    """The owner cannot do what was requested.

    Args:
        message: See RjobError.
        reason: The runner's word for the cause (``read-only``, ``no-space``, ...), kept as ``code``.
    """

    code = "owner"

    def __init__(
        self,
        message: str,
        *,
        reason: str = "owner",
        hint: str | None = None,
        host: str | None = None,
        job: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint, host=host, job=job)
        self.code = reason


class ProtocolError(RjobError):
    """The other side did not answer in the runner protocol."""

    code = "protocol"


class TransportError(RjobError):
    """Communication with the machine failed."""

    code = "unreachable"
    transient = False
    """Whether the same attempt may succeed a moment later."""


class ConnectFailed(TransportError):
    """No connection could be made: refused, no route, unknown name.

    Args:
        message: See RjobError.
        transient: Whether another attempt may succeed (a refused port may be open later, a wrong name stays wrong).
    """

    code = "unreachable"

    def __init__(
        self, message: str, *, transient: bool = False, hint: str | None = None, host: str | None = None
    ) -> None:
        super().__init__(message, hint=hint, host=host)
        self.transient = transient


class AuthenticationFailed(TransportError):
    """The host did not accept the user's credentials."""

    code = "authentication"


class HostKeyRejected(TransportError):
    """The host's key is unknown, or differs from the known one."""

    code = "host-key"


class TimedOut(TransportError):
    """The host did not answer in time."""

    code = "timeout"
    transient = True


class ConnectionLost(TransportError):
    """The connection broke while in use; whether the operation took place is unknown."""

    code = "connection-lost"
    transient = True
