"""The verb registry: maintain the list of jobs."""

from rjob.cli import output
from rjob.cli.client import call
from rjob.cli.options import Hosts, Verb, verbs
from rjob.models import Result

app = verbs("Look after the registry, the list of jobs.")


@app.command(cls=Verb)
def rebuild(host: Hosts = None) -> int:
    """Write the registry again from the job folders."""
    hosts = host or []
    return _tell(call(lambda manager: manager.rebuild(hosts=hosts), hosts=hosts), "rebuilt")


@app.command(cls=Verb)
def compact(host: Hosts = None) -> int:
    """Drop what the registry tells of jobs that were removed."""
    hosts = host or []
    return _tell(call(lambda manager: manager.compact(hosts=hosts), hosts=hosts), "compacted")


def _tell(result: Result, what: str) -> int:
    output.report(result)
    if not result.errors:
        output.note(f"rjob: registry {what}")
    return 1 if result.errors else 0
