"""The conformance suite, run with a private OpenSSH server."""

import tempfile
from collections.abc import Iterator

import pytest
from rjob_openssh import OpenSSHTransport

from rjob.testing.conformance import TransportTests, run
from rjob.testing.sshd import Sshd, SshdUnavailable, free_port
from rjob.transports.base import Connection, Target, Transport


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    try:
        server = Sshd(env={"HOME": str(tmp_path_factory.mktemp("home"))}, shell=("sh",)).start()
    except SshdUnavailable as error:
        pytest.skip(str(error))
    yield server
    server.stop()


class TestConformance(TransportTests):
    @pytest.fixture
    def transport(self, sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> Iterator[Transport]:
        # The control sockets of shared connections get a folder of their own; not tmp_path: their paths must be short.
        with tempfile.TemporaryDirectory(prefix="rjob-", dir="/tmp") as folder:
            monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
            yield OpenSSHTransport(Target.parse("openssh://private"), {"ssh_config": str(sshd.ssh_config)})

    @pytest.fixture
    def unreachable(self, sshd: Sshd) -> Transport:
        target = Target.parse(f"openssh://private:{free_port()}", name="gpu")
        return OpenSSHTransport(target, {"ssh_config": str(sshd.ssh_config)})

    async def test_status_of_a_signal(self, connection: Connection) -> None:
        # ssh reports any signal as 255; some login shells have turned the signal into 128+n before that.
        assert (await run(connection, ["sh", "-c", "kill -TERM $$"])).status in {143, 255}
