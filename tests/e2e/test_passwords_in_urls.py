"""A password that somebody put into a URL is refused, and appears in nothing that rjob prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rjob.errors import UsageError, without_password
from rjob.transports.base import Target

if TYPE_CHECKING:
    from world import World

SECRET = "s3cret"
WORDS = [
    f"ssh://u:{SECRET}@h",
    f"ssh://u:{SECRET}@h:22",
    f"ssh://u:{SECRET}@h:port",
    f"ssh://u:{SECRET}@h:99999",
    f"ssh://u:{SECRET}@[::1",
    f"ssh://u:{SECRET}@[::1]:x",
    f"ssh://u:a{SECRET}/b@h",
    f"ssh://u:a@{SECRET}@h",
    f"ssh://u:a {SECRET}@h",
    f"ssh://u:{SECRET}",
    f"ssh://:{SECRET}@h",
    f"ssh://u:{SECRET}@",
    f"openssh://u:{SECRET}@h",
    f"nosuch://u:{SECRET}@h",
    f"kube://u:{SECRET}@ns/pod",
    f"u:{SECRET}@h",
    f"u:{SECRET}@h:22",
    f"ssh:u:{SECRET}@h",
    f"ssh:/u:{SECRET}@h",
    f"ssh://u:{SECRET}@-h",
    f"ssh://u:{SECRET}@a,b",
    f"ssh://u:{SECRET}@a[1-",
]
FORMS = [
    ("get", "-H", "{}"),
    ("get", "1@{}"),
    ("get", "web*@{}"),
    ("receive", "1@{}"),
    ("stop", "-H", "{}", "1"),
    ("start", "-H", "{}", "true"),
    ("wait", "1@{}"),
    ("doctor", "{}"),
    ("remove", "1", "-H", "{}", "-H", "gpu"),
]


# Every word in two forms, every form with several words: all pairs would take minutes.
PAIRS = [(FORMS[(number + shift) % len(FORMS)], word) for number, word in enumerate(WORDS) for shift in (0, 3)]


@pytest.mark.parametrize(("form", "word"), PAIRS)
def test_on_the_command_line(rjob: World, form: tuple[str, ...], word: str) -> None:
    arguments = [part.format(word) for part in form]
    for more in ([], ["--json"]) if form[0] in ("get", "wait") else ([],):
        done = rjob(*arguments, *more, status=None)
        assert done.status != 0
        assert done.errors.startswith("rjob: ")
        assert SECRET not in done.text + done.errors
        assert "Traceback" not in done.errors


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("place", ["transport", "host", "group"])
def test_in_the_settings(rjob: World, place: str, word: str) -> None:
    text = {
        "transport": f'[hosts.gpu]\ntransport = "{word}"\n',
        "host": f'[defaults]\nhost = "{word}"\n',
        "group": f'[groups]\nweb = ["{word}"]\n',
    }[place]
    rjob.config.write_text(text)
    for arguments in (["hosts"], ["config"]):
        done = rjob(*arguments, status=None)
        if not word.endswith(f":{SECRET}"):  # without an @, it may be a port
            assert SECRET not in done.text + done.errors, arguments
        assert "Traceback" not in done.errors


@pytest.mark.parametrize("word", WORDS)
def test_in_the_environment(rjob: World, word: str) -> None:
    done = rjob("get", status=None, env={"RJOB_HOST": word})
    assert done.status != 0
    assert SECRET not in done.text + done.errors


@pytest.mark.parametrize("word", WORDS)
def test_in_what_python_shows(word: str) -> None:
    with pytest.raises(UsageError) as raised:
        Target.parse(word)
    assert SECRET not in repr(raised.value) + str(raised.value) + str(raised.value.hint)
    assert SECRET not in str(raised.value.__cause__)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ssh://u:p@h", "ssh://u:…@h"),
        ("not a target: 'ssh://u:p@h'", "not a target: 'ssh://u:…@h'"),
        ("u:p@h", "u:…@h"),
        ("7@u:p@h", "7@u:…@h"),
        ("7@ssh://u:p@h", "7@ssh://u:…@h"),
        ("ssh://u@h:22", "ssh://u@h:22"),
        ("ada@[::1]:22", "ada@[::1]:22"),
        ("lost h:22: ask ada@h", "lost h:22: ask ada@h"),
    ],
)
def test_hiding(text: str, shown: str) -> None:
    assert without_password(text) == shown
