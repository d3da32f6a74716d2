"""Owns the private SSH server that the transports' tests share, one for each worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rjob.testing.sshd import Sshd, SshdUnavailable

pytest.register_assert_rewrite("rjob.testing.conformance")

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """A server whose commands have a home of their own."""
    home = tmp_path_factory.mktemp("home")
    try:
        server = Sshd(env={"HOME": str(home)}, shell=("sh",)).start()
    except SshdUnavailable as error:
        pytest.skip(str(error))
    yield server
    server.stop()
