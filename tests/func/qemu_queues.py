#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""A QEMU that asks for more queue pairs than there are is refused and told so; the next one is welcome."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "support"))

# pylint: disable=wrong-import-position
from qemu import Rig
from testing import check, equal, main, scenario, wait_until

REFUSAL = "you are asking more queues than supported: 1"
"""QEMU's words, once dptap has told it how many there are."""


@scenario
def two_machines_without_a_driver():
    with Rig({"queues": 4, "paused": True}, {"paused": True}) as rig:
        yield rig
        rig.dptap.stop()


@two_machines_without_a_driver.test
def four_queue_pairs_are_refused_with_a_reason(rig):
    with rig["vm0"] as greedy:
        wait_until(lambda: REFUSAL in greedy.log() or not greedy.alive(), lambda: f"QEMU to be told: {greedy.log()}")
        check(REFUSAL in greedy.log(), f"QEMU says {greedy.log()}")
        check(rig.dptap.state("vm0") in ("LISTENING", "NEGOTIATING"), f"state {rig.dptap.state('vm0')}")

    rig.dptap.wait_state("vm0", "LISTENING")


@two_machines_without_a_driver.test
def one_queue_pair_is_welcome_afterwards(rig):
    rig["vm0"].nics[0].queues = 1
    for name in ("vm0", "vm1"):
        rig[name].start()
        rig.dptap.wait_state(name, "NEGOTIATING")
        equal(rig[name].qmp("query-status")["status"], "prelaunch", f"state of {name}")
        rig[name].kill()
        rig.dptap.wait_state(name, "LISTENING")


if __name__ == "__main__":
    main()
