"""Settings: reading, checking and explaining them, expanding hosts and groups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rjob import config, settings
from rjob.config import Config, Setting
from rjob.errors import ConfigError, RjobError, UsageError
from rjob.settings import KEYS, TYPES
from rjob.transports.base import Target


def load(tmp_path: Path, text: str, **environ: str) -> Config:
    file = tmp_path / "config.toml"
    file.write_text(text, encoding="utf-8")
    return Config.load({"RJOB_CONFIG": str(file), **environ})


def test_where_the_file_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    assert config.config_path({}) == Path("/home/ada/.config/rjob/config.toml")
    assert config.config_path({"XDG_CONFIG_HOME": "/etc/xdg"}) == Path("/etc/xdg/rjob/config.toml")
    assert config.config_path({"XDG_CONFIG_HOME": "relative"}) == Path("/home/ada/.config/rjob/config.toml")
    assert config.config_path({"RJOB_CONFIG": "~/other.toml"}) == Path("/home/ada/other.toml")
    assert config.config_path({"HOME": "/home/bob/"}) == Path("/home/bob/.config/rjob/config.toml")
    assert config.config_path({"HOME": "/", "RJOB_CONFIG": "~/other.toml"}) == Path("/other.toml")


def test_where_jobs_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    assert config.home({}) == Path("/home/ada/.local/state/rjob")
    assert config.home({"HOME": "/home/bob"}) == Path("/home/bob/.local/state/rjob")
    assert config.home({"XDG_STATE_HOME": "/elsewhere"}) == Path("/home/ada/.local/state/rjob")
    assert config.home({"RJOB_HOME": "/srv/jobs"}) == Path("/srv/jobs")


def test_no_file_is_no_settings(tmp_path: Path) -> None:
    nothing = Config.load({"XDG_CONFIG_HOME": str(tmp_path)})
    assert nothing.host_names == []
    assert nothing.get("newest") == 20


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        Config.load({"RJOB_CONFIG": str(tmp_path / "none.toml")})


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="directory"):
        Config.load({"RJOB_CONFIG": str(tmp_path)})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[defaults]\nnewest = \n", "config.toml: .*line 2"),
        ("[default]", "unknown table 'default'"),
        ("defaults = 1", r"\[defaults\] expected a table"),
        ("hosts.gpu = 1", r"\[hosts.gpu\] expected a table"),
        ("[defaults]\nnewset = 3", r"config.toml: \[defaults\] unknown key 'newset'"),
        ("[hosts.gpu]\ngrace = 3", r"\[hosts.gpu\] unknown key 'grace'"),
        ('[hosts."a.b"]\nusr = "x"', r"\[hosts.\"a.b\"\] unknown key 'usr'"),
        ("[defaults]\nnewest = -1", "newest: expected a whole number, 0 or more, not -1"),
        ("[defaults]\nnewest = true", "newest: expected"),
        ('[defaults]\nthrottle = "many"', "throttle: expected"),
        ('[defaults]\ncolor = "blue"', "color: expected one of auto, always, never"),
        ('[defaults]\ngrace = "soon"', "grace: expected seconds"),
        ("[defaults]\ngrace = nan", "grace: expected seconds"),
        ("[defaults]\ngrace = -1", "grace: expected seconds"),
        ("[defaults]\nhost = 1", "host: expected a string or a list"),
        ("[hosts.gpu]\nport = 70000", "port: expected a port number"),
        ('[hosts.gpu]\nuser = ""', "user: expected a string"),
        ('[hosts.gpu]\nrunner = "dos"', "runner: expected one of posix, windows"),
        ('[defaults]\ntransport = "ssh://gpu"', "transport: a URL is for one host"),
        ('[hosts.gpu]\npassword = "x"', "password: no secret belongs"),
        ('[hosts.gpu.options]\napi_token = "x"', r"\[hosts.gpu.options\] api_token: no secret"),
        ('[hosts."-o"]', "not a name for a host"),
        ('[hosts."a b"]', "not a name for a host"),
        ('[hosts."web[1-2]"]', "not a name for a host"),
        ('[groups]\nall = "gpu"', "not a name for a group"),
        ("[groups]\nweb = 3", "web: expected a string or a list"),
        ('[groups]\nweb = "web[1-"', "web: bracket not closed"),
    ],
)
def test_mistakes(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, text)


def test_mistakes_name_the_nearest_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, "[defaults]\nnewset = 3")
    assert caught.value.hint == "did you mean newest?"


def test_a_file_that_is_not_utf8(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(b"# fine\n# \xff\n")
    with pytest.raises(ConfigError, match="not UTF-8 .at line 2"):
        Config.load({"RJOB_CONFIG": str(file)})


def test_precedence(tmp_path: Path) -> None:
    text = '[defaults]\nhost = "file"\n'
    assert Config().get("host") == ["."]
    assert load(tmp_path, text).get("host") == ["file"]
    assert load(tmp_path, text, RJOB_HOST="environment").get("host") == ["environment"]
    assert load(tmp_path, text, RJOB_HOST="environment").get("host", ["flag"]) == ["flag"]
    assert load(tmp_path, text, RJOB_HOST="").get("host") == ["file"]


def test_a_mistake_in_the_environment() -> None:
    with pytest.raises(ConfigError, match="RJOB_HOST: expected a string"):
        Config(environ={"RJOB_HOST": "a\nb"})


def test_explain(tmp_path: Path) -> None:
    text = '[defaults]\ngrace = "1m"\n[hosts."a.b"]\nuser = "ada"\n[groups]\nweb = "web[1-2]"\n'
    explained = load(tmp_path, text, RJOB_HOST="gpu").explain()
    assert Setting("defaults.host", ["gpu"], "RJOB_HOST") in explained
    assert Setting("defaults.grace", 60.0, "file") in explained
    assert Setting("defaults.newest", 20, "default") in explained
    assert Setting('hosts."a.b".user', "ada", "file") in explained
    assert Setting("groups.web", ["web[1-2]"], "file") in explained


GROUPS = """
[hosts.gpu]
[hosts.db1]
[groups]
web = "web[1-2]"
db = ["db[1-2]", "web2"]
both = "@web,@db"
odd = ["@both", "x", "@web"]
"""


@pytest.mark.parametrize(
    ("names", "hosts"),
    [
        ([], []),
        (["gpu"], ["gpu"]),
        (["b,a", "a"], ["b", "a"]),
        (["n[1-2]", "n2"], ["n1", "n2"]),
        (["@web"], ["web1", "web2"]),
        (["@both"], ["web1", "web2", "db1", "db2"]),
        (["@odd"], ["web1", "web2", "db1", "db2", "x"]),
        (["@all"], ["gpu", "db1"]),
        (["x,@all,@web"], ["x", "gpu", "db1", "web1", "web2"]),
        (["."], ["."]),
        (["root@n[1-2]"], ["root@n1", "root@n2"]),
    ],
)
def test_hosts(tmp_path: Path, names: list[str], hosts: list[str]) -> None:
    assert load(tmp_path, GROUPS).hosts(names) == hosts


def test_an_unknown_group(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no group @wbe") as caught:
        load(tmp_path, GROUPS).hosts(["@wbe"])
    assert caught.value.hint == "did you mean @web?"


@pytest.mark.parametrize("members", ['a = "@a"', 'a = "@b"\nb = ["x", "@c"]\nc = "@a"'])
def test_a_group_that_contains_itself(tmp_path: Path, members: str) -> None:
    with pytest.raises(ConfigError, match="contains itself: @a → .*@a"):
        load(tmp_path, f"[groups]\n{members}").hosts(["@a"])


TARGETS = """
[defaults]
user = "ada"
connect_timeout = 5
[hosts.gpu]
hostname = "10.0.0.7"
port = 2222
identity_file = "/keys/gpu"
options = { colour = "red" }
[hosts.near]
transport = "local"
home = "/srv/near"
[hosts.pod]
transport = "kube://ns/pod"
[hosts.own]
transport = "openssh"
[hosts.full]
transport = "ssh://bob@full.example.org:23"
port = 24
"""


@pytest.mark.parametrize(
    ("name", "target"),
    [
        (".", Target(".", "local")),
        ("localhost", Target("localhost", "ssh", "localhost", "ada")),
        ("other", Target("other", "ssh", "other", "ada")),
        ("bob@other", Target("bob@other", "ssh", "other", "bob")),
        ("bob@other:23", Target("bob@other:23", "ssh", "other", "bob", 23)),
        ("other:23", Target("other:23", "ssh", "other", "ada", 23)),
        ("gpu", Target("gpu", "ssh", "10.0.0.7", "ada", 2222)),
        ("bob@gpu:23", Target("bob@gpu:23", "ssh", "10.0.0.7", "bob", 23)),
        ("near", Target("near", "local")),
        ("pod", Target("pod", "kube", "ns", None, None, "/pod")),
        ("own", Target("own", "openssh", "own", "ada")),
        ("full", Target("full", "ssh", "full.example.org", "bob", 24)),
        ("ssh://Gpu:23/", Target("ssh://Gpu:23/", "ssh", "Gpu", None, 23, "/")),
        ("local:", Target("local:", "local")),
        ("::1", Target("::1", "ssh", "::1", "ada")),
        ("fe80::1%eth0", Target("fe80::1%eth0", "ssh", "fe80::1%eth0", "ada")),
        ("bob@[::1]:23", Target("bob@[::1]:23", "ssh", "::1", "bob", 23)),
    ],
)
def test_target(tmp_path: Path, name: str, target: Target) -> None:

    assert load(tmp_path, TARGETS).target(name)[0] == target


@pytest.mark.parametrize(
    "name",
    [
        "",
        "-oProxyCommand=x",
        "ssh://-oProxyCommand=x",
        "ssh://-l@gpu",
        "gpu:0",
        "gpu:65536",
        "-l@gpu",
        "a b",
        "a@b@c",
        "a\x1b",
        "ssh://a:b@c",
        "a\u202eb",
    ],
)
def test_what_cannot_be_a_host(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="not a (host|user)|must not carry a password"):
        Config().target(name)


def test_a_transport_that_is_no_url(tmp_path: Path) -> None:
    broken = load(tmp_path, '[hosts.gpu]\ntransport = "ssh://a:99999"')
    with pytest.raises(ConfigError, match=r"\[hosts.gpu\] transport: not a target"):
        broken.target("gpu")


def test_the_settings_of_a_host(tmp_path: Path) -> None:
    loaded = load(tmp_path, TARGETS)
    own: dict[str, Any] = loaded.target("gpu")[1]
    assert own["identity_file"] == "/keys/gpu"
    assert own["options"] == {"colour": "red"}
    assert own["user"] == "ada"
    assert own["connect_timeout"] == 5.0
    assert own["retries"] == 2
    assert "known_hosts" not in own
    assert "throttle" not in own
    assert loaded.target("bob@gpu")[1] == own
    assert loaded.target("near")[1]["home"] == "/srv/near"
    assert loaded.target(".")[1]["connect_timeout"] == 5.0


def test_paths_may_begin_with_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    loaded = load(tmp_path, '[hosts.gpu]\nidentity_file = "~/.ssh/gpu"\nhome = "~/jobs"')
    assert loaded.target("gpu")[1]["identity_file"] == "/home/ada/.ssh/gpu"
    # home is a path on the host: only the host can expand its ~.
    assert loaded.target("gpu")[1]["home"] == "~/jobs"


def test_every_key_is_well_declared() -> None:
    assert len({key.name for key in KEYS}) == len(KEYS)
    for key in KEYS:
        assert key.tables
        assert key.description
        assert key.type in TYPES
        if key.default is not None:
            assert settings.check({"defaults": {key.name: key.default}})["defaults"][key.name] == key.default


@given(st.text(max_size=20))
def test_any_name_has_a_target_or_is_refused(name: str) -> None:
    try:
        target, _ = Config(environ={}).target(name)
    except RjobError:
        return
    assert target.name == name
    assert not (target.host or "").startswith("-")


@pytest.mark.parametrize("key", KEYS, ids=lambda key: str(key.name))
def test_the_reference_page_shows_every_key_as_it_is(key: settings.Key) -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"
    default = "" if key.default is None else f"`{key.default}`"
    env = f"`{key.env}`" if key.env else ""
    cells = (f"`{key.name}`", key.type.replace("|", ", "), default, ", ".join(key.tables), env, key.description)
    assert f"| {' | '.join(cells)} |" in page.read_text(encoding="utf-8").splitlines()
