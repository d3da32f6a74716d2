"""The counts of what a fault run has done and found."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from faults.episode import Episode


class Tally:
    """The counts over the episodes of a run.

    Args:
        seed: The run's seed.
    """

    def __init__(self, seed: str) -> None:
        self.seed = seed
        self.episodes = 0
        self.counts: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.skipped: set[str] = set()
        self.findings: dict[str, list[str]] = defaultdict(list)

    def add(self, episode: Episode) -> None:
        """Add an episode that has ended."""
        record = episode.record
        self.episodes += 1
        self.counts["commands"] += len(record.calls)
        self.counts["jobs started"] += sum(call.verb in ("start", "retry") and not call.status for call in record.calls)
        self.counts["bytes received"] += record.received
        roles = Counter(f"kill of a {seen.role}" for _, seen in record.victims)
        self.faults += roles + Counter(_name(fault.kind, fault.what) for fault in record.faults if fault.kind != "kill")
        self.faults["redirected streams"] += sum(bool(call.streams) for call in record.calls)
        self.skipped |= set(record.skipped)
        for finding in record.findings:
            self.findings[finding.rule].append(f"[{episode.seed} {episode.main}] {finding.text}")

    def told(self, *, most: int = 3) -> str:
        """Return all counts and findings as text.

        Args:
            most: The number of findings to show for each promise.
        """
        found = sum(map(len, self.findings.values()))
        faults = sum(self.faults.values())
        lines = [f"fault run, seed {self.seed}: {self.episodes} episodes, {faults} faults, {found} findings"]
        lines += [f"  {count:8} {what}" for what, count in self.counts.items()]
        lines += [f"  {count:8} {what}" for what, count in sorted(self.faults.items()) if count]
        lines += [f"  left out: {what}" for what in sorted(self.skipped)]
        for rule, texts in sorted(self.findings.items(), key=lambda item: -len(item[1])):
            lines.append(f"FOUND {len(texts)} times: {rule}")
            lines += [f"    {text[:700]}" for text in texts[:most]]
        if self.findings:
            lines.append("repeat one with RJOB_FAULT_SEED=SEED:NUMBER, as in the brackets")
        return "\n".join(lines)


def _name(kind: str, what: str) -> str:
    if kind == "step":
        return f"death at step {what}"
    if kind == "folder":
        return f"removed folder {what}"
    return {"disk": "full disk", "cut": "cut connection", "interrupt": f"{re.split(' ', what)[0]} to a client"}[kind]
