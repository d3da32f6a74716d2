"""The options and arguments that several verbs share, and the layout of help texts."""

from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from rjob.cli import complete, output
from rjob.errors import UsageError

# An empty shell line is valid: it does nothing, and succeeds.
_MAY_BE_EMPTY = {"line"}


class Verb(TyperCommand):
    """A command that refuses empty option values, and whose usage line has no braces around required arguments."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the command line.

        Args:
            ctx: The command's context.
            args: The words of the command line.

        Returns:
            The remaining words.

        Raises:
            UsageError: An option has an empty value: most likely a script's variable is not set.
        """
        rest = super().parse_args(ctx, args)
        for item in () if ctx.resilient_parsing else self.params:
            value = ctx.params.get(item.name)
            if item.param_type_name != "option" or item.name in _MAY_BE_EMPTY:
                continue
            if "" in (value if isinstance(value, list | tuple) else [value]):
                raise UsageError(f"{'/'.join(item.opts)}: the value is empty")
        return rest

    def invoke(self, ctx: Any) -> Any:
        """Run the verb. The library prints help texts and completions before.

        Args:
            ctx: The command's context.
        """
        output.keep_for_data()
        return super().invoke(ctx)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the parts of the usage line.

        Args:
            ctx: The command's context.
        """
        return [piece.strip("{}") for piece in super().collect_usage_pieces(ctx)]


def verbs(help: str | None = None) -> typer.Typer:
    """Create the Typer application for the verbs of one module.

    Args:
        help: The help text of the group, where they are verbs of a verb.
    """
    return typer.Typer(help=help, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


def examples(*lines: str) -> str:
    """Format the examples at the end of a help text.

    Args:
        lines: Command lines, each with its description.
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
