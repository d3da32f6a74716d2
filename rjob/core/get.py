"""Listing one owner's jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rjob.core.find import jobs_from_facts
from rjob.core.owner import OwnerResult

if TYPE_CHECKING:
    from rjob.core.options import Query
    from rjob.core.owner import Owner


async def listing(owner: Owner, query: Query, newest: int) -> OwnerResult:
    """Find the jobs that a listing shows.

    Args:
        owner: The owner of the jobs.
        query: Selects the jobs.
        newest: How many finished jobs to show if the query does not say.
    """
    if query.filtered:
        asked = ["all", "others all"]
    elif query.newest is not None:
        asked = [f"newest {query.newest} live"]
    else:
        asked = ["live", f"newest {newest}", "others live", f"others newest:{newest}"]
    facts = await owner.channel.call("facts", *asked)
    jobs, errors = await jobs_from_facts(owner, facts)
    shown = [job for job in jobs.values() if query.admits(job)]
    shown.sort(key=lambda job: (job.foreign, job.id))
    if query.newest is not None:
        shown = shown[max(0, len(shown) - query.newest) :]
    more = 0
    if not query.filtered and query.newest is None:
        more = facts.total - sum(not job.foreign for job in facts.jobs.values())
    return OwnerResult(owner, tuple(shown), tuple(errors.values()), max(0, more))
