"""The verb wait: wait until jobs have ended."""

from typing import Annotated

import typer

from rjob import times
from rjob.cli import output, status, viewing
from rjob.cli.client import call
from rjob.cli.options import Hosts, Jobs, Json, Verb, examples, verbs

app = verbs()

_EXAMPLES = examples(
    "rjob wait 17 && deploy             go on if job 17 completed",
    "rjob wait --any 17 18 19           until the first of them has ended",
    "rjob wait --timeout 5m build       give up after five minutes, with status 124",
)


@app.command(cls=Verb, epilog=_EXAMPLES)
def wait(
    jobs: Jobs,
    host: Hosts = None,
    first: Annotated[bool, typer.Option("--any", help="Return when the first of them has ended.")] = False,
    timeout: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Give up after this time, with status 124; 0 only looks.")
    ] = None,
    json: Json = False,
) -> int:
    """Wait until jobs have ended, and return their exit status."""
    hosts = host or []
    seconds = None if timeout is None else times.duration(timeout)
    result = viewing.view(
        lambda: call(
            lambda manager: manager.wait(jobs, hosts=hosts, first=first, timeout=seconds),
            jobs=jobs,
            hosts=hosts,
        ),
        back=viewing.command_line("wait", jobs, hosts),
    )
    output.tell(result, json=json)
    return status.of_result(result, first=first)
