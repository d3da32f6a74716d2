"""The options and arguments that several verbs share, and how help texts look."""

from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from rjob.cli import complete


class Verb(TyperCommand):
    """A command whose usage line has no braces around what is required."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The parts of the usage line.

        Args:
            ctx: The command's context.
        """
        return [piece.strip("{}") for piece in super().collect_usage_pieces(ctx)]


def verbs(help: str | None = None) -> typer.Typer:
    """A place for the verbs of one module.

    Args:
        help: What they have in common, where they are verbs of a verb.
    """
    return typer.Typer(help=help, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


def examples(*lines: str) -> str:
    """The end of a help text.

    Args:
        lines: Command lines, each with what it does.
    """
    # The backspace keeps the help formatter from joining the lines.
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


_JOB_HELP = "An id, a range 3-7, a name, a glob, an instance id or 'last', each also with @HOST."
_HOST_HELP = "Whose jobs: a host, a node set web[01-20] or a group @web; '.' is this machine, the default."

Jobs = Annotated[
    list[str], typer.Argument(metavar="JOB...", show_default=False, help=_JOB_HELP, autocompletion=complete.jobs)
]
Job = Annotated[str, typer.Argument(metavar="JOB", show_default=False, help=_JOB_HELP, autocompletion=complete.jobs)]
Hosts = Annotated[
    list[str] | None,
    typer.Option("-H", "--host", metavar="HOST", help=_HOST_HELP, autocompletion=complete.hosts),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Print references only, one a line.")]
StopOnExit = Annotated[bool, typer.Option("--stop-on-exit", help="Stop the job when this command ends before it.")]
