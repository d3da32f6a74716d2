"""Numbers of jobs are never used twice and always numbers, whatever became of the files that hold them."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING

import pytest
from world import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from world import World


@pytest.fixture
def three(rjob: World) -> list[str]:
    """Three jobs that ended, and whose ends were noted."""
    refs = [rjob.start("-n", f"n{number}", "true") for number in (1, 2, 3)]
    rjob("wait", *refs)
    idle(rjob)
    return refs


def idle(rjob: World) -> None:
    wait_until(lambda: not rjob.processes(), what="the end of every process")


def clear(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def check(rjob: World) -> None:
    """Every line of the registry is JSON with a sane number, and none is given twice."""
    starts = [event["id"] for event in rjob.events() if event.get("event") == "start"]
    assert len(set(starts)) == len(starts), starts
    assert all(type(number) is int and 0 < number < 10**9 for number in starts)


WRONG = {
    "stale": "2               0              \n",
    "set back to one": "1               0              \n",
    "19 digits": "9999999999999999999 0\n",
    "10 digits": "12345678901     0              \n",
    "leading zero": "010             0              \n",
    "negative": "-5              0              \n",
    "zero": "0               0              \n",
    "empty": "",
    "garbage": "$(touch x) `id` *\n",
    "binary": "\0\xff\n",
    "removed count is garbage": "4               x              \n",
    "removed count is negative": "4               -7             \n",
    "removed count is octal": "4               010            \n",
    "removed count is too large": "4               999999999      \n",
    "removed count has 19 digits": "4               9999999999999999999\n",
}


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_next(rjob: World, three: list[str], text: str) -> None:
    (rjob.owner / "next").write_bytes(text.encode("latin-1"))
    assert rjob("get", "--all", "-q").text.split() == three
    assert rjob.start("true") == "4"
    idle(rjob)
    rjob("remove", "2")
    assert rjob.start("true") == "5"
    idle(rjob)
    check(rjob)
    # How many there are was counted again, too.
    assert "2 more" in rjob("get", "-q", env={"RJOB_CONFIG": newest(rjob, 2)}).errors


def newest(rjob: World, count: int) -> str:
    path = rjob.root / "newest.toml"
    path.write_text(f"[defaults]\nnewest = {count}\n")
    return str(path)


def test_a_next_that_is_a_folder(rjob: World, three: list[str]) -> None:
    path = rjob.owner / "next"
    path.unlink()
    path.mkdir()
    assert rjob.start("true") == "4"
    idle(rjob)
    path.unlink()
    (path / "x").mkdir(parents=True)
    refused = rjob("start", "true", status=1)
    assert "is a folder" in refused.errors
    assert "Traceback" not in refused.errors
    shutil.rmtree(path)
    assert rjob.start("true") == "5"
    idle(rjob)
    check(rjob)
    assert list((rjob.owner / "new").iterdir()) == []


@pytest.mark.parametrize("lost", [(), ("compact",), ("rebuild",)], ids=["", "compacted", "rebuilt"])
@pytest.mark.parametrize("text", [None, "2               0              \n", ""], ids=["lost", "set back", "empty"])
def test_the_newest_were_removed_and_next_is_wrong(
    rjob: World, three: list[str], text: str | None, lost: tuple[str, ...]
) -> None:
    rjob("remove", *three[1:])
    if lost:
        rjob("registry", *lost)
    if text is None:
        (rjob.owner / "next").unlink()
    else:
        (rjob.owner / "next").write_text(text)
    assert rjob.start("true") == "4"
    idle(rjob)
    check(rjob)


def test_everything_was_removed_and_next_is_lost(rjob: World, three: list[str]) -> None:
    rjob("remove", *three)
    rjob("registry", "compact")
    (rjob.owner / "next").unlink()
    assert rjob.start("true") == "4"


def test_next_is_wrong_and_the_registry_s_end_is_torn_and_no_text(rjob: World, three: list[str]) -> None:
    with (rjob.owner / "registry.jsonl").open("ab") as file:
        file.write(b'\xff\xfe\0\n{"v":1,"event":"sta\xc3')
    (rjob.owner / "next").write_text(WRONG["stale"])
    shutil.rmtree(rjob.owner / "ids")
    assert rjob.start("true") == "4"
    idle(rjob)
    lines = (rjob.owner / "registry.jsonl").read_bytes().splitlines()
    assert [json.loads(line)["id"] for line in lines if line.startswith(b'{"v":1,"event":"start"')] == [1, 2, 3, 4]


def test_the_last_number(rjob: World, three: list[str]) -> None:
    (rjob.owner / "next").write_text("999999999       0              \n")
    last = rjob.start("true")
    assert last == "999999999"
    rjob.ended(last)
    idle(rjob)
    refused = rjob("start", "true", status=1)
    assert "used up" in refused.errors
    assert rjob("get", "-q", "1-999999999").text.split() == [*three, last]
    rjob("remove", last)
    check(rjob)


BAD_IDS = ["", "x\n", "-1\n", "010\n", "9999999999999999999\n", "3\n", "$(id)\n", None, "folder"]


@pytest.mark.parametrize("text", BAD_IDS)
def test_a_wrong_id_in_a_job_s_folder(rjob: World, three: list[str], text: str | None) -> None:
    path = rjob.folder("2") / "id"
    path.unlink()
    if text == "folder":
        path.mkdir()
    elif text is not None:
        path.write_text(text)
    rjob.ended(rjob.start("true"))
    idle(rjob)
    assert rjob("registry", "rebuild").status == 0
    assert path.read_text() == "2\n"
    assert rjob("get", "--all", "-q").text.split() == ["1", "2", "3", "4"]
    check(rjob)
    if text is not None:
        clear(path)
        if text == "folder":
            path.mkdir()
        else:
            path.write_text(text)
    rjob("remove", "2")
    # Nobody else is taken for it.
    assert rjob("get", "--all", "-q").text.split() == ["1", "3", "4"]
    assert [rjob.job(ref)["ref"] for ref in ("1", "3", "4")] == ["1", "3", "4"]
    assert [event["id"] for event in rjob.events() if event["event"] == "remove"] == [2]


@pytest.mark.parametrize("text", ["", "x\n", "..\n", "-\n", "/\n", None, "folder", "another"])
def test_a_wrong_entry_in_ids(rjob: World, three: list[str], text: str | None) -> None:
    path = rjob.owner / "ids" / "2"
    uuid = path.read_text().strip()
    path.unlink()
    if text == "folder":
        path.mkdir()
    elif text == "another":
        shutil.copy(rjob.owner / "ids" / "3", path)
    elif text is not None:
        path.write_text(text)
    assert rjob("get", "-q", uuid).text.split() == ["2"]
    assert rjob.start("true") == "4"
    idle(rjob)
    rjob("registry", "rebuild")
    assert path.read_text().strip() == uuid
    assert [rjob.job(ref)["ref"] for ref in ("1", "2", "3", "4")] == ["1", "2", "3", "4"]
    check(rjob)


def test_a_running_job_is_listed_though_ids_is_lost(rjob: World) -> None:
    ref = rjob.start("sleep", "600")
    shutil.rmtree(rjob.owner / "ids")
    assert rjob("get", "-q").text.split() == [ref]
    rjob("stop", rjob("get", "--json").json["jobs"][0]["instance_id"])
    rjob("registry", "rebuild")
    assert rjob.job(ref)["state"] == "Stopped"


def test_numbers_that_nobody_gave_do_not_count(rjob: World, three: list[str]) -> None:
    for name in ("9999999999999999999", "010", "5x"):
        (rjob.owner / "ids" / name).write_text("x\n")
    (rjob.owner / "next").unlink()
    assert rjob.start("true") == "4"
    idle(rjob)
    rjob("registry", "rebuild")
    assert sorted(os.listdir(rjob.owner / "ids")) == ["1", "2", "3", "4"]
