#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""However a worker idles (idle=), frames pass both ways, and single ones after a rest, over rings of every layout."""

import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "support"))

# pylint: disable=wrong-import-position
from frames import frame, mac
from guest import RINGS
from stage import bridge, mac_of
from testing import equal, main, scenario, wait_until
from uplink import Nic

MODES = ("poll", "pause", "sleep")
STRANGER = mac(0xABCDEF)
"""Somebody behind the uplink."""


def stage_of(mode):
    """Two guests and a NIC, all in the test's hands, on one worker that idles in this way."""
    def stages():
        with tempfile.TemporaryDirectory(prefix="dptap-test-") as directory, \
                Nic(os.path.join(directory, "nic.sock")) as nic, \
                bridge("vm0", "vm1", nic=nic, own=("--set", f"idle={mode}")) as stage:
            stage.nic = nic
            stage.mode = mode
            nic.up()
            stage.dptap.wait_state("net_vhost0", "up")
            nic.keep_given()
            yield stage
            stage.dptap.stop()

    stages.__name__ = f"two_guests_and_a_nic_{mode}"
    return scenario(stages)


STAGES = {mode: stage_of(mode) for mode in MODES}


def test_in(*modes, rings=tuple(RINGS)):
    """The same test in each of these modes with rings of each of these kinds."""
    def each(function):
        for mode in modes:
            for kind in rings:
                def one(stage, features=RINGS[kind]):
                    for name in ("vm0", "vm1"):
                        stage.bring(name, features=features)
                    function(stage)
                    stage.dptap.settle()

                one.__name__ = f"{function.__name__}__{mode}_{kind}"
                STAGES[mode].test(one)
        return function
    return each


def rounds_in_vain(stage):
    """Wait until the worker has gone on for a while without finding anything, or sleeps if it may."""
    if stage.mode == "sleep":
        stage.dptap.wait_asleep()
        return

    def idle():
        return sum(one["idle_cycles"] for one in stage.dptap.lcores())

    before = idle()
    wait_until(lambda: idle() > before + 1_000_000, "the worker to find nothing for a million cycles")


def all_ways(stage, n=1):
    """n frames from and to each of the three ports."""
    stage.cross("vm0", "vm1", n)
    stage.cross("vm1", "vm0", n)
    for name in ("vm0", "vm1"):
        frames = [frame(mac_of(name), STRANGER, number=stage.number()) for _ in range(n)]
        stage.nic.send_many(frames)
        equal([g.frame for g in stage[name].receive(n)], frames, f"frames from the NIC to {name}")
        frames = [frame(STRANGER, mac_of(name), number=stage.number()) for _ in range(n)]
        stage[name].send_many(frames)
        equal([g.frame for g in stage.nic.receive(n)], frames, f"frames from {name} to the NIC")


@test_in(*MODES)
def frames_pass_all_ways(stage):
    all_ways(stage, 200)


@test_in(*MODES)
def single_frames_pass_after_a_rest(stage):
    for _ in range(5):
        rounds_in_vain(stage)
        all_ways(stage)


@test_in("poll", "pause")
def a_worker_that_never_sleeps_asks_for_no_kick(stage):
    kicks = 0
    for _ in range(50):
        stage["vm0"].post(stage.frame_to("vm1", "vm0"))
        kicks += stage["vm0"].from_guest.publish(kick=False)
        stage["vm0"].wait_sent()
        stage["vm1"].receive()
    equal(kicks, 0, "posts after which the device wanted a kick")


@test_in("poll", "pause", rings=("split",))
def a_worker_that_never_sleeps_has_not_slept(stage):
    rounds_in_vain(stage)
    for one in stage.dptap.lcores():
        equal((one["sleeps"], one["sleep_cycles"]), (0, 0), f"sleeps of lcore {one['lcore']}, and for how long")


@test_in(*MODES, rings=("split",))
def the_mode_is_told(stage):
    lcores = stage.dptap.lcores()
    equal([one["idle"] for one in lcores], [stage.mode] * len(lcores), "how the workers idle")


if __name__ == "__main__":
    main()
