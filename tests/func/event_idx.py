#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Interrupts come when the driver asks for them and not otherwise; the device never asks for a kick.

That no interrupt came is only said after a later frame has come through the same queue: the worker has then looked
at what the driver wanted.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "support"))

# pylint: disable=wrong-import-position
from guest import LAYOUTS
from stage import bridge
from testing import equal, main, scenario, wait_until
from virtqueue import EVENTS_OFF, NO_NOTIFY, WRAP
import vhost_user as vu


@scenario
def two_guests():
    with bridge("vm0", "vm1") as stage:
        yield stage
        stage.dptap.stop()


def test_of_layouts(*layouts):
    """The same with rings of each of these layouts; a name a layout."""
    def each(function):
        for layout in layouts:
            def one(stage, features=LAYOUTS[layout]):
                function(stage, features)

            one.__name__ = f"{function.__name__}__{layout}"
            two_guests.test(one)
        return function
    return each


def both(stage, features):
    """Both guests anew, running, without an interrupt pending or owed: one frame each way has passed."""
    for name in ("vm0", "vm1"):
        stage.bring(name, features=features)
    # the first frame through a queue may interrupt for good reasons; once the second is through, that has happened
    for sender, receiver in (("vm0", "vm1"), ("vm1", "vm0")) * 2:
        stage.cross(sender, receiver)
    stage.dptap.settle()
    for name in ("vm0", "vm1"):
        for queue in (stage[name].to_guest, stage[name].from_guest):
            queue.interrupts()
    return stage["vm0"], stage["vm1"]


def interrupt_of(queue, what):
    """Wait for interrupts; how many signals the device sent."""
    return wait_until(queue.interrupts, f"an interrupt of {what}")


@test_of_layouts(*LAYOUTS)
def the_device_never_asks_for_a_kick(stage, features):
    for more in (0, vu.F_EVENT_IDX):
        vm0, vm1 = both(stage, features | more)
        silence = EVENTS_OFF if features & vu.F_RING_PACKED else NO_NOTIFY
        for queue in (vm0.from_guest, vm0.to_guest, vm1.from_guest, vm1.to_guest):
            equal(queue.used_flags, silence, "what the device says about kicks")
        kicks = 0

        for _ in range(600):
            vm0.post(stage.frame_to("vm1", "vm0"))
            kicks += vm0.from_guest.publish(kick=False)
            vm0.wait_sent()
            vm1.receive()
        stage.cross("vm1", "vm0", 300)

        equal(kicks, 0, "posts after which the device wanted a kick")
        for queue in (vm0.from_guest, vm0.to_guest, vm1.from_guest, vm1.to_guest):
            try:
                found = os.eventfd_read(queue.kick_fd)
            except BlockingIOError:
                found = 0
            equal(found, 0, "kicks that the harness had to give")
    stage.dptap.settle()


def the_flag_decides(stage, features):
    vm0, vm1 = both(stage, features)
    for queue in (vm0.from_guest, vm1.to_guest):
        queue.want_interrupts(False)
    stage.cross("vm0", "vm1", 1)
    for queue in (vm0.from_guest, vm1.to_guest):
        queue.interrupts()

    stage.cross("vm0", "vm1", 40)
    stage.cross("vm0", "vm1", 1)
    equal(vm0.from_guest.interrupts(), 0, "interrupts of the sending queue that were not wanted")
    equal(vm1.to_guest.interrupts(), 0, "interrupts of the receiving queue that were not wanted")

    vm0.from_guest.want_interrupts(True)
    vm1.to_guest.want_interrupts(True)
    stage.cross("vm0", "vm1", 1)
    equal(interrupt_of(vm0.from_guest, "the sending queue"), 1, "interrupts for a frame sent")
    equal(interrupt_of(vm1.to_guest, "the receiving queue"), 1, "interrupts for a frame received")

    vm0.from_guest.want_interrupts(False)
    vm1.to_guest.want_interrupts(False)
    stage.cross("vm0", "vm1", 1)
    stage.cross("vm0", "vm1", 1)
    equal(vm0.from_guest.interrupts() + vm1.to_guest.interrupts(), 0, "interrupts after they were switched off")
    stage.dptap.settle()


@test_of_layouts(*LAYOUTS)
def without_event_idx_the_flag_decides(stage, features):
    the_flag_decides(stage, features)


@test_of_layouts("packed", "packed_in_order")
def with_event_idx_a_packed_rings_flag_decides_too(stage, features):
    the_flag_decides(stage, features | vu.F_EVENT_IDX)


@test_of_layouts(*LAYOUTS)
def with_event_idx_the_entry_asked_for_interrupts_once(stage, features):
    vm0, vm1 = both(stage, features | vu.F_EVENT_IDX)
    sending, receiving = vm0.from_guest, vm1.to_guest

    for ahead in (0, 1, 7, 40):
        for queue in (sending, receiving):
            queue.interrupt_at(ahead)
        for i in range(ahead):
            stage.cross("vm0", "vm1")
            # the worker has dealt with frame i - 1 for sure; frame i is told apart below
            if i:
                equal(sending.interrupts() + receiving.interrupts(), 0, f"interrupts {ahead - i} entries too early")
        stage.cross("vm0", "vm1")
        equal(interrupt_of(sending, "the sending queue"), 1, f"interrupts for entry {ahead}, sending")
        equal(interrupt_of(receiving, "the receiving queue"), 1, f"interrupts for entry {ahead}, receiving")
        # the wish is now behind: silence
        stage.cross("vm0", "vm1", 20)
        stage.cross("vm0", "vm1", 1)
        equal(sending.interrupts() + receiving.interrupts(), 0, "interrupts past the entry that was asked for")
    stage.dptap.settle()


@test_of_layouts("split", "split_in_order")
def with_event_idx_a_split_rings_flag_counts_for_nothing(stage, features):
    vm0, vm1 = both(stage, features | vu.F_EVENT_IDX)

    for queue in (vm0.from_guest, vm1.to_guest):
        queue.want_interrupts(True)
        queue.set_used_event(queue.last_used - 1)
    stage.cross("vm0", "vm1", 20)
    stage.cross("vm0", "vm1", 1)
    equal(vm0.from_guest.interrupts() + vm1.to_guest.interrupts(), 0, "interrupts that only the flag asked for")

    for queue in (vm0.from_guest, vm1.to_guest):
        queue.want_interrupts(False)
        queue.interrupt_at(0)
    stage.cross("vm0", "vm1", 1)
    equal(interrupt_of(vm0.from_guest, "the sending queue"), 1, "interrupts of the sending queue")
    equal(interrupt_of(vm1.to_guest, "the receiving queue"), 1, "interrupts of the receiving queue")
    stage.dptap.settle()


@test_of_layouts(*LAYOUTS)
def a_burst_is_signalled_once(stage, features):
    # what one look is sure to find at once: in a packed ring it begins with the last descriptor of a whole burst and
    # goes on with the others, and a worker that was stopped in between finds all but that last one
    n = 31 if features & vu.F_RING_PACKED else 32
    vm0, vm1 = both(stage, features)
    vm0.from_guest.want_interrupts(True)
    vm1.to_guest.want_interrupts(True)
    frames = [stage.frame_to("vm1", "vm0") for _ in range(n)]

    with stage.dptap.frozen():
        for one in frames:
            vm0.post(one)
        vm0.publish()
    vm0.wait_sent()
    equal([g.frame for g in vm1.receive(n)], frames, "frames")

    equal(interrupt_of(vm0.from_guest, "the sending queue"), 1, f"signals for {n} frames sent at once")
    equal(interrupt_of(vm1.to_guest, "the receiving queue"), 1, f"signals for {n} frames received at once")
    stage.dptap.settle()


@test_of_layouts(*LAYOUTS)
def with_event_idx_an_entry_amid_a_burst_is_signalled(stage, features):
    vm0, vm1 = both(stage, features | vu.F_EVENT_IDX)
    vm0.from_guest.interrupt_at(17)
    vm1.to_guest.interrupt_at(17)

    with stage.dptap.frozen():
        for _ in range(32):
            vm0.post(stage.frame_to("vm1", "vm0"))
        vm0.publish()
    vm0.wait_sent()
    vm1.receive(32)

    equal(interrupt_of(vm0.from_guest, "the sending queue"), 1, "signals, sending")
    equal(interrupt_of(vm1.to_guest, "the receiving queue"), 1, "signals, receiving")
    stage.dptap.settle()


@test_of_layouts(*LAYOUTS)
def event_indexes_hold_when_the_ring_index_wraps(stage, features):
    vm0 = stage.bring("vm0", features=features | vu.F_EVENT_IDX, buffers=None)
    vm1 = stage.bring("vm1", features=features | vu.F_EVENT_IDX)
    packed = features & vu.F_RING_PACKED
    for start in (WRAP | 248, 248) if packed else (0xFFF8,):
        vm0.stop()
        vm0.new_rings()
        for queue in (vm0.to_guest, vm0.from_guest):
            queue.begin_at(start)
        vm0.start(bases=(start, start), fresh=False)
        stage.dptap.wait_state("vm0", "RUNNING")
        vm0.from_guest.interrupt_at(200)
        stage.cross("vm0", "vm1")
        stage.cross("vm0", "vm1")
        stage.dptap.settle()
        vm0.from_guest.interrupts()

        vm0.from_guest.interrupt_at(8)
        for _ in range(7):
            stage.cross("vm0", "vm1")
        equal(vm0.from_guest.interrupts(), 0, "interrupts before the entry that was asked for")
        for _ in range(2):
            stage.cross("vm0", "vm1")
        equal(interrupt_of(vm0.from_guest, "the sending queue"), 1, "interrupts for the entry after the wrap")
        equal(len(vm1.poll()), 0, "frames left over")
    stage.dptap.settle()


@two_guests.test
def a_queue_without_a_call_descriptor_is_served_in_silence(stage):
    vm0 = stage.bring("vm0")
    stage.bring("vm1")
    vm0.front_end.set_vring_call(1, None)
    vm0.front_end.set_vring_call(0, None)
    vm0.from_guest.want_interrupts(True)
    vm0.to_guest.want_interrupts(True)

    stage.cross("vm0", "vm1", 50)
    stage.cross("vm1", "vm0", 50)

    stage.dptap.settle()


if __name__ == "__main__":
    main()
