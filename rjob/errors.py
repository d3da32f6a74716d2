"""The one tree of errors that rjob raises on purpose.

::

    RjobError
    ├── UsageError            what was asked for makes no sense
    ├── ConfigError           the settings file is wrong
    ├── PluginError           a transport plugin is missing, broken or ambiguous
    ├── JobNotFound           no job answers to that reference
    ├── JobConflict           the job's state forbids what was asked (remove a running job, …)
    ├── OwnerError            the owner cannot do it (read-only home, disk full, lock held, …)
    ├── ProtocolError         the other side did not speak the runner protocol
    └── TransportError        the machine could not be talked to
        ├── ConnectFailed     no connection: refused, DNS, unreachable (may be transient)
        ├── AuthenticationFailed
        ├── HostKeyRejected
        ├── TimedOut
        └── ConnectionLost    it broke while in use: whether the operation took place is unknown

An expected error is shown as one line, ``rjob: HOST: message``, followed by its hint.  Libraries' own
exceptions are mapped to this tree at the edge that imports the library.
"""

from __future__ import annotations


def without_password(text: str) -> str:
    """Hide the passwords of URLs and of ``user:password@host`` in a text.

    Args:
        text: A message, or one word of a command line.
    """
    # str: a plugin's error may hold anything.
    if ":" not in str(text):
        return text
    import re

    # A password may hold blanks and more of what ends words elsewhere; what is no port goes, up to the last @.
    text = re.sub(r"(://[^/\s:@\[]*):(?!\d*(?:[/\s'\"]|$))[^\n]*@", r"\1:…@", text)
    # What stands in the place of a port and is none may be a password whose host was forgotten.
    text = re.sub(r"(://[^/\s:@\[]+):(?!\d*(?:[/\s'\"]|$))[^\s@'\"]+(?!\S*@)", r"\1:…", text)
    return re.sub(r"""((?:://|^|[\s'"@(])[^\s/:@'"]*):(?!//)\S*@""", r"\1:…@", text)


class RjobError(Exception):
    """Something the user can understand went wrong.

    Args:
        message: One line, no trailing full stop, without the host's name.
        hint: What to do next, one line, or None.
        host: The host it is about, as the user named it, or None.
        job: The job it is about, as the user named it, or None.
    """

    code = "error"
    """A stable word for programs (``errors[].code`` in ``--json``)."""

    def __init__(
        self, message: str, *, hint: str | None = None, host: str | None = None, job: str | None = None
    ) -> None:
        # Here, so that no message, whoever words it, repeats what somebody typed into a URL.
        super().__init__(without_password(message))
        self.message = without_password(message)
        self.hint = hint and without_password(hint)
        self.host = host
        self.job = job

    @property
    def host(self) -> str | None:
        """The host that it is about, as the user named it."""
        return self._host

    @host.setter
    def host(self, host: str | None) -> None:
        self._host = host and without_password(host)

    @property
    def job(self) -> str | None:
        """The job that it is about, as the user named it."""
        return self._job

    @job.setter
    def job(self, job: str | None) -> None:
        self._job = job and without_password(job)

    def __str__(self) -> str:
        return f"{self.host}: {self.message}" if self.host else self.message


class UsageError(RjobError):
    """What was asked for makes no sense as it stands."""

    code = "usage"


class ConfigError(RjobError):
    """The settings file or an environment variable holds something unusable."""

    code = "config"


class PluginError(RjobError):
    """A transport plugin is missing, broken, or there are two for one scheme."""

    code = "plugin"


class JobNotFound(RjobError):
    """No job answers to that reference."""

    code = "not-found"


class JobConflict(RjobError):
    """The job is in a state that forbids what was asked."""

    code = "conflict"


class OwnerError(RjobError):
    """The machine that owns the job cannot do what was asked.

    Args:
        message: See RjobError.
        reason: The runner's word for it (``read-only``, ``no-space``, …), kept as ``code``.
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
    """The machine could not be talked to."""

    code = "unreachable"
    transient = False
    """True where the same attempt may succeed a moment later."""


class ConnectFailed(TransportError):
    """There is no connection: refused, no route, unknown name.

    Args:
        message: See RjobError.
        transient: Whether another attempt may succeed (a refused port may, a wrong name may not).
    """

    code = "unreachable"

    def __init__(
        self, message: str, *, transient: bool = False, hint: str | None = None, host: str | None = None
    ) -> None:
        super().__init__(message, hint=hint, host=host)
        self.transient = transient


class AuthenticationFailed(TransportError):
    """The host did not accept who we say we are."""

    code = "authentication"


class HostKeyRejected(TransportError):
    """The host's key is unknown, or is not the one that is known."""

    code = "host-key"


class TimedOut(TransportError):
    """The host did not answer in time."""

    code = "timeout"
    transient = True


class ConnectionLost(TransportError):
    """The connection broke while in use; whether the operation took place is unknown."""

    code = "connection-lost"
    transient = True
