"""The fixture that reports the figures of the benchmarks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def tell(record_property: Callable[[str, object], None], capsys: pytest.CaptureFixture[str]) -> Callable[..., None]:
    """Provide a function that prints a figure and keeps it in the report."""

    def say(what: str, found: tuple[float, float, float], bound: str) -> None:
        line = f"{what}: {found[0]:.2f} ({found[1] * 1000:.0f} ms to {found[2] * 1000:.0f} ms), bound {bound}"
        record_property(what, found[0])
        with capsys.disabled():
            print("\n" + line)

    return say
