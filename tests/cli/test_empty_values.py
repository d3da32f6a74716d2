"""Options with an empty value, as a script's unset variable leaves them: wrong usage, and nothing is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cli.standin import StandIn

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli.standin import Ran

START = ["-C", "-n", "--stdin", "--script", "--shell", "--env-file", "-H", "-e", "--secret", "--time-limit"]
OTHERS = [
    *(("get", option) for option in ("--name", "--location", "--state", "--since", "--until", "-H")),
    *(("receive", "1", option) for option in ("-o", "--to-host-file", "-H")),
    *(("wait", "1", option) for option in ("--timeout", "-H")),
    *(("stop", "1", option) for option in ("--signal", "--grace")),
    *(("prune", option) for option in ("--older-than", "-H")),
    *((verb, "1", "-H") for verb in ("stop", "suspend", "resume", "remove", "retry")),
    ("signal", "1", "HUP", "-H"),
    ("registry", "rebuild", "-H"),
]


@pytest.mark.parametrize("words", [*(("start", option) for option in START), *OTHERS])
def test_an_empty_value(run: Callable[..., Ran], manager: StandIn, words: tuple[str, ...]) -> None:
    more = ["true"] if words[0] == "start" and words[1] != "--script" else []
    ran = run(*words, "", *more)
    assert ran.status == (125 if words[0] == "wait" else 2)
    assert ran.out == ""
    assert f"{words[-1]}" in ran.err
    assert "the value is empty" in ran.err
    assert not manager.calls


def test_one_of_several(run: Callable[..., Ran], manager: StandIn) -> None:
    assert run("get", "-H", "gpu", "-H", "").status == 2
    assert run("start", "--wait", "-C", "", "true").status == 125
    assert not manager.calls


def test_empty_words_and_lines_are_the_jobs_own(run: Callable[..., Ran], manager: StandIn) -> None:
    assert run("start", "-c", "").status == 0
    assert run("start", "echo", "", "-n", "").status == 0
    assert [args[0].argv for _, args, _ in manager.calls] == [(), ("echo", "", "-n", "")]
