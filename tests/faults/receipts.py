"""The check that what was received of each job is what it wrote, each byte once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from faults.aftermath import Aftermath
    from faults.witness import Portion, Tracked


def check_receipts(after: Aftermath) -> None:
    """Check that jobs wrote what they should, and that receivers got what was written."""
    for instance, tracked in after.tracked.items():
        if instance in after.saboteur.removed:
            continue
        for stream in ("out", "err"):
            written = _written(after, instance, tracked, stream)
            if written is None:
                continue
            trouble = trace(written, tracked.portions[stream], whole=instance in after.jobs)
            if trouble:
                after.find(trouble[0], f"{tracked.ref} {tracked.plan.kind} {stream}: {trouble[1]}")


def _written(after: Aftermath, instance: str, tracked: Tracked, stream: str) -> bytes | None:
    """Return what a job has written; None if that can no longer be known."""
    plan = tracked.plan
    expected = plan.out if stream == "out" else plan.err
    path = after.owner / "jobs" / instance / stream
    said = after.witness.get(instance)
    hurt = bool(after.record.hurt(instance))
    cut_short = hurt or instance in after.stopped or plan.limit == "1"
    if not path.exists():
        return None if after.main == "disk" or (cut_short and stream == "err") else expected
    written = path.read_bytes()
    if after.main == "disk":
        # On a full disk, any part may be missing.
        return written
    known = written
    if cut_short and stream == "err":
        # The job's own shell may report that a process it waited for was ended.
        known = written.replace(b"Terminated\n", b"").replace(b"Killed\n", b"")
    whole = said and said.ends and not hurt
    if not expected.startswith(known) or (whole and known != expected):
        _report(after, tracked, stream, known, expected)
    return written


def _report(after: Aftermath, tracked: Tracked, stream: str, written: bytes, expected: bytes) -> None:
    pairs = enumerate(zip(written, expected, strict=False))
    at = next((at for at, (a, b) in pairs if a != b), min(len(written), len(expected)))
    difference = f"from byte {at} on {written[at : at + 60]!r} in place of {expected[at : at + 60]!r}"
    after.find("nothing of a job's output is lost", f"{tracked.ref} {stream}: {difference}")


def trace(written: bytes, portions: Sequence[Portion], *, whole: bool) -> tuple[str, str] | None:
    """Follow the cursor through what was received.

    Args:
        written: The job's stream.
        portions: What was received, in order.
        whole: Whether all of it must have been received in the end.

    Returns:
        The broken promise, and how it was broken; None if none was.
    """
    places: Sequence[int] = (0,)
    failed = False
    for portion in portions:
        if not portion.data:
            continue
        fits = [place for place in places if written.startswith(portion.data, place)]
        if not fits:
            return _misplaced(written, portion, places, failed=failed)
        failed = portion.status != 0
        ends = [place + len(portion.data) for place in fits]
        if portion.torn == "killed":
            # Bytes on the way to a client that is killed may count or not.
            places = range(min(fits), max(ends) + 1)
        elif portion.torn == "reader":
            places = sorted({max(start, _line_begin(written, end)) for start, end in zip(fits, ends, strict=True)})
        else:
            places = ends
    if whole and len(written) not in places and portions:
        return "nothing that a job wrote is skipped", f"received up to {list(places)[-1]} of {len(written)}"
    return None


def _misplaced(written: bytes, portion: Portion, places: Sequence[int], *, failed: bool) -> tuple[str, str]:
    found = written.find(portion.data)
    text = f"call #{portion.call} brought {len(portion.data)} bytes {portion.data[:40]!r}, expected from {places[0]}"
    if len(places) > 1:
        text += f"…{places[-1]}"
    if found < 0:
        return "nothing but a job's own bytes is received", f"{text}: they are not in it"
    # The bytes may occur at several places: take the one nearest to the expected place.
    begin = places[0]
    while (later := written.find(portion.data, found + 1)) >= 0 and abs(later - begin) < abs(found - begin):
        found = later
    if found > places[-1]:
        if _line_begin(written, found) == places[-1] and found != places[-1]:
            return "after a reader went, a line begins", f"{text}: they are from {found}"
        return "nothing that a job wrote is skipped", f"{text}: they are from {found}"
    twice = "nothing is received twice"
    return f"{twice}, not even after a receive that failed" if failed else twice, f"{text}: they are from {found}"


def _line_begin(written: bytes, end: int) -> int:
    return written.rfind(b"\n", 0, end) + 1
