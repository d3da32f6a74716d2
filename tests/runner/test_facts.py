"""Reading facts from the lines of a reply: what makes sense is taken, the rest is ignored."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from rjob.core.jobs import view
from rjob.runner.facts import Facts
from rjob.runner.states import derive

A = "11111111-2222-3333-4444-555555555555"
B = "aaaaaaaa-2222-3333-4444-555555555555"
ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b\u202e\x00\r"


def test_facts_of_a_job_are_read_from_its_files() -> None:
    facts = Facts.read(
        [
            "machine m1 web 3",
            "total 7",
            f"selected {A} nonsense",
            "selected",
            f"alive {A} S T 3 same",
            f'./{A}/start:{{"v":1,"event":"start","id":5,"instance":"{A}","time":"t","command":"a:b/c"}}',
            f"./{A}/received:10 20",
            f"./{A}/error:one",
            f"./{A}/error:two: three",
            f"size 100 ./{A}/out",
            f"size 7 ./{A}/err",
            f"size 7 ./{A}/other",
            f"symlink {B}",
            "stopped x",
        ]
    )
    job = facts.jobs[A]
    assert (facts.machine, facts.host, facts.total) == ("m1", "web 3", 7)
    assert facts.selected == [[A], []]
    assert job.alive == ["S", "T", "3", "same"]
    assert job.record is not None
    assert job.record["command"] == "a:b/c"
    assert job.received == (10, 20)
    assert job.text("error") == "one\ntwo: three"
    assert (job.out_bytes, job.err_bytes) == (100, 7)
    assert facts.broken == {B: "a symbolic link"}
    assert facts.other == [["stopped", "x"]]
    assert not job.foreign


def test_jobs_of_another_machine_under_the_same_home_are_foreign() -> None:
    facts = Facts.read(["machine m1 here", "owner m2 there", f'../../m2/jobs/{A}/start:{{"id":3}}'])
    assert facts.jobs[A].foreign
    assert facts.jobs[A].machine == "m2"
    assert facts.hosts == {"m1": "here", "m2": "there"}


names = st.sampled_from(["start", "identity", "main", "stop", "expired", "signals", "error", "received", "exit"])
numbers = st.sampled_from(
    ["0", "1", "-1", "²", "٣", "9" * 5000, "1e9", "", "-", "none", "S", "Z", "T", "other", "never"]
)
junk = st.text(max_size=30) | numbers | st.just(ESCAPES)
starts = st.sampled_from(
    [
        '{"id":1}',
        '{"id":true}',
        '{"id":"x"}',
        "[" * 60000,
        '{"id":1,"argv":3}',
        '{"id":1,"argv":[[" "]]}',
        '{"id":' + "9" * 5000 + "}",
    ]
)
lines = st.one_of(
    st.text(max_size=60),
    st.builds(lambda name, text: f"./{A}/{name}:{text}", names, st.lists(junk, max_size=5).map(" ".join)),
    st.builds(lambda text: f"./{A}/start:{text}", starts | junk),
    st.builds(
        lambda kind, rest: f"{kind} " + " ".join(rest),
        st.sampled_from(["alive", "size", "total", "machine", "owner", "selected", "symlink", "data", "error"]),
        st.lists(junk | st.just(A) | st.just(f"./{A}/out"), max_size=5),
    ),
    st.builds(lambda a, b, c, d: f"./{A}/exit:1 {a} {b} {c} {d}", junk, junk, junk, junk),
)


@given(st.lists(lines, max_size=15))
@example([f"./{A}/start:" + "[" * 60000])
@example([f"size ² ./{A}/out", "total ²"])
@example([f"./{A}/exit:1 ² ² x", f"alive {A} - - ² same"])
@example([f"./{A}/exit:1 " + "9" * 5000 + " " + "9" * 5000 + " x"])
@example([f"./{A}/exit:1 143 - t", f"./{A}/stop:" + "9" * 5000, f"./{A}/received:" + "9" * 5000 + " 1"])
def test_no_host_can_bring_it_down(told: list[str]) -> None:
    facts = Facts.read(told)
    for job in facts.jobs.values():
        derive(job)
        made, _ = view(facts, job, "h")
        assert made.out_bytes >= 0
        assert made.out_received >= 0
