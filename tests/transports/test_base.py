"""Targets and command lines, which every transport receives."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from world import need

from rjob.errors import UsageError
from rjob.transports.base import Target, command_line


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("local:", Target("local:", "local")),
        ("ssh://gpu", Target("ssh://gpu", "ssh", "gpu")),
        ("SSH://Gpu", Target("SSH://Gpu", "ssh", "Gpu")),
        ("ssh://ann@GPU.lan:2222", Target("ssh://ann@GPU.lan:2222", "ssh", "GPU.lan", "ann", 2222)),
        ("ssh://a%40b@gpu", Target("ssh://a%40b@gpu", "ssh", "gpu", "a@b")),
        ("ssh://[::1]:22", Target("ssh://[::1]:22", "ssh", "::1", None, 22)),
        ("kube://ns/pod", Target("kube://ns/pod", "kube", "ns", None, None, "/pod")),
        ("winrm://host:5986", Target("winrm://host:5986", "winrm", "host", None, 5986)),
    ],
)
def test_a_url_is_taken_apart(url: str, expected: Target) -> None:
    assert Target.parse(url) == expected


def test_a_target_keeps_the_name_that_the_user_gave() -> None:
    assert Target.parse("ssh://10.0.0.1", name="gpu").name == "gpu"


@pytest.mark.parametrize("url", ["gpu", "", "://x", "ssh://gpu:port", "ssh://gpu:99999", "ssh://ann:secret@gpu"])
def test_what_is_no_target(url: str) -> None:
    with pytest.raises(UsageError) as raised:
        Target.parse(url)
    assert "\n" not in raised.value.message


@pytest.mark.parametrize("word", ["it's", "a\\b", "hey!", "two\nlines", "nul\0"])
def test_words_that_not_every_shell_passes_on(word: str) -> None:
    with pytest.raises(ValueError, match="not every shell"):
        command_line(["echo", word])


words = st.lists(st.text(st.characters(exclude_characters="'\\!\n\0\r", codec="utf-8"), max_size=12), max_size=5)


@pytest.mark.parametrize("shell", ["sh", "bash", "fish", "tcsh", "ksh", "mksh"])
def test_a_command_line_in_every_shell(shell: str) -> None:
    found = need(shell)

    @given(words)
    def check(argv: list[str]) -> None:
        line = command_line(["printf", "<%s>", "start", *argv])
        done = subprocess.run([found, "-c", line], check=True, capture_output=True)
        assert done.stdout.decode() == "".join(f"<{word}>" for word in ["start", *argv])

    from hypothesis import settings

    settings(max_examples=15, deadline=None)(check)()
