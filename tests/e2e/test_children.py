"""Jobs with children, as the real command shows them.  Nothing makes them yet: an owner's folder brings them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import pytest
from world import copy_owner

if TYPE_CHECKING:
    from world import World

PARENTS = Path(__file__).parent.parent / "data" / "owners" / "parents"
SCHEMA = Path(__file__).parents[2] / "docs" / "reference" / "json-schema.json"


@pytest.fixture
def parents(rjob: World) -> World:
    """An owner with two parents of three children each, 17 and 18, and an ordinary job, 19."""
    copy_owner(PARENTS, rjob.owner)
    return rjob


def test_json_shows_children_as_jobs(parents: World) -> None:
    document = parents("get", "--all", "--json").json
    jsonschema.validate(document, json.loads(SCHEMA.read_text(encoding="utf-8")))
    suite, failed, plain = document["jobs"]
    assert plain["children"] == []
    assert (suite["state"], suite["type"], suite["location"]) == ("Running", "RemoteJob", "web[1-2],ada@web3:2222")
    assert suite["reason"] == "1/3 completed, 1 running, 1 disconnected: ada@web3:2222"
    assert (suite["output_bytes"], suite["received_bytes"]) == ({"out": 12, "err": 3}, {"out": 5, "err": 0})
    assert [(child["id"], child["ref"], child["name"], child["state"]) for child in suite["children"]] == [
        (1, "17.1", "Job17.1", "Completed"),
        (2, "17.2", "Job17.2", "Running"),
        (3, "17.3", "Job17.3", "Disconnected"),
    ]
    assert [child["location"] for child in suite["children"]] == ["web1", "web2", "ada@web3:2222"]
    assert [child["instance_id"][:8] for child in suite["children"]] == ["00001701", "00001702", "00001703"]
    assert [child["has_more_data"] for child in suite["children"]] == [False, True, True]
    assert suite["has_more_data"]
    one = suite["children"][0]
    assert (one["exit_code"], one["begin"], one["end"]) == (0, "2026-11-24T10:00:01Z", "2026-11-24T10:00:04Z")
    assert (one["type"], one["argv"], one["machine"], one["children"]) == (
        "RemoteJob",
        ["make", "test"],
        "test-machine",
        [],
    )
    assert (failed["state"], failed["end"]) == ("Failed", "2026-11-24T10:00:09Z")
    assert [(child["state"], child["reason"]) for child in failed["children"]] == [
        ("Completed", None),
        ("Failed", "exit status 3"),
        ("Failed", "web3 refused the key"),
    ]


@pytest.mark.parametrize(
    ("words", "refs"),
    [
        (["17.3"], ["17.3"]),
        (["17.web2"], ["17.2"]),
        (["17.WEB2"], ["17.2"]),
        (["18.3", "17.web1", "18.web3", "17", "19"], ["18.3", "17.1", "17", "19"]),
        (["17.2@."], ["17.2"]),
    ],
)
def test_references(parents: World, words: list[str], refs: list[str]) -> None:
    assert sorted(parents("get", "-q", *words).text.split()) == sorted(refs)
    assert [job["ref"] for job in parents("get", "--json", *refs).json["jobs"]] == refs


def test_a_child_in_a_table(parents: World) -> None:
    shown = parents("get", "17.3").text
    assert "17.3  Job17.3  Disconnected" in shown
    assert shown.endswith("Reason: its host is unreachable since 2026-11-24T10:00:05Z: no route to host\n")


@pytest.mark.parametrize("word", ["17.4", "17.0", "17.web9", "17.web*", "19.1", "99.1"])
def test_children_that_are_not_there(parents: World, word: str) -> None:
    done = parents("get", word, "19", status=1)
    assert f"no child {word}" in done.errors
    assert "`rjob get --json " in done.errors
    assert "echo 19" in done.text


@pytest.mark.parametrize(
    "words",
    [
        ["stop"],
        ["signal", "17.1", "TERM"],
        ["suspend"],
        ["resume"],
        ["remove", "--force"],
        ["retry"],
        ["receive"],
        ["receive", "-f"],
        ["receive", "--to-host-file", "x"],
        ["wait"],
    ],
    ids=" ".join,
)
def test_other_verbs_refuse_a_child_and_leave_its_parent_alone(parents: World, words: list[str]) -> None:
    before = {path: path.read_bytes() for path in parents.owner.rglob("*") if path.is_file()}
    words = words if "17.1" in words else [*words, "17.1"]
    done = parents(*words, status=125 if words[0] == "wait" or "-f" in words else 2)
    assert done.errors == "rjob: 17.1 is a child: so far only `rjob get` takes one\n"
    assert done.out == b""
    assert {path: path.read_bytes() for path in parents.owner.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("words", [["stop"], ["suspend"], ["remove", "--force"], ["retry"]], ids=" ".join)
def test_what_would_signal_or_repeat_a_parent_is_refused(parents: World, words: list[str]) -> None:
    done = parents(*words, "17", "18", status=1)
    for number in (17, 18):
        assert f"job {number} runs on other hosts: so far it can only be looked at" in done.errors
    assert not (parents.owner / "jobs" / "5d3c1a52-6a0e-4b7e-9c1b-0d6f1e2a3b17" / "stop").exists()


def test_the_others_are_still_served(parents: World) -> None:
    done = parents("receive", "17.1", "19", status=1)
    assert done.out == b"19\n"


def test_parents_outlive_the_owners_upkeep(parents: World) -> None:
    before = parents("get", "--json", "17", "18").json
    parents("registry", "rebuild")
    parents("registry", "compact")
    assert parents.start("true") == "20"
    assert parents("get", "--json", "17", "18").json == before
