"""The verb retry: start finished jobs again."""

from typing import Annotated

import typer

from rjob.cli import output
from rjob.cli.client import call
from rjob.cli.options import Hosts, Jobs, Json, Quiet, Verb, verbs

app = verbs()


@app.command(cls=Verb)
def retry(
    *,
    jobs: Jobs,
    host: Hosts = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only those that did not complete.")] = False,
    secret: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="Set a secret that the job was given to your value; no other leaves here."),
    ] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> int:
    """Start finished jobs again, as new jobs."""
    hosts, secrets = host or [], secret or []
    result = call(
        lambda manager: manager.retry(jobs, hosts=hosts, failed=failed, secrets=secrets), jobs=jobs, hosts=hosts
    )
    return output.tell(result, "started", quiet=quiet, json=json)
