"""The program rjob: its verbs, the conversion of errors to messages, and exit statuses."""

import os
import sys
import traceback
from collections.abc import Iterator, MutableMapping, Sequence
from importlib import import_module
from typing import Annotated, Any, cast

import typer
from typer.core import TyperGroup
from typer.main import get_command

from rjob.cli import output
from rjob.cli.status import UNKNOWN
from rjob.errors import RjobError, UsageError
from rjob.models import Result

VERBS = {
    "start": "start",
    "get": "get",
    "wait": "wait",
    "receive": "receive",
    "stop": "stop",
    "signal": "stop",
    "suspend": "stop",
    "resume": "stop",
    "retry": "retry",
    "remove": "remove",
    "prune": "remove",
    "hosts": "hosts",
    "config": "hosts",
    "plugins": "plugins",
    "doctor": "doctor",
    "registry": "registry",
}
"""The verbs, in the order of the help text, with their modules under rjob.cli."""


class Verbs(TyperGroup):
    """The group of all verbs.

    Only the verb that is used is imported and built: building all takes a good part of a short command's time.
    """

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = cast("MutableMapping[str, Any]", _Commands())


class _Commands(MutableMapping[str, Any]):
    """The verbs' commands by name, built when they are looked up."""

    def __init__(self) -> None:
        self._built: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._built:
            command = get_command(import_module(f"rjob.cli.{VERBS[name]}").app)
            # A module with one verb yields a command, one with several verbs a group; registry is itself a group.
            inner = command.commands.get(name) if isinstance(command, TyperGroup) else None
            self._built[name] = inner or command
        return self._built[name]

    def __iter__(self) -> Iterator[str]:
        return iter(VERBS)

    def __len__(self) -> int:
        return len(VERBS)

    def __setitem__(self, name: str, command: Any) -> None:
        self._built[name] = command

    def __delitem__(self, name: str) -> None:
        del self._built[name]


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        output.data(f"rjob {version('rjob-cli')}")
        raise typer.Exit


app = typer.Typer(name="rjob", cls=Verbs, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.callback()
def rjob(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Background jobs on any machine, from any shell."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program.

    Args:
        arguments: The command line without the program's name; None for this process's.

    Returns:
        The exit status.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    output.prepare()
    if "_RJOB_COMPLETE" in os.environ:
        # Typer would use rich for the help texts of completions, which takes longer than all the rest.
        sys.modules["rich"] = None  # type: ignore[assignment]
    command = get_command(app)
    try:
        return int(command.main(words or ["--help"], prog_name="rjob", standalone_mode=False) or 0)
    except typer.TyperException as error:
        context: Any = getattr(error, "ctx", None)
        verb = next((word for word in words if word in VERBS), None)
        path = context.command_path if context else f"rjob {verb}" if verb else "rjob"
        return _fail(UsageError(error.format_message().rstrip("."), hint=f"{path} --help"), words)
    except RjobError as error:
        return _fail(error, words)
    except SystemExit as end:
        # Typer raises this after it has completed a command line.
        return _status(1, _parameters(words)) if end.code else 0
    except Exception:
        # A fault of rjob itself: show the traceback, but do not let the exit status pass for a job's.
        traceback.print_exc()
        return _status(1, _parameters(words))
    finally:
        # Connections are open only if this module was imported.
        if call := sys.modules.get("rjob.cli.client"):
            call.hang_up()


def _fail(error: RjobError, words: Sequence[str]) -> int:
    parameters = _parameters(words)
    if parameters.get("json") and not isinstance(error, output.NotPrinted):
        try:
            output.as_json(Result(errors=(error,)))
        except output.NotPrinted as lost:
            output.trouble(lost)
    output.trouble(error)
    return _status(2 if isinstance(error, UsageError) else 1, parameters)


def _status(status: int, parameters: dict[str, Any]) -> int:
    """Return the exit status for an error: UNKNOWN where a job's exit status is expected."""
    return UNKNOWN if parameters.get("gives_job_status") else status


def _parameters(words: Sequence[str]) -> dict[str, Any]:
    """Parse as much as possible of a command line that may be malformed."""
    verb = next((word for word in words if not word.startswith("-")), "")
    if verb not in VERBS:
        return {}
    rest = list(words[words.index(verb) + 1 :])
    settings = {"resilient_parsing": True, "ignore_unknown_options": True}
    found = dict(_Commands()[verb].make_context(verb, rest, **settings).params)
    looks_on = bool(found.get("follow") or found.get("wait"))
    return found | {"gives_job_status": verb == "wait" or (verb in ("start", "receive") and looks_on)}
