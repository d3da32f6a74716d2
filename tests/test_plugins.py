"""Finding and loading transports, with distributions that the tests create; the test kit's fake machine."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from typing import TYPE_CHECKING

import pytest

from rjob.errors import ConnectFailed, ConnectionLost, PluginError
from rjob.plugins import BUILTIN, DISTRIBUTION, GROUP, Plugins
from rjob.testing.conformance import run
from rjob.testing.fake import FakeCommand, FakeMachine
from rjob.transports.base import Target, Transport

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from world import World

    Install = Callable[..., None]

GOOD = """
from rjob.hookspecs import hookimpl
from rjob.transports.base import Transport

class T(Transport):
    scheme = "{scheme}"
    async def connect(self): raise NotImplementedError

@hookimpl
def rjob_transports(): return [T]
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Provide a function that installs a distribution with one module and one entry point."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def install(distribution: str, scheme: str, code: str = GOOD) -> None:
        module = f"mod_{distribution.replace('-', '_')}"
        (site / f"{module}.py").write_text(code.replace("{scheme}", scheme))
        monkeypatch.delitem(sys.modules, module, raising=False)
        info = site / f"{distribution.replace('-', '_')}-1.5.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.5\n")
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n{scheme} = {module}\n")

    return install


@pytest.mark.parametrize("scheme", sorted(BUILTIN))
def test_builtin_transports(scheme: str) -> None:
    transport = Plugins().transport(scheme)
    assert issubclass(transport, Transport)
    assert transport.scheme == scheme


def test_the_table_is_what_the_distribution_declares() -> None:
    try:
        entries = metadata.distribution(DISTRIBUTION).entry_points.select(group=GROUP)
    except metadata.PackageNotFoundError:
        pytest.skip(f"{DISTRIBUTION} is not installed")
    assert {entry.name: entry.value for entry in entries} == BUILTIN


def test_a_builtin_transport_costs_no_scan() -> None:
    code = (
        "import sys; from rjob.plugins import Plugins; Plugins().transport('ssh');"
        "print([m for m in ('importlib.metadata', 'asyncssh', 'rjob.transports.local') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "[]\n"


def test_a_strangers_transport_is_found_by_its_scheme(install: Install) -> None:
    install("acme", "acme")
    install("broken", "broken", "raise RuntimeError('no\\nway')")
    plugins = Plugins()
    assert plugins.transport("acme").scheme == "acme"
    assert plugins.transport("acme") is plugins.transport("acme")
    assert "mod_broken" not in sys.modules


def test_a_scheme_that_nobody_serves() -> None:
    with pytest.raises(PluginError, match="no transport is installed for nosuch:"):
        Plugins().transport("nosuch")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise RuntimeError('no\\nway')", "broken: cannot load mod_broken: RuntimeError: no way"),
        (
            "import no_such_module",
            "broken: cannot load mod_broken: ModuleNotFoundError: No module named 'no_such_module'",
        ),
        ("raise SystemExit(3)", "broken: cannot load mod_broken: SystemExit: 3"),
        ("def (", "broken: cannot load mod_broken: SyntaxError"),
        ("x = 1", "broken: mod_broken brings no transport for bad:"),
        (GOOD.replace("{scheme}", "else"), "broken: mod_broken brings no transport for bad:"),
        (GOOD.replace("[T]", "[T, object()]"), "broken: the plugin brings <object object at"),
        (GOOD.replace("[T]", "[int]"), "broken: the plugin brings <class 'int'>, which is not a Transport class"),
        (GOOD.replace("[T]", "1/0"), "broken: the plugin does not work: ZeroDivisionError: division by zero"),
        (GOOD.replace("rjob_transports()", "rjob_transports(x)"), "broken: the plugin does not work: PluginValidation"),
    ],
)
def test_a_plugin_that_does_not_work_fails_the_same_way_twice(install: Install, code: str, message: str) -> None:
    install("broken", "bad", code)
    install("acme", "acme")
    plugins = Plugins()
    with pytest.raises(PluginError) as first:
        plugins.transport("bad")
    assert first.value.message.startswith(message)
    assert "\n" not in first.value.message
    with pytest.raises(PluginError) as second:
        plugins.transport("bad")
    assert second.value is first.value
    assert plugins.transport("acme").scheme == "acme"
    assert plugins.transport("ssh").scheme == "ssh"


def test_two_distributions_with_one_scheme_are_refused(install: Install) -> None:
    install("acme-one", "acme")
    install("acme-two", "acme")
    with pytest.raises(PluginError, match="acme-one and acme-two both bring the transport 'acme'"):
        Plugins().transport("acme")
    assert "mod_acme_one" not in sys.modules


def test_the_listing_tells_everything(install: Install) -> None:
    install("acme", "acme")
    install("broken", "bad", "raise RuntimeError('no way')")
    install("usurper", "ssh")
    listing = {(info.scheme, info.distribution): info for info in Plugins().listing()}
    assert listing["ssh", DISTRIBUTION].error is None
    assert listing["ssh", DISTRIBUTION].origin == "builtin"
    assert listing["acme", "acme"] == ("acme", "acme", "1.5", "mod_acme", "entry point", None)
    assert listing["bad", "broken"].error == "broken: cannot load mod_broken: RuntimeError: no way"
    assert listing["ssh", "usurper"].error == "rjob-cli and usurper both bring the transport 'ssh'"
    assert {scheme for scheme, distribution in listing if distribution == DISTRIBUTION} == {*BUILTIN}
    assert "mod_usurper" not in sys.modules


def test_what_a_plugin_prints_is_no_data(install: Install, rjob: World, tmp_path: Path) -> None:
    noisy = "print('loading')\n" + GOOD.replace("raise NotImplementedError", "print('connecting'); raise OSError('no')")
    install("noisy", "noisy", noisy)
    env = {"PYTHONPATH": str(tmp_path / "site")}
    done = rjob("get", "--json", "-H", "noisy://x", "-H", ".", status=1, env=env)
    assert [error["code"] for error in done.json["errors"]] == ["plugin"]
    assert done.errors.splitlines()[:2] == ["loading", "connecting"]
    listing = rjob("plugins", env=env)
    assert listing.text.startswith("Scheme")
    assert listing.errors == "loading\n"


def test_plugins_can_be_disabled_by_name(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("acme", "acme")
    monkeypatch.setenv("RJOB_DISABLED_PLUGINS", " acme,ssh ,local,")
    plugins = Plugins()
    for scheme in ("acme", "ssh"):
        with pytest.raises(PluginError, match="disabled") as raised:
            plugins.transport(scheme)
        assert raised.value.hint is not None
        assert "RJOB_DISABLED_PLUGINS" in raised.value.hint
    assert plugins.transport("local").scheme == "local"
    assert "mod_acme" not in sys.modules


# The fake machine


async def cat(command: FakeCommand) -> int:
    await command.write(b"%d " % len(command.argv), "err")
    while data := await command.read():
        await command.write(data)
    return 7


async def test_a_registered_plugin_serves_its_scheme() -> None:
    machine = FakeMachine(cat)
    plugins = Plugins()
    plugins.register(machine.plugin())
    transport = plugins.transport("fake")(Target.parse("fake://one"), {})
    async with await transport.connect() as connection:
        data = bytes(range(256)) * 40_000
        assert await run(connection, ["cat", "x"], data) == (data, b"2 ", 7)
    assert machine.commands == [["cat", "x"]]
    assert machine.connections == 1


@pytest.mark.parametrize("scheme", ["ssh", "fake"])
def test_a_registered_plugin_does_not_take_a_scheme_that_is_taken(scheme: str) -> None:
    plugins = Plugins()
    plugins.register(FakeMachine(cat).plugin())
    with pytest.raises(PluginError, match=f"{scheme!r} of FakePlugin is taken"):
        plugins.register(FakeMachine(cat).plugin(scheme))


async def test_a_fake_machine_that_is_out_of_reach() -> None:
    machine = FakeMachine(cat, refuse=ConnectFailed("nobody there", transient=True, host="one"))
    with pytest.raises(ConnectFailed, match="nobody there"):
        await machine.transport()(Target.parse("fake://one"), {}).connect()


async def test_a_fake_connection_that_breaks() -> None:
    machine = FakeMachine(cat)
    connection = await machine.transport()(Target.parse("fake://one", name="one"), {}).connect()
    process = await connection.run(["cat"])
    assert await process.read() == ("err", b"1 ")
    await machine.break_connections()
    with pytest.raises(ConnectionLost):
        await process.read()
    with pytest.raises(ConnectionLost):
        await connection.run(["cat"])
    await process.close()


async def test_a_fake_command_that_does_not_read() -> None:
    async def deaf(command: FakeCommand) -> int:
        await command.write(b"said")
        return 3

    machine = FakeMachine(deaf)
    connection = await machine.transport()(Target.parse("fake://one"), {}).connect()
    assert await run(connection, ["x"], b"x" * 10_000_000) == (b"said", b"", 3)


async def test_closing_a_fake_command_ends_it() -> None:
    ended = []

    async def endless(command: FakeCommand) -> int:
        try:
            while True:
                await command.write(b"y")
        finally:
            ended.append(True)

    machine = FakeMachine(endless)
    connection = await machine.transport()(Target.parse("fake://one"), {}).connect()
    process = await connection.run(["yes"])
    assert await process.read() is not None
    await connection.close()
    await process.close()
    assert ended == [True]
