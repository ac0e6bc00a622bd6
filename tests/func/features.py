#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What a guest is offered, what of it can be switched off, and what dptap tells of a guest and its mistakes.

vm0 has four queue pairs and all features, vm1 one pair and few features, vm2 nothing special.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "support"))

# pylint: disable=wrong-import-position
from frames import frame, mac
from guest import FEATURES
from stage import bridge, mac_of
from testing import check, equal, main, scenario, wait_until
import vhost_user as vu

PORTS = ("vm0", "vm1", "vm2", "net_null0")
OFF = "mrg_rxbuf+guest_announce+event_idx+version_1+mtu+guest_csum+host_tso4"
NEVER = vu.F_MAC | vu.F_CTRL_VQ | vu.F_ACCESS_PLATFORM | sum(1 << bit for bit in (2, 18, 19, 20, 23, 57, 59, 60))
"""What belongs to a front end, and what dptap does not do."""


@scenario
def three_guests():
    with bridge("vm0", "vm1", "vm2", settings={"vm0": {"queues": 4}, "vm1": {"features_off": OFF}}) as stage:
        for name in ("vm0", "vm1", "vm2"):
            stage.bring(name)
        yield stage
        stage.dptap.stop()


def offered(stage, name):
    """(features, protocol features, queue pairs) that a front end is offered."""
    one = stage.add(name).connect()
    fe = one.front_end
    found = (fe.get_features(), fe.get_protocol_features(), fe.get_queue_num())
    stage.bring(name)
    return found


@three_guests.test
def the_port_and_the_log_name_what_was_negotiated(stage):
    before = stage.dptap.log()
    stage.bring("vm2", features=FEATURES | vu.F_EVENT_IDX)

    names = ["mrg_rxbuf", "any_layout", "indirect_desc", "event_idx", "protocol_features", "version_1"]
    equal(stage.dptap.port("vm2")["feature_names"], names, "features in /dptap/port,vm2")
    check(f"guest 'vm2': running: {' '.join(names)}\n" in stage.dptap.log()[len(before):], "no such line in the log")
    stage.bring("vm1")
    equal("version_1" in stage.dptap.port("vm1")["feature_names"], False, "VERSION_1 of vm1")


@three_guests.test
def every_guest_is_offered_what_works(stage):
    features, protocol, queues = offered(stage, "vm0")

    wanted = (vu.F_VERSION_1 | vu.F_RING_PACKED | vu.F_IN_ORDER | vu.F_EVENT_IDX | vu.F_INDIRECT_DESC |
              vu.F_MRG_RXBUF | vu.F_ANY_LAYOUT | vu.F_NOTIFY_ON_EMPTY | vu.F_MQ | vu.F_MTU | vu.F_GUEST_ANNOUNCE |
              vu.F_NET_STATUS | vu.F_LOG_ALL | vu.F_PROTOCOL_FEATURES | vu.HOST_OFFLOADS | vu.GUEST_OFFLOADS)
    equal(features & wanted, wanted, "features that work")
    equal(features & NEVER, 0, "other features")
    equal(protocol, vu.PROTOCOL_MQ | vu.PROTOCOL_LOG_SHMFD | vu.PROTOCOL_RARP | vu.PROTOCOL_REPLY_ACK |
          vu.PROTOCOL_NET_MTU | vu.PROTOCOL_BACKEND_REQ | vu.PROTOCOL_STATUS, "protocol features")
    equal(queues, 4, "queue pairs")


@three_guests.test
def several_queues_are_offered_to_those_who_have_them(stage):
    features, _, queues = offered(stage, "vm2")
    equal((features & vu.F_MQ, queues), (0, 1), "MQ, and queue pairs, of a guest with one")


@three_guests.test
def what_is_off_is_not_offered_nor_what_needs_it(stage):
    all_of_them = offered(stage, "vm2")[0]
    off = (vu.F_MRG_RXBUF | vu.F_GUEST_ANNOUNCE | vu.F_EVENT_IDX | vu.F_VERSION_1 | vu.F_MTU |
           vu.F_HOST_TSO4 | vu.GUEST_OFFLOADS |  # which need GUEST_CSUM
           vu.F_RING_PACKED | vu.F_IN_ORDER)  # which need VERSION_1
    equal(offered(stage, "vm1")[0], all_of_them & ~off, "features")
    stage.cross("vm1", "vm2", 20)
    stage.cross("vm2", "vm1", 20)
    stage.dptap.settle()


@three_guests.test
def rings_that_pause_are_not_told_anew(stage):
    vm2 = stage.bring("vm2")
    before = stage.dptap.log()
    for _ in range(3):
        equal(vm2.front_end.set_mem_table(vm2.memory), 0, "verdict on the same memory table")
    stage.cross("vm1", "vm2", 5)
    equal(stage.dptap.log()[len(before):].count("running:"), 0, "lines in the log")


@three_guests.test
def the_front_end_s_mtu_is_shown(stage):
    vm2 = stage.bring("vm2")
    equal(stage.dptap.port("vm2")["mtu"], 0, "MTU that nobody told")
    equal(vm2.front_end.net_set_mtu(9000), 0, "verdict")
    vm2.front_end.sync()
    equal(stage.dptap.port("vm2")["mtu"], 9000, "MTU")
    for mtu in (0, 67, 65536, 1 << 40):
        check(vm2.front_end.net_set_mtu(mtu) != 0, f"an MTU of {mtu} was accepted")
    equal(stage.dptap.port("vm2")["mtu"], 9000, "MTU")
    stage.cross("vm1", "vm2", 5)


# -- mistakes --------------------------------------------------------------------------------------------------


@three_guests.test
def memory_that_is_not_shared_is_told(stage):
    vm2 = stage.bring("vm2", buffers=None)
    text = "give QEMU's memory backend share=on"
    before = len(stage.dptap.log())

    def kicked_in_vain():
        # what the driver writes stays with it; only the kicks come through
        os.eventfd_write(vm2.from_guest.kick_fd, 1)
        return text in stage.dptap.log()[before:]

    wait_until(kicked_in_vain, "a line about memory that is not shared", pause=0.05)
    for _ in range(20):
        os.eventfd_write(vm2.from_guest.kick_fd, 1)
        stage.cross("vm0", "vm1", 1)
    equal(stage.dptap.log()[before:].count(text), 1, "lines in the log")


@three_guests.test
def a_guest_that_is_served_is_not_doubted(stage):
    stage.bring("vm2")
    before = len(stage.dptap.log())
    for _ in range(30):
        for queue in (stage["vm2"].from_guest, stage["vm2"].to_guest):
            os.eventfd_write(queue.kick_fd, 1)
        stage.cross("vm2", "vm1", 3)
        stage.cross("vm1", "vm2", 3)
    equal("share=on" in stage.dptap.log()[before:], False, "doubt about shared memory")


@three_guests.test
def a_guest_that_uses_another_address_than_configured_is_told_once(stage):
    vm2 = stage.bring("vm2")
    before = len(stage.dptap.log())

    def lines():
        return stage.dptap.log()[before:].count("guest 'vm2': sends from 52:54:00:00:09:99, but its mac= is 52:54:00")

    def told():
        vm2.send(frame(mac_of("vm1"), mac(0x999), 60, stage.number()))
        stage["vm1"].poll()
        return lines()

    wait_until(told, "a line about the address", pause=0.02)
    for _ in range(50):
        told()
    equal(lines(), 1, "lines in the log")
    vm2 = stage.bring("vm2")
    wait_until(lambda: told() == 2, "a line about the next front end", pause=0.02)


if __name__ == "__main__":
    main()
