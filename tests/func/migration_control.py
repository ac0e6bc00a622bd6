#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The control plane of a live migration: logs good and bad, announcements, positions; by a front end of our own.

vm0 is what migrates, vm1 and vm2 talk meanwhile and hear of it.
"""

import os
import random
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "support"))

# pylint: disable=wrong-import-position
from frames import BROADCAST
from guest import FEATURES, PACKED
from stage import bridge, mac_of
from testing import check, equal, main, scenario, wait_until
import vhost_user as vu

PORTS = ("vm0", "vm1", "vm2", "net_null0")
RARP = b"\x80\x35"


@scenario
def three_guests():
    with bridge("vm0", "vm1", "vm2") as stage:
        stage.bring("vm1")
        stage.bring("vm2")
        yield stage
        stage.dptap.stop()


def migrating(stage, features=FEATURES):
    """vm0 anew; its features may be switched to those with a log."""
    return stage.bring("vm0", features=features)


def nobody_was_harmed(stage):
    stage.cross("vm1", "vm2", 20)
    stage.bring("vm0")
    stage.cross("vm0", "vm1", 20)
    stage.cross("vm2", "vm0", 20)
    stage.dptap.settle()


# -- the log ---------------------------------------------------------------------------------------------------


def what_is_written_is_logged(stage, features):
    vm0 = migrating(stage, features)
    with vu.DirtyLog(vm0.memory) as log, stage.dptap.expect_drops({}, PORTS):
        stage.cross("vm1", "vm0", 50)
        equal(log.pages(), set(), "pages marked before the migration")
        vm0.start_log(log)
        stage.cross("vm1", "vm0", 50)
        stage.cross("vm0", "vm1", 50)
        check(len(log.pages()) > 2, f"pages marked: {log.pages()}")
        vm0.stop_log()
        log.clear()
        stage.cross("vm1", "vm0", 50)
        equal(log.pages(), set(), "pages marked after a migration that was given up")
    nobody_was_harmed(stage)


@three_guests.test
def writes_are_logged_as_long_as_that_is_asked_for_with_split_rings(stage):
    what_is_written_is_logged(stage, FEATURES)


@three_guests.test
def writes_are_logged_as_long_as_that_is_asked_for_with_packed_rings(stage):
    what_is_written_is_logged(stage, PACKED)


@three_guests.test
def a_log_may_be_replaced_under_traffic(stage):
    vm0 = migrating(stage)
    logs = [vu.DirtyLog(vm0.memory) for _ in range(20)]
    try:
        with stage.dptap.expect_drops({}, PORTS):
            vm0.start_log(logs[0])
            for log in logs[1:]:
                stage.cross("vm1", "vm0", 16)
                equal(vm0.front_end.set_log_base(log), 0, "verdict on a new log")
                stage.cross("vm0", "vm1", 16)
                check(log.pages(), "nothing was marked in the new log")
    finally:
        for log in logs:
            log.close()
    nobody_was_harmed(stage)


@three_guests.test
def logs_that_make_no_sense_are_refused(stage):
    vm0 = migrating(stage)
    fe = vm0.front_end
    reader, writer = os.pipe()
    with vu.DirtyLog(vm0.memory) as log, vu.DirtyLog(vm0.memory, offset=4096) as later:
        for what, size, offset, fds in (
                ("too short for the memory", log.size - 1, 0, [log.fd]), ("of no bytes", 0, 0, [log.fd]),
                ("longer than its file", log.size + 4096, 0, [log.fd]), ("beyond all bounds", 1 << 63, 0, [log.fd]),
                ("all of 64 bits", (1 << 64) - 1, 0, [log.fd]),
                ("not at its file's beginning", log.size, 4096, [later.fd]),
                ("at an offset that wraps", log.size, (1 << 64) - 4096, [log.fd]),
                ("in a pipe", log.size, 0, [writer]), ("without a file", log.size, 0, []),
                ("in two files", log.size, 0, [log.fd, later.fd])):
            check(fe.set_log_base(log, size, offset, fds) != 0, f"a log that is {what} was accepted")
            stage.cross("vm1", "vm0", 5)
        equal(log.pages() | later.pages(), set(), "pages marked")
        vm0.start_log(log)
        stage.cross("vm1", "vm0", 5)
        check(log.pages(), "nothing was marked in a good log")
    os.close(reader)
    os.close(writer)
    nobody_was_harmed(stage)


@three_guests.test
def memory_beyond_the_log_is_refused(stage):
    layout = [(0x10_0000, 16 << 20), (0x4000_0000, 1 << 20)]
    vm0 = stage.add("vm0", layout=layout).connect()
    fe = vm0.front_end
    near = vm0.memory.regions[:1]
    equal(fe.set_mem_table(vm0.memory, near), 0, "verdict on the near region")
    with vu.DirtyLog(vm0.memory, size=-(-near[0].end // 32768)) as log:
        equal(fe.set_log_base(log), 0, "verdict on a log for the near region")
        check(fe.set_mem_table(vm0.memory) != 0, "memory that the log does not cover was accepted")
        equal(fe.set_mem_table(vm0.memory, near), 0, "verdict on the near region, again")
    with vu.DirtyLog(vm0.memory) as log:
        equal(fe.set_log_base(log), 0, "verdict on a log for all regions")
        equal(fe.set_mem_table(vm0.memory), 0, "verdict on all regions")
    nobody_was_harmed(stage)


@three_guests.test
def a_log_whose_file_is_truncated_costs_nobody_but_that_migration(stage):
    for features in (FEATURES, PACKED):
        vm0 = migrating(stage, features)
        with vu.DirtyLog(vm0.memory) as log:
            vm0.start_log(log)
            stage.cross("vm1", "vm0", 5)
            before = len(stage.dptap.log())
            log.map.close()
            os.ftruncate(log.fd, 0)
            with stage.dptap.expect_drops({}, PORTS):
                stage.cross("vm1", "vm0", 50)
                stage.cross("vm0", "vm1", 50)
            wait_until(lambda at=before: "guest 'vm0': its migration log disappeared" in stage.dptap.log()[at:],
                       "a line about the log")
        with vu.DirtyLog(vm0.memory) as log:
            equal(vm0.front_end.set_log_base(log), 0, "verdict on another log")
            stage.cross("vm1", "vm0", 5)
            check(log.pages(), "nothing was marked in the other log")
        nobody_was_harmed(stage)


@three_guests.test
def logs_leak_no_descriptor_and_no_mapping(stage):
    def held():
        with open(f"/proc/{stage.dptap.process.pid}/maps", encoding="ascii", errors="replace") as file:
            return (len(os.listdir(f"/proc/{stage.dptap.process.pid}/fd")), file.read().count("memfd:log"))

    vm0 = migrating(stage)
    before = held()
    with vu.DirtyLog(vm0.memory) as log:
        for _ in range(30):
            equal(vm0.front_end.set_log_base(log), 0, "verdict")
            equal(vm0.front_end.set_log_fd(vm0.to_guest.err_fd), 0, "verdict on an eventfd for the log")
    vm0.front_end.sync()
    equal(held(), (before[0], before[1] + 1), "descriptors, and mappings of logs")
    stage.drop("vm0")
    wait_until(lambda: held()[1] == 0, "the mappings of logs gone, as vm0 is")
    nobody_was_harmed(stage)


@three_guests.test
def random_orders_of_a_migration_s_messages_lose_no_frame(stage):
    noise = random.Random(11)
    for features in (FEATURES, PACKED):
        vm0 = migrating(stage, features)
        fe = vm0.front_end
        with vu.DirtyLog(vm0.memory) as log, stage.dptap.expect_drops({}, PORTS):
            steps = (lambda vm0=vm0, log=log: vm0.start_log(log), vm0.stop_log,
                     lambda fe=fe, log=log: equal(fe.set_log_base(log), 0, "verdict on a log"),
                     lambda vm0=vm0: equal(vm0.set_addr(noise.randrange(2), noise.choice((True, False))), 0, "verdict"),
                     lambda fe=fe, vm0=vm0: equal(fe.set_mem_table(vm0.memory), 0, "verdict on memory"))
            for _ in range(40):
                noise.choice(steps)()
                stage.cross("vm1", "vm0", 8)
                stage.cross("vm0", "vm1", 8)
    nobody_was_harmed(stage)


# -- where it stops, and where it goes on ----------------------------------------------------------------------


def goes_on_elsewhere(stage, features):
    """vm0's memory and rings go to another front end: that of vm2, which takes over from the positions told."""
    vm0 = migrating(stage, features)
    stage.cross("vm0", "vm1", 37)
    stage.cross("vm1", "vm0", 11)
    with vu.DirtyLog(vm0.memory) as log:
        vm0.start_log(log)
        stage.cross("vm0", "vm1", 300)
        stage.cross("vm1", "vm0", 300)
        bases = vm0.stop()
    vm0.hang_up()
    stage.dptap.wait_state("vm0", "LISTENING")
    vm0.connect()
    vm0.start(bases=bases, fresh=False)
    stage.dptap.wait_state("vm0", "RUNNING")
    stage.cross("vm0", "vm1", 300)
    stage.cross("vm1", "vm0", 300)
    nobody_was_harmed(stage)


@three_guests.test
def a_split_ring_goes_on_where_it_stopped(stage):
    goes_on_elsewhere(stage, FEATURES)


@three_guests.test
def a_packed_ring_goes_on_where_it_stopped(stage):
    goes_on_elsewhere(stage, PACKED)


# -- announcements ---------------------------------------------------------------------------------------------


def announced(stage, address):
    """The RARP packets that the others have received since the last look."""
    found = []
    for name in ("vm1", "vm2"):
        for got in stage[name].poll():
            one = got.frame
            equal((one[:6], one[6:12], one[12:14]), (BROADCAST, address, RARP), "addresses and type of an announcement")
            equal(struct.unpack_from("!HHBBH", one, 14), (1, 0x0800, 6, 4, 3), "what kind of RARP packet it is")
            equal((one[22:28], one[32:38]), (address, address), "sender and target")
            found.append(name)
    return found


@three_guests.test
def a_guest_is_announced_before_any_of_its_rings_runs(stage):
    vm0 = stage.add("vm0").connect()
    before = stage.dptap.port("vm0")["from_guest"]
    with stage.dptap.expect_drops({}, PORTS):
        for _ in range(3):
            equal(vm0.front_end.send_rarp(mac_of("vm0")), 0, "verdict")
    equal(sorted(announced(stage, mac_of("vm0"))), ["vm1"] * 3 + ["vm2"] * 3, "who heard of it")
    after = stage.dptap.port("vm0")["from_guest"]
    # one for each of vm1, vm2 and the uplink; no packet came from the guest
    equal((after["received"] - before["received"], after["created"] - before["created"]), (0, 9),
          "packets that vm0 sent, and that were made")
    nobody_was_harmed(stage)


@three_guests.test
def a_guest_is_announced_while_it_runs_too(stage):
    vm0 = stage.bring("vm0")
    equal(vm0.front_end.send_rarp(mac_of("vm0")), 0, "verdict")
    wait_until(lambda: len(announced(stage, mac_of("vm0"))), "an announcement")
    stage.dptap.settle()
    announced(stage, mac_of("vm0"))
    vm0.nothing_arrived()
    nobody_was_harmed(stage)


@three_guests.test
def addresses_that_are_nobody_s_are_not_announced(stage):
    vm0 = stage.bring("vm0")
    for address in (bytes(6), BROADCAST, b"\x33\x33\0\0\0\1"):
        vm0.front_end.send_rarp(address)
    vm0.front_end.sync()
    stage.dptap.settle()
    equal([stage[name].poll() for name in ("vm1", "vm2")], [[], []], "frames")
    nobody_was_harmed(stage)


@three_guests.test
def a_flood_of_requests_to_announce_is_no_flood_of_packets(stage):
    vm0 = stage.bring("vm0")
    with stage.dptap.expect_drops({}, PORTS):
        made = -stage.dptap.port("vm0")["from_guest"]["created"]
        for _ in range(3000):
            vm0.front_end.send(vu.SEND_RARP, mac_of("vm0").ljust(8, b"\0"))
        vm0.front_end.sync()
        stage.dptap.settle()
        made += stage.dptap.port("vm0")["from_guest"]["created"]
    check(0 < made < 3000, f"{made} packets were made of 3000 requests")
    announced(stage, mac_of("vm0"))
    nobody_was_harmed(stage)


if __name__ == "__main__":
    main()
