"""The verbs that act on running jobs: stop, signal, suspend, resume."""

from typing import Annotated

import typer

from rjob import times
from rjob.cli import output
from rjob.cli.client import call
from rjob.cli.options import Hosts, Job, Jobs, Json, Verb, verbs

app = verbs()


@app.command(cls=Verb)
def stop(
    jobs: Jobs,
    host: Hosts = None,
    signal: Annotated[str, typer.Option(metavar="SIGNAL", help="The first signal.")] = "TERM",
    grace: Annotated[
        str | None, typer.Option(metavar="DURATION", help="How long to wait before the kill, 10s by default.")
    ] = None,
    json: Json = False,
) -> int:
    """Stop jobs and all that they started.  They get a signal, then time to end, then a kill."""
    hosts = host or []
    seconds = None if grace is None else times.duration(grace)
    result = call(lambda manager: manager.stop(jobs, hosts=hosts, signal=signal, grace=seconds), jobs=jobs, hosts=hosts)
    return output.tell(result, json=json)


@app.command(cls=Verb)
def signal(
    job: Job,
    name: Annotated[str, typer.Argument(metavar="SIGNAL", show_default=False, help="A name or number: HUP, USR1, 10.")],
    host: Hosts = None,
    json: Json = False,
) -> int:
    """Send a signal to a job's main process."""
    hosts = host or []
    result = call(lambda manager: manager.signal([job], name, hosts=hosts), jobs=[job], hosts=hosts)
    output.report(result, json=json)
    return 1 if result.errors else 0


@app.command(cls=Verb)
def suspend(jobs: Jobs, host: Hosts = None, json: Json = False) -> int:
    """Suspend jobs until they are resumed."""
    hosts = host or []
    return output.tell(call(lambda manager: manager.suspend(jobs, hosts=hosts), jobs=jobs, hosts=hosts), json=json)


@app.command(cls=Verb)
def resume(jobs: Jobs, host: Hosts = None, json: Json = False) -> int:
    """Resume suspended jobs."""
    hosts = host or []
    return output.tell(call(lambda manager: manager.resume(jobs, hosts=hosts), jobs=jobs, hosts=hosts), json=json)
