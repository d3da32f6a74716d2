"""The names of hosts and users that ssh_config may hand to a command, and who may write to that file."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from world import need, requires_root

from rjob.errors import ConfigError, RjobError, UsageError
from rjob.transports.base import Target
from rjob.transports.ssh.config import HostSettings

if TYPE_CHECKING:
    from pathlib import Path

    from world import World

ODD = [*"'\"`$\\;&<>|(){}*!#~%=,?[]^+:/.é\t\n \x7f"]

TOKENS = ["%n", "%h", "%r", "%k", "%u", "%p"]


def settings_of(tmp_path: Path, config: str, target: Target) -> HostSettings:
    path = tmp_path / "config"
    path.write_text(config)
    return HostSettings.of(target, {"ssh_config": str(path)})


@pytest.mark.parametrize("token", ["%n", "'%n'", '"%n"', "%r", "%h"])
@pytest.mark.parametrize("name", ["x`>pwned`", "x$(>pwned)", "x;>pwned", "x';>pwned;'", 'x";>pwned;"', "x|>pwned"])
@pytest.mark.parametrize("form", ["1@{}", "1@{}@gpu", "-H{}", "1@ssh://{}", "1@ssh://{}@gpu"])
def test_no_name_runs_a_command(rjob: World, form: str, name: str, token: str) -> None:
    config = rjob.root / "ssh_config"
    config.write_text(
        f'Host *\n  HostName 127.0.0.1\n  Port 1\n  ProxyCommand sh -c "exit 1" {token}\nMatch exec {token}\n  User x\n'
    )
    word = form.format(name.replace("%", "%25").replace(">", "%3E") if "://" in form else name)
    done = rjob("get", word, status=None, env={"RJOB_SSH_CONFIG": str(config)})
    assert done.status != 0
    assert done.errors.startswith("rjob: ")
    assert not list(rjob.root.rglob("pwned"))


@pytest.mark.parametrize("place", ["host", "user", "jump host", "jump user"])
def test_names_that_ssh_refuses_are_refused(tmp_path: Path, place: str) -> None:
    names = [form.format(letter) for letter in ODD for form in ("a{}b", "{}ab", "ab{}", "-{}a")]
    refused = [name for name in names if not ssh_takes(name, place)]
    # Otherwise nothing would be compared: ssh refuses a quote in every place.
    assert {"a'b", "-'a"} <= {*refused}
    assert [name for name in refused if rjob_takes(tmp_path, name, place)] == []


def ssh_takes(name: str, place: str) -> bool:
    words = {
        "host": ["--", name],
        "user": ["-l", name, "--", "h"],
        "jump host": ["-J", name, "--", "h"],
        "jump user": ["-J", f"{name}@h", "--", "h"],
    }[place]
    command = [need("ssh"), "-G", "-F", "none", *words]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0


def rjob_takes(tmp_path: Path, name: str, place: str) -> bool:
    target = {
        "host": Target(name, "ssh", name),
        "user": Target("h", "ssh", "h", name),
    }.get(place, Target("h", "ssh", "h"))
    jump = {"jump host": f'ProxyJump "{name}"\n', "jump user": f'ProxyJump "{name}@h"\n'}.get(place, "")
    try:
        settings_of(tmp_path, jump, target).route()
    except RjobError:
        return False
    return True


@pytest.mark.parametrize(
    ("directive", "token"),
    # ProxyCommand knows neither %k nor %u.
    [("ProxyCommand nc {}", token) for token in TOKENS if token not in ("%k", "%u")]
    + [('Match exec "test {}"', token) for token in TOKENS],
)
def test_what_the_configuration_says_is_checked_before_a_shell_sees_it(
    tmp_path: Path, directive: str, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    marked = f"x;touch {tmp_path}/pwned"
    monkeypatch.setenv("LOGNAME", marked)
    config = f'HostName "{marked}"\nUser "{marked}"\nHostKeyAlias "{marked}"\n{directive.format(token)}\n'
    if token in ("%n", "%p"):
        settings_of(tmp_path, config, Target("h", "ssh", "h"))  # harmless: the name is h, the port a number
    else:
        with pytest.raises(ConfigError, match=f"{token} has characters"):
            settings_of(tmp_path, config, Target("h", "ssh", "h"))
    assert not (tmp_path / "pwned").exists()


def test_tokens_are_expanded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RJOB_TEST", "secret")
    inner = tmp_path / "inner"
    inner.write_text("ProxyCommand nc %%h %h\nIdentityFile /k/%%h-%r\n")
    config = f"Include {inner}\nPort 7\nUserKnownHostsFile /k/%%n-%p-%k ${{RJOB_TEST}}\n"
    found = settings_of(tmp_path, config, Target("h", "ssh", "h", "a%h"))
    assert found.config.get("ProxyCommand") == "nc %h h"
    assert [str(path) for path in found.identity_files] == ["/k/%h-a%h"]
    assert [str(path) for path in found.known_hosts] == ["/k/%n-7-h", "secret"]
    # A variable in a name is not expanded.
    with pytest.raises(UsageError):
        settings_of(tmp_path, "UserKnownHostsFile /k/%h\n", Target("h", "ssh", "${RJOB_TEST}"))


def test_match_exec_sees_the_names(tmp_path: Path) -> None:
    config = 'Match exec "expr %h-%n-%r-%p : real-h-ada-22"\n  Port 7\n'
    assert settings_of(tmp_path, f"HostName real\n{config}", Target("h", "ssh", "h", "ada")).port == 7
    assert settings_of(tmp_path, config, Target("h", "ssh", "h", "ada")).port == 22


def test_a_jump_host_with_tokens(tmp_path: Path) -> None:
    found = settings_of(tmp_path, "Host h\n  ProxyJump %r@gate-%h:%p\n  Port 7\n", Target("h", "ssh", "h", "ada"))
    (gate, _) = found.route()
    assert (gate.user, gate.hostname, gate.port) == ("ada", "gate-h", 7)


def test_includes_in_order_and_in_a_circle(tmp_path: Path) -> None:
    for number in range(9, 0, -1):
        (tmp_path / f"{number}.conf").write_text(f"Port {number}\n")
    assert settings_of(tmp_path, f"Include {tmp_path}/*.conf\n", Target("h", "ssh", "h")).port == 1
    with pytest.raises(ConfigError, match="too deep"):
        settings_of(tmp_path, f"Include {tmp_path}/config\n", Target("h", "ssh", "h"))


@pytest.mark.parametrize("line", ['Match ""', "Port 0", "Port 99999", "Port -1", 'Host "', "User \udcff"])
def test_odd_lines_are_errors_of_ours(tmp_path: Path, line: str) -> None:
    path = tmp_path / "config"
    path.write_text(line, errors="surrogateescape")
    with pytest.raises(ConfigError):
        HostSettings.of(Target("h", "ssh", "h"), {"ssh_config": str(path)})


@pytest.mark.parametrize("which", ["user", "named", "included"])
@pytest.mark.parametrize("mode", [0o602, 0o620, 0o666])
def test_a_configuration_that_others_may_write_to(rjob: World, which: str, mode: int) -> None:
    folder = rjob.root / "home/.ssh"
    folder.mkdir()
    config = folder / "config"
    config.write_text("Host gpu\n  HostName 127.0.0.1\n  Port 1\n")
    config.chmod(mode)
    env = {}
    if which == "named":
        env = {"RJOB_SSH_CONFIG": config}
    elif which == "included":
        outer = folder / "outer"
        outer.write_text(f"Include {config}\n")
        env = {"RJOB_SSH_CONFIG": outer}
    done = rjob("get", "-H", "gpu", status=1, env=env)
    assert f"{config} may be changed by other users" in done.errors
    assert f"chmod go-w {config}" in done.errors
    config.chmod(0o644)
    assert "refused" in rjob("get", "-H", "gpu", status=1, env=env).errors


@requires_root
def test_a_configuration_of_somebody_else(rjob: World) -> None:
    config = rjob.root / "config"
    config.write_text("")
    os.chown(config, 12345, 12345)
    done = rjob("get", "-H", "gpu", status=1, env={"RJOB_SSH_CONFIG": config})
    assert f"{config} belongs to somebody else" in done.errors


@pytest.mark.parametrize("table", ["defaults", "hosts.gpu"])
@pytest.mark.parametrize("transport", ["ssh", "openssh"])
def test_an_identity_file_that_is_not_there(rjob: World, table: str, transport: str) -> None:
    if transport == "openssh":
        pytest.importorskip("rjob_openssh")
    missing = rjob.root / "nowhere/key"
    rjob.config.write_text(f'[{table}]\nidentity_file = "{missing}"\ntransport = "{transport}"\n')
    done = rjob("get", "-H", "gpu", status=1)
    assert f"rjob: gpu: identity_file: {missing}: no such file" in done.errors


def test_an_identity_file_of_ssh_config_that_is_not_there(tmp_path: Path) -> None:
    found = settings_of(tmp_path, f"IdentityFile {tmp_path}/nowhere\n", Target("h", "ssh", "h"))
    assert found.identity_files == (tmp_path / "nowhere",)  # as with ssh: there may be others
