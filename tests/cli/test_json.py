"""``--json``: the output, checked against the published schema."""

from __future__ import annotations

import json
from datetime import timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from cli.standin import NOON, StandIn, a_job

from rjob.cli.envelope import envelope
from rjob.errors import ConnectFailed, JobNotFound
from rjob.models import Result, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli.standin import Ran

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "reference" / "json-schema.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

RESULT = Result(
    (
        a_job(),
        a_job(18, State.FAILED, exit_code=3, reason="exit status 3", name="größer", out_bytes=9, out_received=4),
        a_job(19, State.STOPPED, signal=15, ref="19@gpu", argv=None, line="make && make test"),
        a_job(20, State.RUNNING, argv=("a", "b\udcff"), command="a 'b\udcff'"),
        a_job(21, begin=None, end=None, type="RemoteJob", children=(a_job(1), a_job(2))),
    ),
    (JobNotFound("no job 99", job="99", hint="look"), ConnectFailed("refused", host="gpu")),
)


def test_the_schema_is_a_schema() -> None:
    VALIDATOR.check_schema(SCHEMA)


def test_what_is_printed_fits_the_schema() -> None:
    VALIDATOR.validate(json.loads(json.dumps(envelope(RESULT))))


def test_the_schema_names_every_field() -> None:
    """Compare both sets of fields: users cannot find a field that is printed but not described."""
    described = set(SCHEMA["$defs"]["job"]["properties"])
    printed = {key for job in envelope(RESULT)["jobs"] for key in job}
    assert printed == described
    for key in ("schema", "jobs", "errors"):
        assert key in SCHEMA["required"]


def test_times_numbers_and_bytes() -> None:
    done, bad, stopped, odd, parent = envelope(RESULT)["jobs"]
    assert done["begin"] == "2026-11-23T12:00:00Z"
    assert bad["output_bytes"] == {"out": 9, "err": 0}
    assert bad["received_bytes"] == {"out": 4, "err": 0}
    assert bad["has_more_data"] is True
    assert (stopped["exit_code"], stopped["signal"], stopped["line"]) == (None, 15, "make && make test")
    assert odd["argv"] == ["a", "b\ufffd"]
    assert odd["argv_base64"] == ["YQ==", "Yv8="]
    assert "argv_base64" not in done
    assert [child["id"] for child in parent["children"]] == [1, 2]


def test_errors_are_in_the_envelope() -> None:
    first, second = envelope(RESULT)["errors"]
    assert first == {"host": None, "job": "99", "code": "not-found", "message": "no job 99", "hint": "look"}
    assert (second["host"], second["code"]) == ("gpu", "unreachable")


@pytest.mark.parametrize(
    "words",
    [
        ("start", "--json", "true"),
        ("start", "--json", "--wait", "true"),
        ("get", "--json"),
        ("wait", "17", "--json"),
        ("stop", "17", "--json"),
        ("signal", "17", "HUP", "--json"),
        ("suspend", "17", "--json"),
        ("resume", "17", "--json"),
        ("remove", "17", "--json"),
        ("prune", "--json"),
        ("retry", "17", "--json"),
    ],
)
def test_every_verb_prints_one_document(run: Callable[..., Ran], manager: StandIn, words: tuple[str, ...]) -> None:
    manager.result = RESULT._replace(jobs=RESULT.jobs[:2])
    printed: dict[str, Any] = json.loads(run(*words).out)
    VALIDATOR.validate(printed)
    assert [job["id"] for job in printed["jobs"]] == [17, 18]
    assert printed["errors"]


def test_an_error_that_ends_the_verb_is_printed_too(run: Callable[..., Ran], manager: StandIn) -> None:
    manager.results["get"] = JobNotFound("no job 99", job="99")
    ran = run("get", "99", "--json")
    assert json.loads(ran.out)["errors"][0]["code"] == "not-found"
    assert ran.err == "rjob: no job 99\n"
    assert ran.status == 1


def test_a_wrong_option_is_printed_too(run: Callable[..., Ran]) -> None:
    ran = run("get", "--bogus", "--json")
    assert json.loads(ran.out)["errors"][0]["code"] == "usage"
    assert ran.status == 2


def test_times_are_utc() -> None:
    begin = NOON.astimezone(timezone(timedelta(hours=2)))
    assert envelope(Result((a_job(begin=begin),)))["jobs"][0]["begin"] == "2026-11-23T12:00:00Z"
