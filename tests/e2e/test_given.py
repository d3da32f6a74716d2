"""What a job is given reaches it, whatever its name, and nothing else does: through the real command."""

from __future__ import annotations

import signal
import subprocess
from typing import TYPE_CHECKING

import pytest
from world import RJOB

if TYPE_CHECKING:
    from world import World

NAMES = (
    *(
        "rj_job",
        "rj_owner",
        "rj_home",
        "rj_marker",
        "rj_secrets",
        "rj_id",
        "rj_detach",
        "rj_tool",
        "rj_boot",
        "rj_line",
    ),
    *("PATH", "IFS", "HOME", "LANG", "ENV", "PS4", "CDPATH", "TMPDIR", "LC_ALL", "SHELL", "PWD", "OLDPWD", "A", "_A"),
)
AWKWARD = ("UID", "PPID", "SECONDS", "OPTIND", "RANDOM", "BASH_COMPAT", "SHELLOPTS")
VALUES = {
    "PATH": "/nowhere:/usr/bin:/bin",
    "LC_ALL": "C",
    "LANG": "C",
    "HOME": "/",
    "SHELL": "/bin/sh",
    "ENV": "/dev/null",
}


def environment(rjob: World, ref: str) -> dict[str, str]:
    out = rjob("receive", "--all", ref).text
    return dict(item.split("=", 1) for item in out.split("\0") if item)


@pytest.mark.parametrize("option", ["-e", "--secret", "--env-file"])
def test_variables_of_any_name_reach_the_job(rjob: World, option: str) -> None:
    values = {name: VALUES.get(name, f'it\'s {name} %25 "x"\nline two') for name in NAMES}
    values |= {} if option == "--secret" else dict.fromkeys(AWKWARD, "7")
    if option == "--env-file":
        values = {name: value.partition("\n")[0] for name, value in values.items()}
        (rjob.root / "env").write_text("".join(f"{name}={value}\n" for name, value in values.items()))
        words = [option, str(rjob.root / "env")]
    elif option == "-e":
        words = [word for name, value in values.items() for word in (option, f"{name}={value}")]
    else:
        words = [word for name in values for word in (option, name)]
    start = [*RJOB, "start", "-q", *words, "/usr/bin/env", "-0"]
    env = rjob.env | (
        {name: values[name] for name in values if name not in ("HOME", "PATH")} if option == "--secret" else {}
    )
    if option == "--secret":
        env |= {"HOME": values["HOME"], "PATH": values["PATH"], "PYTHONUTF8": "1"}
    done = subprocess.run(start, env=env, cwd=rjob.root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done
    ref = done.stdout.strip()
    assert rjob.ended(ref)["state"] == "Completed", rjob("receive", ref).errors
    got = environment(rjob, ref)
    assert {name: got.get(name) for name in values} == values
    assert got["RJOB_ID"] == ref
    assert got["RJOB_INSTANCE"] == rjob.job(ref)["instance_id"]


@pytest.mark.parametrize("name", AWKWARD)
def test_a_secret_that_no_shell_hands_on_is_refused(rjob: World, name: str) -> None:
    done = rjob("start", "--secret", name, "true", env={name: "7"}, status=2)
    assert name in done.errors


def test_a_variable_of_the_callers_is_not_the_runners(rjob: World) -> None:
    ref = rjob.start("/usr/bin/env", "-0", env={"rj_op": "x", "rj_self": "y", "RJOB_SUPERVISES": "z"})
    rjob.ended(ref)
    assert "RJOB_SUPERVISES" not in environment(rjob, ref)


def test_a_path_that_is_given_is_the_one_that_is_searched(rjob: World) -> None:
    folder = rjob.root / "tools"
    folder.mkdir()
    (folder / "mytool").write_text("#!/bin/sh\necho found\n")
    (folder / "mytool").chmod(0o755)
    ref = rjob.start("-e", f"PATH={folder}:/usr/bin:/bin", "mytool")
    assert rjob.ended(ref)["state"] == "Completed"
    assert rjob("receive", ref).text == "found\n"


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1])
def test_a_job_starts_with_default_signals_whatever_the_caller_ignores(rjob: World, number: signal.Signals) -> None:
    def ignore() -> None:
        signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])

    ref = rjob.popen("start", "-q", "cat", "/proc/self/status", preexec_fn=ignore).communicate()[0].decode().strip()
    rjob.ended(ref)
    lines = dict(line.split(":\t") for line in rjob("receive", ref).text.splitlines() if line.startswith("Sig"))
    assert int(lines["SigIgn"], 16) == 0
    assert int(lines["SigBlk"], 16) == 0


# -------------------------------------------------------------------------------------- what could not be started


@pytest.mark.parametrize("login", [(), ("-e", "A=b")], ids=["plain", "with variables"])
def test_what_could_not_be_started_is_named(rjob: World, login: tuple[str, ...]) -> None:
    where = rjob.root / "work"
    where.mkdir()
    plain, script = where / "plain", where / "script"
    plain.write_text("echo hi\n")
    script.write_text("#!/no/such/interpreter -x\n")
    script.chmod(0o755)
    (where / "here").write_text("#!/bin/sh\necho here\n")
    (where / "here").chmod(0o755)
    told = {
        "nosuch": (127, "nosuch: not found"),
        "here": (127, "here: not found; ./here is there"),
        "./nosuch": (127, "./nosuch: not found"),
        "./plain": (126, "./plain: cannot be executed"),
        ".": (127, ".: not found"),
        str(where): (126, f"{where}: is a directory"),
        "./script": (127, "./script: its interpreter /no/such/interpreter is not there"),
        "exit": (127, "exit: not found"),
        "nosuch with blanks": (127, "nosuch with blanks: not found; for a shell line use -c"),
    }
    refs = [rjob.start(*login, "-C", str(where), command) for command in told]
    jobs = rjob("wait", *refs, "--json", status=1).json["jobs"]
    assert [(job["exit_code"], job["reason"]) for job in jobs] == list(told.values())
    for job in jobs:
        assert (job["state"], job["output_bytes"]) == ("Failed", {"out": 0, "err": 0}), job


def test_a_shell_that_is_not_there_is_named(rjob: World) -> None:
    job = rjob.ended(rjob.start("--shell", "nosuchshell", "-c", "true"))
    assert (job["exit_code"], job["reason"]) == (127, "nosuchshell: not found")


# -------------------------------------------------------------------------------------------------- directories


def test_a_directory_that_is_given_works_when_the_current_one_is_gone(rjob: World) -> None:
    gone = rjob.root / "gone"
    gone.mkdir()
    line = 'cd gone && rmdir ../gone && exec "$@"'
    start = ["sh", "-c", line, "sh", *RJOB, "start", "-q"]
    done = subprocess.run([*start, "-C", "/", "pwd"], env=rjob.env, cwd=rjob.root, capture_output=True, check=True)
    ref = done.stdout.decode().strip()
    rjob.ended(ref)
    assert rjob("receive", ref).text == "/\n"
    gone.mkdir()
    done = subprocess.run([*start, "pwd"], env=rjob.env, cwd=rjob.root, capture_output=True, check=False)
    assert (done.returncode, b"Traceback" in done.stderr) == (2, False), done
    assert b"current directory" in done.stderr
