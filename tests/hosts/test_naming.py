"""Ways in which a command line names a host."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hosts.host import TRANSPORTS

if TYPE_CHECKING:
    from hosts.host import Host, Hosts
    from world import World

AT = ("-H", "gpu")
both = pytest.mark.parametrize("transport", TRANSPORTS)


@both
def test_the_host_of_the_environment(rjob: World, gpu: Host) -> None:
    there = rjob.start("-c", "echo there", env={"RJOB_HOST": "gpu"})
    here = rjob.start("-H", ".", "-c", "echo here", env={"RJOB_HOST": "gpu"})
    assert (there, here) == ("1@gpu", "1")
    rjob("wait", there)
    rjob("wait", here)
    assert rjob("receive", "1", env={"RJOB_HOST": "gpu"}).text == "there\n"
    assert rjob("receive", "1").text == "here\n"
    assert rjob("get", "-q", *AT, "-H", ".").text.split() == ["1@gpu", "1"]
    assert rjob("get", "-q", "1@.", env={"RJOB_HOST": "gpu"}).text.split() == ["1"]


def test_a_url_in_the_place_of_a_name(rjob: World, gpu: Host, hosts: Hosts) -> None:
    hosts.know("other", gpu, transport=f"ssh://{gpu.server.user}@127.0.0.1:{gpu.server.port}")
    ref = rjob.start("-H", "other", "true")
    assert ref == "1@other"
    rjob("wait", ref)


def test_the_hint_for_a_job_that_is_not_there_names_its_host(rjob: World, gpu: Host) -> None:
    assert gpu.name == "gpu"
    assert "`rjob get --all -H gpu` lists them" in rjob("get", "99@gpu", status=1).errors
    assert "`rjob get --all` lists them" in rjob("get", "99", status=1).errors
