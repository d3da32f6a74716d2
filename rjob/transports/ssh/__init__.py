"""The ``ssh`` transport: everything about naming an SSH host that needs no SSH library.

Importing the library takes longer than a whole local verb. So all code that needs it is in the modules of this
package, which are imported when a connection is opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rjob.errors import UsageError
from rjob.hookspecs import hookimpl
from rjob.transports.base import Transport
from rjob.transports.ssh import library

if TYPE_CHECKING:
    from rjob.transports.base import Connection


class SSHTransport(Transport):
    """The transport to hosts by SSH, with the user's own ``~/.ssh/config``, keys, agent and ``known_hosts``.

    Settings: ``user``, ``port``, ``hostname``, ``identity_file``, ``known_hosts`` and ``ssh_config`` (paths),
    ``connect_timeout`` and ``keepalive`` (seconds).
    """

    scheme = "ssh"

    async def connect(self) -> Connection:
        """Open a connection, through the host's jump hosts if it has any.

        Raises:
            ConfigError: A setting or the SSH configuration is unusable, or ``identity_file`` does not exist.
            TransportError: See :meth:`Transport.connect`.
        """
        self._require_host()
        library.load()
        from rjob.transports.ssh.connection import open_connection

        return await open_connection(self.target, self.settings, self.caller)

    def notes(self) -> list[str]:
        """Return the directives of the SSH configuration that have no effect here."""
        return self.unhonoured()

    def unhonoured(self) -> list[str]:
        """List the directives of the SSH configuration that apply to this host but have no effect here.

        Returns:
            One line per directive: its name, its place, and what happens instead.

        Raises:
            ConfigError: A setting or the SSH configuration is unusable.
        """
        self._require_host()
        library.load()
        from rjob.transports.ssh.config import HostSettings

        return HostSettings.of(self.target, self.settings, self.caller).unhonoured()

    def _require_host(self) -> None:
        if not self.target.host:
            raise UsageError(f"no host in {self.target.name!r}", hint="write it as ssh://[user@]host[:port]")


@hookimpl
def rjob_transports() -> list[type[Transport]]:
    """Return the transport of this module."""
    return [SSHTransport]
