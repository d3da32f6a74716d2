"""Values from a host that sends any bytes: they can be held, compared, printed and written as JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rjob.cli.envelope import envelope
from rjob.cli.status import of_result
from rjob.cli.table import jobs_table
from rjob.cli.text import legible, visible
from rjob.core.jobs import view
from rjob.core.options import Query
from rjob.errors import OwnerError, ProtocolError, UsageError
from rjob.models import Job, Result
from rjob.runner.facts import Facts, JobFacts
from rjob.runner.launch import Launch, retry_of, start_request
from rjob.runner.protocol import Line, Reply
from rjob.runner.values import instance_of, instant, number, secrets_of, signal_number, text_of

MARKER = "0123456789abcdef" * 2
A = "11111111-2222-3333-4444-555555555555"
B = "aaaaaaaa-2222-3333-4444-555555555555"

REAL = f"""machine m1 host-1
total 2
owner m2 host-2
selected {A}
alive {A} S S 2 same
./{A}/start:{{"v":1,"event":"start","id":7,"instance":"{A}","time":"2026-11-23T08:36:56Z","type":"BackgroundJob",\
"command":"make","name":"build","argv":["make","-n"],"secrets":["TOKEN"],"retry_of":"{B}","time_limit":1.5,"login":true}}
./{A}/job.json:{{"v":1,"argv":["make"],"command":"make"}}
./{A}/identity:12 34 boot m1 2026-11-23T08:36:56Z token
./{A}/main:13 35
./{A}/stop:TERM 2026-11-23T08:36:58Z
./{A}/expired:TERM 2026-11-23T08:36:58Z
./{A}/signals:USR1
./{A}/error:cannot start
./{A}/received:3 4
./{A}/exit:1 143 15 2026-11-23T08:36:59Z
../../m2/jobs/{B}/start:{{"id":3,"command":"x"}}
./{A}/1/host:web1
./{A}/1/instance:{B}
./{A}/1/identity:12 34 boot setsid 2026-11-23T08:36:57Z token -
./{A}/1/link:lost 2026-11-23T08:36:58Z no route to host
./{A}/1/alive:S S - same
./{A}/2/error:web2 refused the key
./{A}/2/exit:1 3 - 2026-11-23T08:36:59Z
size 30 ./{A}/1/out
size 10 ./{A}/out
size 20 ./{A}/err
symlink {B}
job {A} 7
started {A}
data out 0 5
""".encode()

SPICE: list[bytes] = [
    b"\xff\xfe",
    "²".encode(),
    "٣".encode(),
    b"\\ud800",
    b"\\udcff",
    b'"\\ud83d"',
    b"9" * 30,
    b"-1",
    b"1e999",
    b"NaN",
    b"-Infinity",
    b"true",
    b"null",
    b"[" * 2000,
    b'{"a":' * 2000,
    b"0001-01-01T00:00:00+23:59",
    b"9999-12-31T23:59:59-23:59",
    b"2026-11-23T08:36:56.5+00:00:01",
    b"\0",
    b"\x1b[2J",
    "\u202e".encode(),
    b"..",
    b"/",
    b":",
    b"@",
    b" ",
    b"\r",
    b"\n",
    A.encode(),
    B.encode(),
    MARKER.encode() + b" beat\n",
]


@st.composite
def replies(draw: st.DrawFn) -> bytes:
    """Draw a real reply with random changes."""
    data = bytearray(REAL)
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(data)))
        length = draw(st.integers(0, 12))
        data[at : at + length] = draw(st.sampled_from(SPICE) | st.binary(max_size=6))
    return bytes(data)


def through(data: bytes, pieces: int = 7) -> Facts:
    """Read a reply in pieces; return the facts in it."""
    reply = Reply(MARKER)
    facts = Facts()
    whole = f"{MARKER} begin\n".encode() + data + f"\n{MARKER} end\n".encode()
    size = max(1, len(whole) // pieces)
    for start in range(0, len(whole), size):
        for event in reply.feed("out", whole[start : start + size]):
            if isinstance(event, Line):
                facts.add(event.text)
    return facts


def use(facts: Facts) -> None:
    """Use facts as the verbs do."""
    jobs = []
    for host in ("gpu", None):
        for told in facts.jobs.values():
            if told.record is not None:
                job, _ = view(facts, told, host)
                check(job, host)
                jobs.append(job)
                retry(job)
    result = Result(tuple(jobs))
    text = json.dumps(envelope(result), ensure_ascii=False, allow_nan=False)
    text.encode()
    assert json.loads(text)["schema"] == 1
    for wide in (False, True):
        jobs_table(jobs, wide=wide, limit=80).encode()
    for job in jobs:
        for first in (False, True):
            assert 0 <= of_result(Result((job,)), first=first) <= 255
        assert Query(name="*").admits(job)
    visible(" ".join(word for words in facts.other for word in words)).encode()
    visible(facts.host + facts.machine).encode()


def check(job: Job, host: str | None) -> None:
    check_values(job)
    assert instance_of(job.instance_id)
    selector, _, at = job.ref.partition("@")
    if host is None:
        # Only if that name cannot mean another machine; see test_references_of_other_machines.
        assert at == (job.host or "")
    else:
        assert at == host
    assert selector in (str(job.id), job.instance_id)
    for child in job.children:
        check_values(child)
        assert child.ref.partition("@") == (f"{selector}.{child.id}", "@" if at else "", at)
        assert child.instance_id == "" or instance_of(child.instance_id)


def check_values(job: Job) -> None:
    assert type(job.id) is int
    assert 0 < job.id < 10**18
    assert job.signal is None or 0 < job.signal < 128
    assert all(0 <= size < 10**18 for size in (job.out_bytes, job.err_bytes, job.out_received, job.err_received))
    assert job.argv is None or all(isinstance(word, str) for word in job.argv)


def retry(job: Job) -> None:
    try:
        launch: Launch = retry_of(job.record, job.instance_id, B, {"TOKEN": "x"})
    except UsageError:
        return
    assert {name for name, _ in launch.secrets} <= {"TOKEN"}
    lines, _ = start_request([launch])
    assert not any(b"\n" in line for line in lines)


@settings(max_examples=300)
@given(replies())
@example(REAL)
@example(REAL.replace(b'"name":"build"', b'"name":"\\ud800"'))
@example(REAL.replace(b'"make"', b'"\\ud800 \\udcff \\ud83d\\ude00"'))
@example(REAL.replace(b'"id":7', b'"id":-7'))
@example(REAL.replace(b'"id":7', b'"id":true'))
@example(REAL.replace(b'"id":7', b'"id":' + b"7" * 40))
@example(REAL.replace(b'"id":7', b'"id":7.0'))
@example(REAL.replace(b'["TOKEN"]', b'"TOKEN"'))
@example(REAL.replace(b'["TOKEN"]', b'[["TOKEN"], 5]'))
@example(REAL.replace(b"1.5", b"1e400"))
@example(REAL.replace(b"1.5", b"NaN"))
@example(REAL.replace(b"143 15", b"999999999999999999 999999999999999999"))
@example(REAL.replace(b"143 15", "² ²".encode()))
@example(REAL.replace(b"TERM", b"999999999999999999"))
@example(REAL.replace(b"2026-11-23T08:36:56Z", b"0001-01-01T00:00:00+23:59"))
@example(REAL.replace(b"2026-11-23T08:36:59Z", b"9999-12-31T23:59:59-23:59"))
def test_a_mutated_reply(data: bytes) -> None:
    try:
        facts = through(data)
    except (ProtocolError, OwnerError):
        return
    use(facts)


any_line = st.sampled_from(REAL.splitlines()) | st.sampled_from(SPICE) | st.binary(max_size=40)


def test_any_bytes_among_real_lines() -> None:
    jobs = 0

    @settings(max_examples=150)
    @given(st.lists(any_line, max_size=30), st.integers(1, 60))
    def check(lines: list[bytes], pieces: int) -> None:
        nonlocal jobs
        try:
            facts = through(b"\n".join(lines), pieces)
        except (ProtocolError, OwnerError):
            return
        use(facts)
        jobs += sum(told.record is not None for told in facts.jobs.values())

    check()
    assert jobs > 0


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
fields = st.sampled_from(
    ["id", "name", "command", "argv", "args", "line", "time", "type", "retry_of", "secrets", "env", "cwd", "login", "x"]
)


@settings(max_examples=200)
@given(st.dictionaries(fields, json_values, max_size=8), st.dictionaries(fields, json_values, max_size=4))
def test_any_record(start: dict[str, Any], beside: dict[str, Any]) -> None:
    start.setdefault("id", 7)
    lines = ["machine m h", f"./{A}/start:{json.dumps(start)}", f"./{A}/job.json:{json.dumps(beside)}"]
    use(Facts.read(lines))


def test_what_rjob_writes_comes_through_unchanged() -> None:
    record = {
        "id": 7,
        "name": "é 😀",
        "argv": ["a", "\udcff", ""],
        "args": [],
        "time_limit": 0.5,
        "login": True,
        "stdin_bytes": 12,
        "env": ["A"],
        "secrets": ["B"],
        "of_a_later_version": ["x"],
        "another": "y",
    }
    job = JobFacts(A, "m")
    job.add("start", json.dumps(record))
    assert job.record == record


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (None, []),
        (["A", "B_1", "A"], ["A", "B_1"]),
        ("A", None),
        (5, None),
        ({"A": 1}, None),
        (["A", 5], None),
        (["A=B"], None),
        (["É"], None),
        (["A\n"], None),
        (["A" * 201], None),
        ([""], None),
        (False, None),
    ],
)
def test_names_of_secrets(names: object, found: list[str] | None) -> None:
    job = JobFacts(A, "m")
    job.add("start", json.dumps({"id": 1} | ({} if names is None else {"secrets": names})))
    assert job.record is not None
    assert secrets_of(job.record) == found


def test_words_of_hosts() -> None:
    assert [number(word) for word in ("0", "007", "-1", "+1", "²", "٣", "1_0", "9" * 18, "9" * 19, "")] == [
        0, 7, None, None, None, None, None, 10**18 - 1, None, None,
    ]  # fmt: skip
    assert [signal_number(word) for word in ("0", "1", "127", "128", "999999999999999999")] == [
        None,
        1,
        127,
        None,
        None,
    ]
    assert text_of("a\ud800\udc00b\udcff") == "a\ufffd\ufffdb\udcff"
    assert instant("2026-11-23T08:36:56Z") is not None
    for text in ("", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-11-23", "2026-11-23T08:36:56"):
        assert instant(text) is None
    for text in ("\ud800", "a\udfff", "\udc80", "\ud83d\ude00"):
        legible(text).encode()
        visible(text).encode()


NAMES = {
    "login2": "login2",
    "node-7.cluster.example.org": "node-7.cluster.example.org",
    **dict.fromkeys(
        [
            "",
            ".",
            "..",
            "@",
            "a@b",
            "-oProxyCommand=x",
            "localhost",
            "LOCALHOST",
            "localhost.localdomain",
            "x.localhost",
            "ip6-localhost",
            "host-1",
            "HOST-1",
            "host-1.example.org",
            "127.0.0.1",
            "0x7f.1",
            "::1",
            "a b",
            "a\x1b[2J",
            "a:22",
            "a/b",
            "@web",
            "web[1-3]",
            "a,b",
            "é",
            "x" * 64,
            "a." * 140 + "b",
            "7",
        ]
    ),
}


@pytest.mark.parametrize("name", NAMES)
def test_references_of_other_machines(name: str) -> None:
    lines = ["machine m1 host-1", f"owner m2 {name}", f'../../m2/jobs/{A}/start:{{"id":3}}']
    facts = Facts.read(lines)
    here, _ = view(facts, facts.jobs[A], None)
    assert here.ref == (f"3@{NAMES[name]}" if NAMES[name] else A)
    there, _ = view(facts, facts.jobs[A], "gpu")
    assert there.ref == f"{A}@gpu"
    assert (there.foreign, there.host) == (True, "gpu")


def test_one_name_of_two_machines_is_none() -> None:
    lines = ["machine m1 host-1", "owner m2 app", "owner m3 APP", f'../../m2/jobs/{A}/start:{{"id":3}}']
    facts = Facts.read(lines)
    assert view(facts, facts.jobs[A], None)[0].ref == A


def test_one_instance_id_of_two_machines_is_the_owners() -> None:
    lines = [
        "machine m1 host-1",
        f'./{A}/start:{{"id":1,"command":"mine"}}',
        f'../../m2/jobs/{A}/start:{{"id":9,"command":"theirs"}}',
        f"size 9 ../../m2/jobs/{A}/out",
        f"size 5 ./{A}/out",
    ]
    facts = Facts.read(lines)
    job, _ = view(facts, facts.jobs[A], None)
    assert (job.ref, job.command, job.out_bytes, job.foreign) == ("1", "mine", 5, False)
