"""Node sets: expanding and folding them."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rjob.errors import UsageError
from rjob.nodesets import LIMIT, expand, fold


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("gpu", ["gpu"]),
        ("gpu,db", ["gpu", "db"]),
        ("gpu, db", ["gpu", "db"]),
        ("web[1-3]", ["web1", "web2", "web3"]),
        ("web[3]", ["web3"]),
        ("web[08-11]", ["web08", "web09", "web10", "web11"]),
        ("web[8-11]", ["web8", "web9", "web10", "web11"]),
        ("web[099-101]", ["web099", "web100", "web101"]),
        ("web[0-2]", ["web0", "web1", "web2"]),
        ("web[1-9/4]", ["web1", "web5", "web9"]),
        ("db[1-3,7]", ["db1", "db2", "db3", "db7"]),
        ("r[1-2]n[1-2]", ["r1n1", "r1n2", "r2n1", "r2n2"]),
        ("a[1-2],b,c[3].x", ["a1", "a2", "b", "c3.x"]),
        ("root@web[1-2]", ["root@web1", "root@web2"]),
        ("ssh://[::1]:22,[fe80::1]", ["ssh://[::1]:22", "[fe80::1]"]),
        ("@web,@rack[1-2]", ["@web", "@rack1", "@rack2"]),
    ],
)
def test_expand(text: str, names: list[str]) -> None:
    assert expand(text) == names


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty name"),
        ("a,,b", "empty name"),
        ("a,", "empty name"),
        ("web[1-3", "not closed"),
        ("web1]", "out of place"),
        ("web[[1]]", "out of place"),
        ("web[]", "not a number"),
        ("web[a-c]", "not a number"),
        ("web[1-]", "not a number"),
        ("web[1,,2]", "not a number"),
        ("web[٣]", "not a number"),
        ("web[3-1]", "backwards"),
        ("web[1-9/0]", "step 0"),
        ("web[1-010]", "uneven"),
        ("web[0-99999]", "too many"),
        ("web[0-999999999999999999]", "too many"),
        ("a[1-1000]b[1-1000]", "too many"),
        (",".join(["a[1-5000]"] * 3), "too many"),
    ],
)
def test_expand_refuses(text: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        expand(text)


def test_the_limit_itself_is_allowed() -> None:
    assert len(expand(f"web[1-{LIMIT}]")) == LIMIT


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], ""),
        (["gpu"], "gpu"),
        (["web7"], "web7"),
        (["web01", "web02", "web03"], "web[01-03]"),
        ([f"web{n:03}" for n in range(1, 201)], "web[001-200]"),
        (["web1", "web10", "web2"], "web[1-2,10]"),
        (["db", "web2", "gpu", "web1"], "db,web[1-2],gpu"),
        (["web1", "web1"], "web1"),
        (["r1n1", "r1n2", "r2n1", "r2n2"], "r[1-2]n[1-2]"),
        (["web1.a", "web2.a", "web1.b"], "web[1-2].a,web1.b"),
        (["web1", "web01"], "web[1,01]"),
        (["ssh://[::1]:22", "ssh://[::1]:23"], "ssh://[::1]:22,ssh://[::1]:23"),
    ],
)
def test_fold(names: list[str], text: str) -> None:
    assert fold(names) == text


_names = st.from_regex(r"[a-z]{0,2}[0-9]{1,3}([.-][a-z]?[0-9]{0,3})?|[a-z]{1,3}", fullmatch=True)


@given(st.lists(_names, max_size=60))
def test_what_is_folded_expands_to_the_same_names(names: list[str]) -> None:
    text = fold(names)
    if names:
        assert sorted(expand(text)) == sorted(set(names))


@given(st.integers(0, 5000), st.integers(0, 200), st.integers(1, 5))
def test_a_padded_range_folds_to_itself(first: int, more: int, width: int) -> None:
    names = [f"n{number:0{width}}" for number in range(first, first + more + 1)]
    assert expand(fold(names)) == names
    assert len(fold(names)) < 20


@given(st.text(alphabet="ab0123456789[]-,/@: ", max_size=24))
def test_anything_expands_or_is_refused(text: str) -> None:
    with contextlib.suppress(UsageError):
        names = expand(text)
        assert names
        assert all(names)


def test_names_with_more_numbers_than_any_host_has_stay_whole() -> None:
    names = ["1a" * 20 + number for number in "12"]
    assert fold(names) == ",".join(names)
    assert fold(["10.0.0.1", "10.0.0.2"]) == "10.0.0.[1-2]"
