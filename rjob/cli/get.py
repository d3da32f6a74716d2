"""The verb get: show jobs."""

from typing import TYPE_CHECKING, Annotated

import typer

from rjob import times
from rjob.cli import complete, output, table
from rjob.cli.client import call, config
from rjob.cli.options import Hosts, Json, Quiet, Verb, examples, verbs
from rjob.cli.text import visible
from rjob.errors import JobNotFound, UsageError
from rjob.models import Job, Result, State

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from rjob.core.manager import JobManager
    from rjob.core.options import Query

app = verbs()

_EXAMPLES = examples(
    "rjob get                                what is unfinished, and the newest finished jobs",
    "rjob get --state failed --since today   what went wrong today",
    "rjob get 'build*' -H @web               the jobs of that name on a group of hosts",
    "rjob get 17 --json                      everything about one job",
)
_INTERVAL = 1.0


@app.command(cls=Verb, epilog=_EXAMPLES)
def get(
    *,
    jobs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[JOB]...",
            show_default=False,
            help="Jobs to show; without any, the unfinished and the newest finished ones.",
            autocompletion=complete.jobs,
        ),
    ] = None,
    host: Hosts = None,
    every: Annotated[bool, typer.Option("--all", help="Show every job.")] = False,
    state: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STATE", help="Only these, such as running or failed,lost.", autocompletion=complete.states
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(metavar="GLOB", help="Only names that match.")] = None,
    location: Annotated[str | None, typer.Option(metavar="GLOB", help="Only those that run there.")] = None,
    newest: Annotated[int | None, typer.Option(min=0, metavar="N", help="Show at most so many finished jobs.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only those begun then or later: 2h, today, 09:00, ISO 8601.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Only those begun then or earlier.")] = None,
    wide: Annotated[bool, typer.Option("--wide", help="Show every column that there is room for.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Show the table again each second, until Ctrl-C.")] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> int:
    """Show jobs and their states."""
    from rjob.core.options import Query

    refs, hosts = jobs or [], host or []
    query = Query(every, states(state or []), name, location, newest, _instant(since), _instant(until))
    if watch:
        if quiet or json or not output.on_terminal():
            raise UsageError("--watch draws a table on a terminal", hint="leave out -q, --json and pipes")
        output.report(
            call(lambda manager: _watch(manager, refs, hosts, query, wide), jobs=refs, hosts=hosts, loop=True)
        )
        return 1
    result = call(lambda manager: manager.get(refs, hosts=hosts, query=query), jobs=refs, hosts=hosts)
    if quiet and not json:
        output.references(result)
    elif not json:
        _show(result, wide, single=len(refs) == len(result.jobs) == 1)
    output.report(result, json=json)
    if result.more:
        output.note(f"… {result.more:,} more finished jobs; show them with --all")
    return 1 if result.errors else 0


def states(words: "Sequence[str]") -> frozenset[State]:
    """Parse the values of ``--state``.

    Args:
        words: States in any case; one word may hold several, separated by commas.

    Raises:
        UsageError: There is no such state.
    """
    known = {str(state).lower(): state for state in State}
    found = set()
    for word in (part.strip() for text in words for part in text.split(",")):
        if word.lower() not in known:
            from rjob.settings import suggest

            raise UsageError(f"no such state: {word!r}", hint=suggest(word, [str(state) for state in State]))
        found.add(known[word.lower()])
    return frozenset(found)


def _instant(text: str | None) -> "datetime | None":
    return None if text is None else times.instant(text)


def _show(result: Result, wide: bool, *, single: bool = False) -> None:
    if not result.jobs:
        if not result.errors:
            output.note("no jobs")
        return
    output.data(_table(result, wide))
    if single and not wide and result.jobs[0].reason:
        output.data(f"Reason: {visible(result.jobs[0].reason)}")


def _table(result: Result, wide: bool) -> str:
    colour = output.coloured(config().get("color"))
    return table.jobs_table(result.jobs, wide=wide, limit=output.columns(), colour=colour)


async def _watch(manager: "JobManager", refs: list[str], hosts: list[str], query: "Query", wide: bool) -> Result:
    """Show the table repeatedly; return when all the jobs that were named have been removed."""
    from asyncio import sleep

    seen: dict[str, Job] = {}
    while True:
        result = await manager.get(refs, hosts=hosts, query=query)
        seen |= {job.instance_id: job for job in result.jobs}
        if refs and seen and not result.jobs and all(isinstance(error, JobNotFound) for error in result.errors):
            gone = [JobNotFound(f"job {job.ref} was removed meanwhile", job=job.ref) for job in seen.values()]
            return Result(errors=tuple(gone))
        output.redraw(_table(result, wide) if result.jobs else "no jobs", result.errors)
        await sleep(_INTERVAL)
