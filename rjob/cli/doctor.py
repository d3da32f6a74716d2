"""The verb doctor: find out what is wrong with a machine."""

from typing import Annotated

import typer

from rjob.cli import complete, output
from rjob.cli.client import call
from rjob.cli.options import Verb, verbs
from rjob.cli.text import visible

app = verbs()


@app.command(cls=Verb)
def doctor(
    host: Annotated[
        str,
        typer.Argument(metavar="[HOST]", show_default=False, help="Default: here.", autocompletion=complete.hosts),
    ] = ".",
) -> int:
    """Check everything that rjob needs on a machine."""
    findings = call(lambda manager: manager.doctor(host), hosts=[host])
    for finding in findings:
        output.data(f"{finding.level:<8} {visible(finding.text)}")
        if finding.hint:
            output.data(f"{'':<8} {visible(finding.hint)}")
    return 1 if any(finding.level == "problem" for finding in findings) else 0
