"""The verb start: run a command in the background."""

from typing import Annotated

import typer

from rjob.cli import output, status, viewing
from rjob.cli.call import call
from rjob.cli.guard import Guard
from rjob.cli.options import Hosts, Json, Quiet, StopOnExit, Verb, examples, verbs
from rjob.cli.spec import Asked, spec_of
from rjob.errors import RjobError, UsageError
from rjob.models import Result

app = verbs()

_EXAMPLES = examples(
    "rjob start make -C src -n all           make gets all of it",
    "rjob start -c 'make && make test'       a shell line",
    "rjob start -H gpu -n train ./train.sh   on the host gpu",
    "rjob start --script setup.sh -- -v      a file, with its argument",
    "rjob start -f make check                and look on; Ctrl-C leaves the job alone",
)


Words = Annotated[
    list[str] | None,
    typer.Argument(metavar="[COMMAND] [ARG]...", show_default=False, help="Executed exactly as given."),
]
Name = Annotated[str | None, typer.Option("-n", "--name", metavar="NAME", help="What to call the job.")]
Line = Annotated[str | None, typer.Option("-c", metavar="LINE", help="Run a shell line instead of COMMAND.")]
Script = Annotated[
    str | None, typer.Option(metavar="FILE", help="Send and run a script instead of COMMAND; '-' is stdin.")
]
Directory = Annotated[
    str | None,
    typer.Option(
        "-C",
        "--directory",
        metavar="DIR",
        help="Where to run it; a relative one begins here, on a host in the home, as without -C.",
    ),
]
Env = Annotated[
    list[str] | None,
    typer.Option("-e", "--env", metavar="KEY[=VALUE]", help="Set a variable; without a value, to yours."),
]
EnvFile = Annotated[list[str] | None, typer.Option(metavar="FILE", help="Set the variables of KEY=VALUE lines.")]
Secret = Annotated[
    list[str] | None, typer.Option(metavar="KEY", help="Set a variable to your value; it is never written to a disk.")
]
Stdin = Annotated[str | None, typer.Option(metavar="FILE", help="What the command reads; '-' is this command's stdin.")]
Shell = Annotated[str | None, typer.Option(metavar="PROG", help="The program that runs LINE or the script.")]
Login = Annotated[bool, typer.Option("--login", help="Run it in the login shell, which reads the profile.")]
TimeLimit = Annotated[
    str | None, typer.Option(metavar="DURATION", help="End the job after this time, such as 90, 2m or 1h30m.")
]
Merge = Annotated[bool, typer.Option("--merge", help="Let standard error go where standard output goes.")]
Wait = Annotated[bool, typer.Option("--wait", help="Return when the job has ended, with its exit status.")]
Follow = Annotated[bool, typer.Option("-f", "--follow", help="Show the output until the job has ended.")]


# Options end at the first word of COMMAND: the rest is the command's, whatever it looks like.
@app.command(cls=Verb, epilog=_EXAMPLES, context_settings={"allow_interspersed_args": False})
def start(
    *,
    words: Words = None,
    host: Hosts = None,
    name: Name = None,
    line: Line = None,
    script: Script = None,
    directory: Directory = None,
    env: Env = None,
    env_file: EnvFile = None,
    secret: Secret = None,
    stdin: Stdin = None,
    shell: Shell = None,
    login: Login = False,
    time_limit: TimeLimit = None,
    merge: Merge = False,
    wait: Wait = False,
    follow: Follow = False,
    stop_on_exit: StopOnExit = False,
    quiet: Quiet = False,
    json: Json = False,
) -> int:
    """Start a command in the background, here or on a host."""
    if follow and (wait or json):
        raise UsageError(f"-f and {'--wait' if wait else '--json'} exclude each other")
    if stop_on_exit and not (wait or follow):
        raise UsageError("--stop-on-exit goes with -f or --wait")
    hosts = host or []
    asked = Asked(
        words=words or (),
        line=line,
        script=script,
        name=name,
        directory=directory,
        env=env or (),
        env_files=env_file or (),
        secrets=secret or (),
        stdin=stdin,
        shell=shell,
        login=login,
        time_limit=time_limit,
        merge=merge,
    )
    spec = spec_of(asked)
    with Guard(stop=stop_on_exit) as guard:
        started = call(lambda manager: manager.start(spec, hosts=hosts, launching=guard.launching), hosts=hosts)
        guard.started(started, hosts)
        if not (wait or follow):
            return output.tell(started, "started", quiet=quiet, json=json)
        lost = _announce(started, follow=follow, quiet=quiet, json=json)
        ended = _view(started, hosts, follow=follow, stop_on_exit=stop_on_exit)
        guard.ended(ended)
    ended = ended._replace(errors=started.errors + ended.errors)
    if follow or quiet:
        output.report(ended)
    else:
        output.tell(ended, json=json)
    return status.of_result(ended._replace(errors=lost + ended.errors), unfinished=status.UNKNOWN)


def _announce(started: Result, *, follow: bool, quiet: bool, json: bool) -> tuple[RjobError, ...]:
    """Say what was started; with ``-f`` standard output is the job's, and JSON comes at the end.

    A reference that cannot be printed is told of and returned: the job runs, and is waited for all the same.
    """
    if json or (quiet and follow):
        return ()
    try:
        output.tell(started._replace(errors=()), "started", quiet=quiet)
    except output.NotPrinted as error:
        output.trouble(error)
        return (error,)
    return ()


def _view(started: Result, hosts: list[str], *, follow: bool, stop_on_exit: bool) -> Result:
    """Look at what was started until it ends."""
    refs = [viewing.address(job, hosts) for job in started.jobs]
    if not refs:
        return Result()

    def look() -> Result:
        if not follow:
            return call(lambda manager: manager.wait(refs), jobs=refs)
        from rjob.cli.delivery import Delivery

        sink = Delivery(prefix=len(refs) > 1)
        return call(lambda manager: manager.receive(refs, sink, follow=True), jobs=refs, loop=len(refs) > 1)

    verb = ["rjob", "receive", "-f"] if follow else ["rjob", "wait"]
    return look() if stop_on_exit else viewing.view(look, back=[*verb, *refs])
