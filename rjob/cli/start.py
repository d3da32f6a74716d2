"""The verb start: run a command in the background."""

from typing import Annotated, NamedTuple

import typer

from rjob.cli import output, status, viewing
from rjob.cli.client import call
from rjob.cli.guard import Guard
from rjob.cli.options import Hosts, Json, Quiet, StopOnExit, Verb, examples, verbs
from rjob.cli.spec import StartOptions, spec_of
from rjob.errors import RjobError, UsageError
from rjob.models import JobSpec, Result

app = verbs()

_EXAMPLES = examples(
    "rjob start make -C src -n all           make gets all of it",
    "rjob start -c 'make && make test'       a shell line",
    "rjob start -H gpu -n train ./train.sh   on the host gpu",
    "rjob start --script setup.sh -- -v      a file, with its argument",
    "rjob start -f make check                follow its output; Ctrl-C leaves the job alone",
)


Words = Annotated[
    list[str] | None,
    typer.Argument(metavar="[COMMAND] [ARG]...", show_default=False, help="Executed exactly as given."),
]
Name = Annotated[str | None, typer.Option("-n", "--name", metavar="NAME", help="A name for the job.")]
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
Stdin = Annotated[
    str | None, typer.Option(metavar="FILE", help="A file as standard input; '-' is this command's stdin.")
]
Shell = Annotated[str | None, typer.Option(metavar="PROG", help="The program that runs LINE or the script.")]
Login = Annotated[bool, typer.Option("--login", help="Run it in the login shell, which reads the profile.")]
TimeLimit = Annotated[
    str | None, typer.Option(metavar="DURATION", help="End the job after this time, such as 90, 2m or 1h30m.")
]
Merge = Annotated[bool, typer.Option("--merge", help="Send standard error where standard output goes.")]
Wait = Annotated[bool, typer.Option("--wait", help="Return when the job has ended, with its exit status.")]
Follow = Annotated[bool, typer.Option("-f", "--follow", help="Show the output until the job has ended.")]


# Options end at the first word of COMMAND: the rest belongs to the command, whatever it looks like.
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
    asked = StartOptions(
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
    if (wait or follow) and not stop_on_exit:
        looked = _run(spec, hosts, follow=follow, quiet=quiet, json=json)
    else:
        with Guard(stop=stop_on_exit) as guard:
            started = call(lambda manager: manager.start(spec, hosts=hosts, launching=guard.launching), hosts=hosts)
            guard.started(started, hosts)
            if not (wait or follow):
                return output.tell(started, "started", quiet=quiet, json=json)
            looked = _view(started, hosts, follow=follow, quiet=quiet, json=json)
            guard.ended(looked.ended)
    if follow or quiet:
        output.report(looked.ended)
    else:
        output.tell(looked.ended, json=json)
    unprinted = looked.ended._replace(errors=looked.unprinted + looked.ended.errors)
    return status.of_result(unprinted, unfinished=status.UNKNOWN)


class _Looked(NamedTuple):
    """The result of starting and following jobs: how they ended, and the errors of references that were not printed."""

    ended: Result
    unprinted: tuple[RjobError, ...]


def _run(spec: JobSpec, hosts: list[str], *, follow: bool, quiet: bool, json: bool) -> _Looked:
    """Start jobs and follow them until they end: one command on each host."""
    from rjob.cli.delivery import Delivery

    unprinted: list[RjobError] = []
    back: list[str] = []
    sink = Delivery() if follow else None
    guard = Guard(stop=False)

    def begun(started: Result) -> None:
        guard.confirmed(started, hosts)
        unprinted.extend(_announce(started, follow=follow, quiet=quiet, json=json))
        refs = [viewing.address(job, hosts) for job in started.jobs]
        back.extend(["rjob", *(("receive", "-f") if follow else ("wait",)), *refs] if refs else ())
        if sink:
            sink.prefix = len(refs) > 1

    def look() -> Result:
        try:
            return call(
                lambda manager: manager.run(spec, begun, hosts=hosts, launching=guard.launching, sink=sink), hosts=hosts
            )
        except KeyboardInterrupt:
            guard.interrupted()
            raise

    return _Looked(viewing.view(look, back=back), tuple(unprinted))


def _announce(started: Result, *, follow: bool, quiet: bool, json: bool) -> tuple[RjobError, ...]:
    """Print what was started; with ``-f`` standard output is the job's, and JSON comes at the end.

    If a reference cannot be printed, the error is printed and returned: the job runs, and is waited for all the same.
    """
    if json or (quiet and follow):
        return ()
    try:
        output.tell(started._replace(errors=()), "started", quiet=quiet)
    except output.NotPrinted as error:
        output.trouble(error)
        return (error,)
    return ()


def _view(started: Result, hosts: list[str], *, follow: bool, quiet: bool, json: bool) -> _Looked:
    """Follow the jobs that were started until they end; the guard stops them if this command ends first."""
    unprinted = _announce(started, follow=follow, quiet=quiet, json=json)
    refs = [viewing.address(job, hosts) for job in started.jobs]
    ended = Result()
    if refs and follow:
        from rjob.cli.delivery import Delivery

        sink = Delivery(prefix=len(refs) > 1)
        ended = call(lambda manager: manager.receive(refs, sink, follow=True), jobs=refs, loop=len(refs) > 1)
    elif refs:
        ended = call(lambda manager: manager.wait(refs), jobs=refs)
    return _Looked(ended._replace(errors=started.errors + ended.errors), unprinted)
