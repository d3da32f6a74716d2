"""The SSH library's exceptions: each becomes one of rjob's errors."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import asyncssh
import pytest
from transports.servers import settings_of

from rjob.errors import (
    ConfigError,
    RjobError,
    TransportError,
)
from rjob.transports.ssh.errors import while_connecting, while_in_use, while_starting

if TYPE_CHECKING:
    from collections.abc import Iterator


pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("home")]


def every_subclass(kind: type[BaseException]) -> Iterator[type[BaseException]]:
    yield kind
    for below in kind.__subclasses__():
        yield from every_subclass(below)


def made(kind: type[BaseException]) -> Exception:
    """Make an exception of this class, whatever arguments its constructor takes."""
    error = kind.__new__(kind)
    Exception.__init__(error, "some\nreason\x1b[31m.")
    for name, value in {"code": 2, "reason": "some reason", "lang": "en"}.items():
        setattr(error, name, value)
    assert isinstance(error, Exception)
    return error


LIBRARY = sorted(
    {
        kind
        for base in (asyncssh.Error, OSError, ValueError)
        for kind in every_subclass(base)
        if issubclass(kind, Exception)
    }
    - set(every_subclass(RjobError)),
    key=lambda kind: f"{kind.__module__}.{kind.__name__}",
)


LIBRARY = [kind for kind in LIBRARY if kind.__module__.split(".")[0] in ("asyncssh", "builtins", "socket")]


@pytest.mark.parametrize("kind", LIBRARY, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_every_exception_of_the_library_is_mapped(kind: type[BaseException], tmp_path: Path) -> None:
    settings = settings_of("ssh://g", "", tmp_path)
    for mapping in (while_connecting, while_starting, while_in_use):
        mapped = mapping(made(kind), settings)
        assert isinstance(mapped, TransportError | ConfigError)
        assert mapped.host == "gpu"
        assert re.fullmatch(r"[ -~]+", mapped.message)
        assert not mapped.message.endswith(".")
