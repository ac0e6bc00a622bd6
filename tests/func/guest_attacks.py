#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Front ends that mean harm: requests that were never offered, descriptors that are none, memory without end."""

import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import vhost_user as vu
from stage import bridge
from testing import check, equal, main, scenario, wait_until
from virtqueue import Desc

# requests of the protocol that nobody needs of us, and one that does not exist, with payloads as they should be
NOT_OFFERED = {
    "IOTLB_MSG": (22, bytes(32)),
    "GET_CONFIG": (24, bytes(268)),
    "SET_CONFIG": (25, bytes(268)),
    "POSTCOPY_ADVISE": (28, b""),
    "POSTCOPY_LISTEN": (29, b""),
    "POSTCOPY_END": (30, b""),
    "GET_INFLIGHT_FD": (31, struct.pack("=QQHH", 0, 0, 300, 65535)),
    "SET_INFLIGHT_FD": (32, struct.pack("=QQHH", 4096, 0, 2, 32768)),
    "ADD_MEM_REG": (37, struct.pack("=QQQQQ", 0, 0, 4096, 0, 0)),
    "REM_MEM_REG": (38, struct.pack("=QQQQQ", 0, 0, 4096, 0, 0)),
    "none": (99, bytes(8)),
}


@scenario
def three_guests():
    with bridge("vm0", "vm1", "vm2") as stage:
        stage.bring("vm1")
        stage.bring("vm2")
        yield stage
        stage.dptap.stop()


@scenario
def three_guests_of_a_worker_that_sleeps():
    with bridge("vm0", "vm1", "vm2", alone=True, own=("--set", "idle=sleep")) as stage:
        stage.bring("vm1")
        stage.bring("vm2")
        yield stage
        stage.dptap.stop()


def connection(stage):
    """A front end on vm0's socket, the one before it gone for good; its messages are acknowledged."""
    stage.drop("vm0")
    stage.dptap.wait_state("vm0", "LISTENING")
    fe = vu.FrontEnd.connect(stage.dptap.socket("vm0"))
    fe.get_features()
    fe.set_protocol_features(vu.PROTOCOL_REPLY_ACK)
    return fe


def nobody_was_harmed(stage):
    stage.cross("vm1", "vm2", 20)
    stage.bring("vm0")
    stage.cross("vm0", "vm1", 20)
    stage.cross("vm2", "vm0", 20)
    stage.dptap.settle()


@three_guests.test
def requests_that_were_not_offered_are_refused(stage):
    with vu.GuestMemory(((0x100000, 4096),)) as memory:
        for name, (request, payload) in NOT_OFFERED.items():
            for fds in ([], [memory.regions[0].fd]):
                with connection(stage) as fe:
                    try:
                        check(fe.tell(request, payload, fds) != 0, f"{name} was accepted")
                    except vu.Refused:
                        pass
    nobody_was_harmed(stage)


@three_guests.test
def memory_that_is_no_file_is_refused_and_leaks_no_descriptor(stage):
    directory = f"/proc/{stage.dptap.process.pid}/fd"
    reader, writer = os.pipe()
    try:
        with connection(stage) as fe:
            before = len(os.listdir(directory))
            for _ in range(50):
                check(fe.tell(vu.SET_MEM_TABLE, struct.pack("=IIQQQQ", 1, 0, 0, 4096, 0, 0), [writer]) != 0,
                      "a pipe was accepted as memory")
            equal(len(os.listdir(directory)), before, "descriptors")
    finally:
        os.close(reader)
        os.close(writer)
    nobody_was_harmed(stage)


@three_guests.test
def memory_larger_than_a_machine_is_refused(stage):
    with vu.GuestMemory(((0x100000, 4096),)) as memory:
        for size, offset in ((1 << 45, 0), (4096, 1 << 45), (1 << 63, 1 << 63), (0xFFFF_FFFF_FFFF_F000, 4096)):
            with connection(stage) as fe:
                verdict = fe.tell(vu.SET_MEM_TABLE, struct.pack("=IIQQQQ", 1, 0, 0, size, 0, offset),
                                  [memory.regions[0].fd])
                check(verdict != 0, f"a region of {size} bytes from {offset} on was accepted")
    nobody_was_harmed(stage)


@three_guests.test
def an_interrupt_into_a_pipe_without_a_reader_kills_nobody(stage):
    vm0 = stage.add("vm0").connect()
    vm0.new_rings()
    reader, writer = os.pipe()
    os.close(reader)
    os.dup2(writer, vm0.from_guest.call_fd)
    os.close(writer)

    vm0.start(fresh=False)
    stage.cross("vm0", "vm1", 20)

    nobody_was_harmed(stage)


def post_for_an_interrupt_that_blocks(stage):
    """vm0 offers a frame for vm1, kicks or not; whoever interrupts vm0 for it is made to block."""
    vm0 = stage["vm0"]
    fd = vm0.from_guest.call_fd
    os.set_blocking(fd, False)
    try:
        os.eventfd_read(fd)
    except BlockingIOError:
        pass
    os.eventfd_write(fd, 0xFFFF_FFFF_FFFF_FFFE)
    os.set_blocking(fd, True)
    vm0.from_guest.want_interrupts(True)

    vm0.post(stage.frame_to("vm1", "vm0"))
    vm0.from_guest.set_used_event(vm0.from_guest.used_idx)


@three_guests.test
def an_eventfd_that_is_made_to_block_holds_up_nobody_else(stage):
    vm0 = stage.bring("vm0")
    post_for_an_interrupt_that_blocks(stage)
    vm0.publish()
    wait_until(lambda: stage["vm1"].poll(), "the frame whose interrupt blocks")

    stage.cross("vm1", "vm2", 20)
    nobody_was_harmed(stage)


@three_guests_of_a_worker_that_sleeps.test
def nor_does_one_that_blocks_a_worker_in_its_sleep(stage):
    """Of a front end that gives no kicks it looks at the rings now and then, and is asleep for others meanwhile."""
    vm0 = stage.bring("vm0")
    stage.cross("vm0", "vm1", 20)
    vm0.front_end.set_vring_kick(1, None)
    vm0.front_end.sync()
    vm0.post(stage.frame_to("vm1", "vm0"))
    vm0.from_guest.publish(kick=False)
    stage["vm1"].receive()
    # until control has seen that the ring is used: it asks the worker, and would wake it
    seen = stage.dptap.tele("/dptap/info")["uptime_s"] + 2
    wait_until(lambda: stage.dptap.tele("/dptap/info")["uptime_s"] >= seen, "some looks of control")
    stage.dptap.wait_asleep()
    post_for_an_interrupt_that_blocks(stage)
    vm0.from_guest.publish(kick=False)
    wait_until(lambda: stage["vm1"].poll(), "the frame whose interrupt blocks")

    stage.cross("vm1", "vm2", 20)
    nobody_was_harmed(stage)


@three_guests.test
def a_guest_of_nothing_but_endless_chains_leaves_time_for_others(stage):
    """Each packet's walk is bounded, and so is each visit: the others' traffic gets through between them."""
    vm0 = stage.bring("vm0", queue_size=32768, buffers=None)
    with stage.dptap.expect_drops({("vm0", "from_guest", "chain_too_long"): 30}, ("vm0", "vm1", "vm2")):
        for _ in range(30):
            equal(vm0.send_chain([Desc(vm0.memory.regions[0].gpa, 0)] * 1025), 0, "used length")
        stage.cross("vm1", "vm2", 200)
    nobody_was_harmed(stage)


if __name__ == "__main__":
    main()
