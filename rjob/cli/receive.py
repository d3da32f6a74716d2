"""The verb receive: deliver jobs' output here."""

from typing import Annotated, Literal

import typer

from rjob.cli import output, status, viewing
from rjob.cli.client import call
from rjob.cli.options import Hosts, Jobs, Verb, examples, verbs
from rjob.cli.text import visible
from rjob.errors import UsageError
from rjob.models import Result

app = verbs()

_EXAMPLES = examples(
    "rjob receive 17                what is new since the last time",
    "rjob receive --all 17 | less   everything, from the beginning",
    "rjob receive -f last           follow the newest job until it has ended",
    "rjob receive --rm 17 -o log    put it into a file, then remove the job",
)


@app.command(cls=Verb, epilog=_EXAMPLES)
def receive(
    *,
    jobs: Jobs,
    host: Hosts = None,
    keep: Annotated[bool, typer.Option("--keep", help="Deliver what is new, and leave it new.")] = False,
    every: Annotated[bool, typer.Option("--all", help="Deliver everything from the beginning.")] = False,
    tail: Annotated[int | None, typer.Option(min=0, metavar="N", help="Deliver the last N lines.")] = None,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Follow the output until the job ends; return its status.")
    ] = False,
    rm: Annotated[bool, typer.Option("--rm", help="Remove the job if it has ended and all was delivered.")] = False,
    stream: Annotated[Literal["out", "err"] | None, typer.Option(help="Deliver only this stream.")] = None,
    prefix: Annotated[bool, typer.Option("--prefix/--no-prefix", help="Begin each line with its job.")] = False,
    file: Annotated[
        str | None, typer.Option("-o", "--output", metavar="FILE", help="Append to a file instead of printing.")
    ] = None,
    host_file: Annotated[
        str | None, typer.Option("--to-host-file", metavar="PATH", help="Append to a file on the job's own machine.")
    ] = None,
) -> int:
    """Bring jobs' output here.  What they wrote to stdout goes to stdout, the rest to stderr."""
    if keep + every + (tail is not None) > 1:
        raise UsageError("--keep, --all and --tail exclude each other")
    if rm and (keep or every or tail is not None or stream):
        raise UsageError("--rm removes what was received", hint="leave out --keep, --all, --tail and --stream")
    hosts = host or []
    if host_file is not None:
        if keep or every or tail is not None or follow or prefix or file is not None:
            raise UsageError("--to-host-file takes what is new as it is", hint="only --rm and --stream go with it")
        saved = _save(jobs, hosts, host_file, stream)
        output.report(saved)
        removed = _remove(saved, hosts) if rm else Result()
        return 1 if saved.errors or removed.errors else 0

    def look() -> Result:
        from rjob.cli.delivery import Delivery, open_file
        from rjob.core.options import Position

        sink = Delivery(prefix=prefix)
        if file is not None:
            descriptor = open_file(file)
            sink = Delivery(descriptor, descriptor, prefix=prefix)
        position = Position("all") if every else Position() if tail is None else Position("tail", tail)
        return call(
            lambda manager: manager.receive(
                jobs, sink, hosts=hosts, position=position, keep=keep, streams=stream or "both", follow=follow
            ),
            jobs=jobs,
            hosts=hosts,
            # One job without a prefix needs no event loop: nothing has to be held back.
            loop=follow and (prefix or viewing.several(jobs)),
        )

    result = viewing.view(look, back=viewing.command_line("receive -f", jobs, hosts) if follow else None)
    output.report(result)
    removed = _remove(result, hosts) if rm else Result()
    if follow:
        return status.of_result(result._replace(errors=result.errors + removed.errors), unfinished=status.UNKNOWN)
    return 1 if result.errors or removed.errors else 0


def _save(jobs: list[str], hosts: list[str], path: str, stream: Literal["out", "err"] | None) -> Result:
    """Append the output to a file on the job's own machine."""
    from rjob.cli.delivery import Delivery

    return call(
        lambda manager: manager.save(jobs, path, hosts=hosts, streams=stream or "both", told=Delivery.shrank),
        jobs=jobs,
        hosts=hosts,
    )


def _remove(result: Result, hosts: list[str]) -> Result:
    """Remove the jobs that have ended and whose output was delivered completely."""
    done = [job for job in result.jobs if job.state.finished and not job.has_more_data]
    for job in result.jobs:
        if job not in done:
            why = "has more data" if job.state.finished else f"is {job.state}"
            output.note(f"rjob: job {visible(job.ref)} {why}: not removed")
    if not done:
        return Result()
    refs = [viewing.address(job, hosts) for job in done]
    removed = call(lambda manager: manager.remove(refs), jobs=refs)
    output.report(removed)
    for job in removed.jobs:
        output.note(f"rjob: job {visible(job.ref)} removed")
    return removed
