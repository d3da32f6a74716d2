"""What older versions wrote is read for ever: owners of every released format, with what later ones may add."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from world import copy_owner

if TYPE_CHECKING:
    from world import World

OWNERS = Path(__file__).parent.parent / "data" / "owners"


@pytest.fixture
def v1(rjob: World) -> World:
    """An owner as 0.1.0 left it, plus a later version's fields, words, files and events."""
    copy_owner(OWNERS / "v1", rjob.owner)
    return rjob


def test_jobs_are_what_they_were(v1: World) -> None:
    jobs = {job["id"]: job for job in v1("get", "--all", "--json").json["jobs"]}
    assert {number: (job["state"], job["exit_code"], job["signal"]) for number, job in jobs.items()} == {
        1: ("Completed", 0, None),
        2: ("Failed", 3, None),
        3: ("Stopped", None, 15),
        5: ("Lost", None, None),
        6: ("Completed", 0, None),
    }
    assert (jobs[1]["name"], jobs[1]["argv"]) == ("build", ["printf", "out\\n"])
    assert "rebooted" in jobs[5]["reason"]
    assert jobs[6]["argv"] == ["printf", "%s", *map(str, range(1, 901))]
    assert (jobs[2]["has_more_data"], jobs[1]["has_more_data"]) == (False, True)
    assert jobs[1]["begin"].startswith("2026-11-23T")


def test_life_goes_on(v1: World) -> None:
    assert v1("receive", "build").out == b"out\n"
    assert v1("receive", "2").out == b""
    assert v1("receive", "--all", "2").out == b"partial\n"
    assert v1.start("true") == "7"
    again = v1("retry", "-q", "2").text.strip()
    assert v1.ended(again)["exit_code"] == 3
    v1("remove", "3")


@pytest.mark.parametrize("verb", ["compact", "rebuild"])
def test_what_is_not_understood_is_kept(v1: World, verb: str) -> None:
    registry = v1.owner / "registry.jsonl"
    v1("registry", verb)
    lines = registry.read_text().splitlines()
    assert '{"v":2,"event":"later","what":[1,{"a":null}]}' in lines
    assert any('"id":1,' in line and '"future":{"deep":[1,2]}' in line for line in lines)
    # Number 4 was removed; it is not given away again.
    assert v1.start("true") == "7"
