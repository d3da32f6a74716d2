"""References to jobs, and the names that are refused because they read as references."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from rjob.errors import UsageError
from rjob.references import Reference, check_name, parse

UUID = "0f8fad5b-d9cb-469f-a165-70867728950e"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("17", Reference("id", "17", id=17)),
        ("007", Reference("id", "007", id=7)),
        ("12345678", Reference("id", "12345678", id=12345678)),
        ("17@gpu", Reference("id", "17@gpu", "gpu", id=17)),
        ("17@root@gpu:2222", Reference("id", "17@root@gpu:2222", "root@gpu:2222", id=17)),
        ("17@ssh://root@gpu", Reference("id", "17@ssh://root@gpu", "ssh://root@gpu", id=17)),
        ("17@.", Reference("id", "17@.", ".", id=17)),
        ("3-7", Reference("range", "3-7", id=3, end=7)),
        ("3-3@gpu", Reference("range", "3-3@gpu", "gpu", id=3, end=3)),
        ("last", Reference("last", "last")),
        ("last@gpu", Reference("last", "last@gpu", "gpu")),
        ("17.3", Reference("child", "17.3", id=17, child="3")),
        ("17.web3.example.org", Reference("child", "17.web3.example.org", id=17, child="web3.example.org")),
        ("17.web*", Reference("child", "17.web*", id=17, child="web*")),
        ("build", Reference("name", "build", name="build")),
        ("Last", Reference("name", "Last", name="Last")),
        ("Job17", Reference("name", "Job17", name="Job17")),
        ("résumé тест 作業", Reference("name", "résumé тест 作業", name="résumé тест 作業")),
        ("deadbee", Reference("name", "deadbee", name="deadbee")),
        ("build*@gpu", Reference("glob", "build*@gpu", "gpu", name="build*")),
        ("b[ab]", Reference("glob", "b[ab]", name="b[ab]")),
        ("b?", Reference("glob", "b?", name="b?")),
        ("deadbeef", Reference("instance", "deadbeef", instance="deadbeef")),
        ("DEADBEEF", Reference("instance", "DEADBEEF", instance="deadbeef")),
        ("0f8fad5b-d9", Reference("instance", "0f8fad5b-d9", instance="0f8fad5bd9")),
        ("0f8fad5bd9", Reference("instance", "0f8fad5bd9", instance="0f8fad5bd9")),
        (UUID, Reference("instance", UUID, instance=UUID.replace("-", ""))),
        ("0f8f-ad5bd9", Reference("name", "0f8f-ad5bd9", name="0f8f-ad5bd9")),
        ("12345678-1234", Reference("instance", "12345678-1234", instance="123456781234")),
        ("12345678-12345678", Reference("range", "12345678-12345678", id=12345678, end=12345678)),
        ("a" * 40, Reference("name", "a" * 40, name="a" * 40)),
    ],
)
def test_parse(text: str, expected: Reference) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize("text", ["", "@", "@gpu", "17@", "7-3", "1" * 19, "1-" + "9" * 5000, "9" * 5000 + ".1"])
def test_parse_refuses(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert caught.value.job == text


@pytest.mark.parametrize(
    "name",
    ["build", "my job", "a-b", "nightly.2", "v1.2", "deadbee", "テスト", "می\u200cخواهم", "👩\u200d💻", "Job", "job17"],
)
def test_names_that_may_be_given(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("17", "a job's number"),
        ("1" * 30, "no job has such a number"),
        ("3-7", "range of numbers"),
        ("2024-11", "backwards"),
        ("last", "newest job"),
        ("deadbeef", "an instance id"),
        (UUID, "an instance id"),
        ("17.web3", "a child"),
        ("Job17", "default name of job 17"),
        ("a@b", "separates"),
        ("a*", "glob"),
        ("a?", "glob"),
        ("a[b", "glob"),
        ("-n", "option"),
        ("a\nb", "control"),
        ("a\x1b[0m", "control"),
        ("a\u202eb", "control"),
        ("a\u2028b", "control"),
        ("a\udc80b", "control"),
        ("é" * 101, "longer than 200 bytes"),
    ],
)
def test_names_that_may_not(name: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        check_name(name)


@given(st.text(max_size=12) | st.from_regex(r"[0-9a-f.-]{0,12}|Job[0-9]*|last.?", fullmatch=True))
@example("é" * 100)
def test_a_name_that_may_be_given_reads_back_as_itself(name: str) -> None:
    try:
        check_name(name)
    except UsageError:
        assume(False)
    assert parse(name) == Reference("name", name, name=name)
    assert parse(f"{name}@gpu") == Reference("name", f"{name}@gpu", "gpu", name=name)


@given(st.uuids(), st.integers(8, 36), st.booleans())
def test_every_beginning_of_an_instance_id_is_one(value: uuid.UUID, length: int, dashes: bool) -> None:
    text = (str(value) if dashes else value.hex)[:length].rstrip("-")
    # Digits alone are always an id, and digits with one dash may be a range.
    assume(not text.replace("-", "").isdecimal())
    assert parse(text) == Reference("instance", text, instance=text.replace("-", ""))


@given(st.text(max_size=20), st.text(max_size=10))
def test_the_first_at_sign_separates(selector: str, host: str) -> None:
    assume("@" not in selector)
    text = f"{selector}@{host}"
    try:
        reference = parse(text)
    except UsageError:
        return
    assert reference.text == text
    assert reference.host == host
