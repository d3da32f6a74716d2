"""The verbs that remove jobs: remove, prune."""

from typing import Annotated

import typer

from rjob import times
from rjob.cli import output
from rjob.cli.client import call
from rjob.cli.options import Hosts, Jobs, Json, Verb, verbs

app = verbs()


@app.command(cls=Verb)
def remove(
    jobs: Jobs,
    host: Hosts = None,
    force: Annotated[bool, typer.Option("--force", help="Stop those that have not ended.")] = False,
    json: Json = False,
) -> int:
    """Remove finished jobs with their output."""
    hosts = host or []
    result = call(lambda manager: manager.remove(jobs, hosts=hosts, force=force), jobs=jobs, hosts=hosts)
    return output.tell(result, "removed", json=json)


@app.command(cls=Verb)
def prune(
    host: Hosts = None,
    older_than: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Only those that ended longer ago, such as 30d.")
    ] = None,
    keep: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Keep the newest N, however old they are.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show which jobs would be removed.")] = False,
    json: Json = False,
) -> int:
    """Remove all finished jobs, or the old ones."""
    hosts = host or []
    age = None if older_than is None else times.duration(older_than)
    result = call(lambda manager: manager.prune(hosts=hosts, older_than=age, keep=keep, dry_run=dry_run), hosts=hosts)
    return output.tell(result, "would be removed" if dry_run else "removed", json=json)
