#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""While a guest is being migrated, every page of its memory that dptap writes is marked in the dirty log.

The front end here keeps a copy of the guest's memory and compares: between the copy and the comparison only dptap
writes, so each page that differs has been written by it, and must be marked. vm1 is the guest with the log; vm0
talks to it.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "support"))

# pylint: disable=wrong-import-position
from frames import frame
from guest import FEATURES, FROM_GUEST, TO_GUEST
from stage import bridge, mac_of
from testing import check, equal, main, scenario, wait_until
from virtqueue import Desc
import vhost_user as vu

LAYOUT = ((1 << 32, 8 << 20), ((1 << 32) + (8 << 20), 1 << 20), (0x10_0000, 1 << 20))
"""Rings and buffers lie far above what a small log would cover; the second region follows the first one."""

KINDS = {
    "split": 0,
    "split_event_idx": vu.F_EVENT_IDX,
    "split_in_order": vu.F_IN_ORDER,
    "split_in_order_event_idx": vu.F_IN_ORDER | vu.F_EVENT_IDX,
    "packed": vu.F_RING_PACKED,
    "packed_event_idx": vu.F_RING_PACKED | vu.F_EVENT_IDX,
    "packed_in_order": vu.F_RING_PACKED | vu.F_IN_ORDER,
    "packed_in_order_event_idx": vu.F_RING_PACKED | vu.F_IN_ORDER | vu.F_EVENT_IDX,
}

SIZES = (14, 60, 61, 1514, 4000, 9014)
"""Of frames: within one buffer, and over several."""


def pages_of(gpa, length):
    """The pages that a range touches."""
    return set(range(gpa // vu.LOG_PAGE, (gpa + max(length, 1) - 1) // vu.LOG_PAGE + 1))


class Shadow:
    """A copy of guest memory as it is now, and what the device may write from here on."""

    def __init__(self, guest, log):
        self.memory = guest.memory
        self.log = log
        self.before = [bytes(region.map) for region in self.memory.regions]
        self.writable = set()
        for pair in guest.pairs:
            for queue in (pair.to_guest, pair.from_guest):
                areas = queue.areas()
                for area in areas[::2] if guest.features & vu.F_RING_PACKED else areas[2:]:
                    self.writable |= pages_of(*area)
            for chain in pair.to_guest.chains.values():
                for desc in chain.descs:
                    self.writable |= pages_of(desc.addr, desc.length)

    def changed(self):
        """The pages that differ from the copy."""
        found = set()
        for region, old in zip(self.memory.regions, self.before):
            new = bytes(region.map)
            if new == old:
                continue
            first = region.gpa // vu.LOG_PAGE
            for at in range(0, region.size, vu.LOG_PAGE):
                if new[at : at + vu.LOG_PAGE] != old[at : at + vu.LOG_PAGE]:
                    found.add(first + at // vu.LOG_PAGE)
        return found

    def check(self):
        """All that changed is marked, and nothing that the device had no reason to write; the pages that changed."""
        changed, marked = self.changed(), self.log.pages()
        equal(sorted(changed - marked), [], "pages written and not marked")
        equal(sorted(marked - self.writable), [], "pages marked that the device had no reason to write")
        return changed

    def wait(self):
        """The same, for a device that still runs: it marks what it has written a moment later."""
        wait_until(lambda: self.changed() <= self.log.pages(),
                   lambda: f"marks of pages {sorted(self.changed() - self.log.pages())}", 30)
        return self.check()


class Migrating:
    """vm1 with its log. round() has frames both ways, and checks what was written."""

    def __init__(self, stage, features, queue_size=64, logged=True):
        self.stage = stage
        self.one = stage.add("vm1", features=features | (vu.F_LOG_ALL if logged else 0), queue_size=queue_size,
                             layout=LAYOUT)
        self.one.connect()
        check(not features & ~self.one.features, f"features {features & ~self.one.features:#x} were not offered")
        self.log = vu.DirtyLog(self.one.memory)
        if logged:
            # as QEMU does: rings first, then the log, then they are switched on
            self.one.start(n_enabled=0)
            equal(self.one.front_end.set_log_base(self.log), 0, "the verdict on the log")
        else:
            self.one.start()

    def close(self):
        self.log.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def fill(self, n, sizes=(2048,), indirect=False):
        """Offer n buffers whose bytes are unlike any frame's."""
        for _ in range(n):
            descs = []
            for size in sizes:
                gpa = self.one.memory.alloc(size)
                self.one.memory.write(gpa, b"\xa5" * size)
                descs.append(Desc(gpa, size, owns=(gpa, size, 64, None)))
            self.one.to_guest.post(descs, indirect)

    def round(self, to_guest=SIZES, from_guest=SIZES, sizes=(2048,), indirect=False, cuts=()):
        """Frames of these sizes each way, all of them under way at once."""
        stage, one, other = self.stage, self.one, self.stage["vm0"]
        sent = [frame(mac_of("vm1"), mac_of("vm0"), size, stage.number()) for size in to_guest]
        back = [frame(mac_of("vm0"), mac_of("vm1"), size, stage.number()) for size in from_guest]
        room = sum(sizes)
        needed = sum(-(-(len(data) + one.header_len) // room) for data in sent)
        with stage.dptap.frozen():
            self.fill(needed - one.to_guest.n_unused, sizes, indirect)
            one.to_guest.publish()
            for data in back:
                one.post(data, cuts=cuts, indirect=indirect)
            one.publish()
            for data in sent:
                other.post(data)
            other.publish()
            self.log.clear()
            shadow = Shadow(one, self.log)
        equal([came.frame for came in one.receive(len(sent))], sent, "frames to the guest") if sent else None
        equal([came.frame for came in other.receive(len(back))], back, "frames from the guest") if back else None
        one.wait_sent()
        other.wait_sent()
        return shadow.wait()


@scenario
def two_guests():
    with bridge("vm0", "vm1") as stage:
        stage.bring("vm0")
        yield stage
        stage.dptap.settle()
        stage.dptap.stop()


def test_of_each_kind(function):
    """The same with each kind of ring; a name a kind."""
    for kind, more in KINDS.items():
        def one(stage, more=more):
            function(stage, FEATURES | more)
            stage.dptap.settle()

        one.__name__ = f"{function.__name__}__{kind}"
        two_guests.test(one)
    return function


def ring_pages(guest, index):
    """The pages of a ring that the device writes when it uses a chain."""
    areas = guest.queue(index).areas()
    return pages_of(*areas[0 if guest.features & vu.F_RING_PACKED else 2])


@test_of_each_kind
def every_page_that_is_written_is_marked(stage, features):
    with Migrating(stage, features) as moving:
        one = moving.one
        moving.log.clear()
        shadow = Shadow(one, moving.log)
        one.enable_pairs(1)
        stage.dptap.wait_state("vm1", "RUNNING")
        # the wish for no kicks is a write as well
        event = {page for index in (TO_GUEST, FROM_GUEST) for page in pages_of(*one.queue(index).areas()[2])}
        equal(sorted(shadow.wait()), sorted(event), "pages written at the start")

        for turn in range(12):
            changed = moving.round()
            for index in (TO_GUEST, FROM_GUEST):
                check(changed & ring_pages(one, index), f"round {turn}: ring {index} was not written")
            check(len(changed) > 6, f"round {turn}: only pages {sorted(changed)} were written")


@test_of_each_kind
def buffers_of_many_pieces_are_marked(stage, features):
    with Migrating(stage, features) as moving:
        moving.one.enable_pairs(1)
        stage.dptap.wait_state("vm1", "RUNNING")

        for indirect in (False, True):
            moving.round(to_guest=(60, 1514, 3000), from_guest=(60, 1514), sizes=(12, 100, 0, 1, 5000),
                         indirect=indirect, cuts=(12, 14))
            moving.round(to_guest=(9014,), from_guest=(9014,), sizes=(300, 300), indirect=indirect, cuts=(5, 7, 2))


@test_of_each_kind
def all_is_marked_when_the_rings_have_stopped(stage, features):
    with Migrating(stage, features) as moving:
        one, other = moving.one, stage["vm0"]
        one.enable_pairs(1)
        stage.dptap.wait_state("vm1", "RUNNING")
        moving.round()
        with stage.dptap.frozen():
            moving.fill(20)
            one.to_guest.publish()
            for size in SIZES:
                one.post(frame(mac_of("vm0"), mac_of("vm1"), size, stage.number()))
                other.post(frame(mac_of("vm1"), mac_of("vm0"), size, stage.number()))
            one.publish()
            other.publish()
            moving.log.clear()
            shadow = Shadow(one, moving.log)

        one.stop()
        shadow.check()

        # whatever did not arrive before the stop is dropped, and may not be written later
        other.wait_sent()
        stage.dptap.settle()
        shadow.check()
        came = other.poll()
        check(len(came) <= len(SIZES), f"{len(came)} frames came")


@test_of_each_kind
def a_log_can_be_switched_on_and_off_under_traffic(stage, features):
    with Migrating(stage, features, logged=False) as moving:
        one, other = moving.one, stage["vm0"]
        stage.dptap.wait_state("vm1", "RUNNING")
        moving.fill(10)
        one.to_guest.publish()
        sent = [frame(mac_of("vm1"), mac_of("vm0"), 300, stage.number()) for _ in range(30)]
        for data in sent:
            other.post(data)
        other.publish()
        got = one.receive(10)

        one.start_log(moving.log)
        with stage.dptap.frozen():
            moving.fill(20)
            one.to_guest.publish()
            moving.log.clear()
            shadow = Shadow(one, moving.log)
        got += one.receive(20)
        equal([came.frame for came in got], sent, "frames that were on their way when the log began")
        check(len(shadow.wait()) >= 5, "too few pages were written to say anything")
        other.wait_sent()
        moving.round()

        one.stop_log()
        moving.log.clear()
        stage.cross("vm1", "vm0", 20)
        moving.fill(20)
        one.to_guest.publish()
        stage.cross("vm0", "vm1", 20)
        equal(sorted(moving.log.pages()), [], "pages marked after the log was switched off")

        one.start_log(moving.log)
        moving.round()


@two_guests.test
def another_log_takes_the_place_of_the_first(stage):
    with Migrating(stage, FEATURES) as moving, vu.DirtyLog(moving.one.memory) as other:
        moving.one.enable_pairs(1)
        stage.dptap.wait_state("vm1", "RUNNING")
        moving.round()

        equal(moving.one.front_end.set_log_base(other), 0, "the verdict on the second log")
        moving.log.clear()
        first, moving.log = moving.log, other
        moving.round()
        moving.log = first

        equal(sorted(first.pages()), [], "pages marked in the log that was replaced")


@two_guests.test
def a_receive_buffer_across_two_regions_is_marked_in_both(stage):
    with Migrating(stage, FEATURES) as moving:
        one, other = moving.one, stage["vm0"]
        one.enable_pairs(1)
        stage.dptap.wait_state("vm1", "RUNNING")
        border = one.memory.regions[0].end
        with stage.dptap.frozen():
            one.to_guest.post([Desc(border - 700, 2048)])
            one.to_guest.publish()
            other.post(frame(mac_of("vm1"), mac_of("vm0"), 1514, stage.number()))
            other.publish()
            moving.log.clear()
            shadow = Shadow(one, moving.log)

        one.receive()

        equal(shadow.wait() & pages_of(border - 700, 1526), {border // 4096 - 1, border // 4096}, "pages of the buffer")
        other.wait_sent()


@two_guests.test
def a_buffer_that_cannot_be_filled_is_marked_all_the_same(stage):
    with Migrating(stage, FEATURES & ~vu.F_MRG_RXBUF) as moving:
        one, other = moving.one, stage["vm0"]
        one.enable_pairs(1)
        stage.dptap.wait_state("vm1", "RUNNING")
        gpa = one.memory.alloc(2048)

        with stage.dptap.expect_drops({("vm1", "to_guest", "addr_outside_memory"): 1}, ["vm0", "vm1"]):
            with stage.dptap.frozen():
                one.to_guest.post([Desc(gpa, 2048), Desc(0xDEAD_0000_0000, 2048)])
                one.to_guest.publish()
                other.post(frame(mac_of("vm1"), mac_of("vm0"), 3000, stage.number()))
                other.publish()
                moving.log.clear()
                shadow = Shadow(one, moving.log)
            other.wait_sent()
            wait_until(lambda: one.poll() or one.empty_buffers, "the buffer to come back")

        shadow.wait()


@two_guests.test
def a_log_that_does_not_cover_the_memory_is_refused(stage):
    with Migrating(stage, FEATURES, logged=False) as moving:
        one = moving.one
        stage.dptap.wait_state("vm1", "RUNNING")
        last = max(region.end for region in one.memory.regions) // vu.LOG_PAGE
        for what, size, offset in (("nothing", 0, 0), ("a page too few", (last - 1) // 8, 0),
                                   ("an offset that librte_vhost adds twice", moving.log.size // 2, 4096),
                                   ("an offset beyond its end", moving.log.size, 1 << 62),
                                   ("more than there can be", 1 << 63, 0)):
            verdict = one.front_end.set_log_base(moving.log, size=size, offset=offset)
            check(verdict != 0, f"a log of {what} was taken")
        moving.fill(20)
        one.to_guest.publish()
        stage.cross("vm0", "vm1", 10)
        stage.cross("vm1", "vm0", 10)

        one.start_log(moving.log)
        moving.round()


@two_guests.test
def a_log_that_vanishes_costs_no_other_guest_anything(stage):
    with Migrating(stage, FEATURES) as moving:
        one, other = moving.one, stage["vm0"]
        one.enable_pairs(1)
        stage.dptap.wait_state("vm1", "RUNNING")
        moving.round()
        moving.fill(20)
        one.to_guest.publish()

        os.ftruncate(moving.log.fd, 0)
        for _ in range(10):
            other.post(frame(mac_of("vm1"), mac_of("vm0"), 300, stage.number()))
        other.publish()
        other.wait_sent()

        stage.dptap.settle()
        check(stage.dptap.alive(), "dptap has ended")
        os.ftruncate(moving.log.fd, moving.log.size)
    stage.drop("vm1")
    stage.bring("vm1")
    stage.all_cross()


if __name__ == "__main__":
    main()
