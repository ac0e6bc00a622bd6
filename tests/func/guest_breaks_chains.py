#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""A guest that breaks its descriptor chains, headers and rings loses those packets, each under its cause, and no more.

vm0 is hostile where it sends, vm1 where it receives; vm2 behaves and must not notice.
"""

import os
import random
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "support"))

# pylint: disable=wrong-import-position
from frames import frame
from guest import FEATURES, FROM_GUEST, MAX_FRAME, PACKED, header
from stage import bridge, mac_of
from testing import equal, main, scenario, wait_until
from virtqueue import AVAIL, INDIRECT, NEXT, USED, WRITE, Desc
import vhost_user as vu

PORTS = ("vm0", "vm1", "vm2", "net_null0")
OUTSIDE = 0x4000_0000_0000
TWO_REGIONS = ((0x10_0000, 16 << 20), (0x1000_0000, 4 << 20))


def well_behaved_guests(features):
    """Three of them, with a ring of that kind each; a test that changes one brings it back."""
    with bridge("vm0", "vm1", "vm2") as stage:
        stage.features = features
        for name in ("vm0", "vm1", "vm2"):
            stage.bring(name, features=features)
        yield stage
        stage.dptap.stop()


@scenario
def three_guests():
    yield from well_behaved_guests(FEATURES)


@scenario
def three_guests_with_packed_rings():
    yield from well_behaved_guests(PACKED)


def in_both_layouts(*scenarios):
    """The same test in each of these scenarios; with packed rings its name ends so."""
    def each(function):
        for one in scenarios:
            packed = one.name.endswith("packed_rings")

            def test(stage):
                function(stage)

            test.__name__ = function.__name__ + ("__packed" if packed else "")
            one.test(test)
        return function
    return each


for_any_sender = in_both_layouts(three_guests, three_guests_with_packed_rings)


def sent_in_vain(stage, cause, *bad, n=1):
    """vm0 sends malformed chains between good frames, in one go; each is counted under the cause, used with length 0.

    `bad`: functions that post a chain (the Chain, or None if there is nothing to come back) into vm0's ring.
    """
    vm0, vm1 = stage["vm0"], stage["vm1"]
    good = [stage.frame_to("vm1", "vm0") for _ in range(len(bad) + 1)]

    with stage.dptap.expect_drops({("vm0", "from_guest", cause): n * len(bad)}, PORTS):
        heads = []
        vm0.post(good[0])
        for post, follower in zip(bad, good[1:]):
            heads.append(post(vm0.from_guest))
            vm0.post(follower)
        vm0.publish()
        used = {chain: length for chain, length in vm0.wait_sent()}
        got = vm1.receive(len(good))

    equal([g.frame for g in got], good, "good frames around the bad ones")
    equal([used[chain] for chain in heads if chain], [0] * sum(1 for chain in heads if chain), "used lengths")
    stage.all_cross()


def chain_of(*descs, indirect=False):
    """Posts these descriptors."""
    return lambda queue: queue.post(list(descs), indirect)


def whole(stage, data=None, flags=None, link=None):
    """A descriptor over a good header and frame of vm0."""
    vm0 = stage["vm0"]
    data = header(12) + stage.frame_to("vm1", "vm0") if data is None else data
    one = vm0.pieces(data)[0]
    one.flags, one.link = flags, link
    return one


# -- from the guest: chains ------------------------------------------------------------------------------------


@three_guests.test
def a_head_beyond_the_ring_is_head_bad_index_and_its_slot_is_skipped(stage):
    def post(number):
        return lambda queue: queue.post_head(number)

    sent_in_vain(stage, "head_bad_index", post(256), post(0xFFFF), post(0x8000))


@three_guests.test
def a_link_beyond_the_table_is_chain_bad_index(stage):
    sent_in_vain(
        stage, "chain_bad_index",
        chain_of(whole(stage, flags=NEXT, link=256)),
        chain_of(whole(stage, flags=NEXT, link=0xFFFF)),
        chain_of(whole(stage), whole(stage, flags=NEXT, link=256)),
        chain_of(whole(stage), whole(stage, flags=NEXT, link=2), indirect=True))


@three_guests.test
def a_chain_that_never_ends_is_chain_loop(stage):
    def itself(queue):
        slot = queue.free[-1]
        return queue.post([whole(stage, flags=NEXT, link=slot)])

    def to_its_head(queue):
        slot = queue.free[-1]
        return queue.post([whole(stage), whole(stage), whole(stage, flags=NEXT, link=slot)])

    sent_in_vain(
        stage, "chain_loop",
        itself,
        to_its_head,
        chain_of(whole(stage, flags=NEXT, link=0), indirect=True),
        chain_of(whole(stage), whole(stage, flags=NEXT, link=0), indirect=True))


@for_any_sender
def a_writable_descriptor_in_a_frame_to_send_is_chain_direction(stage):
    sent_in_vain(
        stage, "chain_direction",
        chain_of(whole(stage, flags=WRITE)),
        chain_of(whole(stage), whole(stage, flags=WRITE)),
        chain_of(whole(stage), whole(stage, flags=WRITE), indirect=True))


@for_any_sender
def a_frame_longer_than_65550_bytes_is_chain_too_long(stage):
    vm0 = stage["vm0"]
    size = 16 << 20
    area = vm0.memory.regions[0].gpa

    # 256 times 16 MiB is 2^32: a sum in 32 bits would come out as nothing
    wrapping = [Desc(area, size) for _ in range(256)]
    sent_in_vain(
        stage, "chain_too_long",
        chain_of(whole(stage, header(12) + bytes(MAX_FRAME + 1))),
        chain_of(whole(stage), Desc(area, MAX_FRAME + 1 - 60)),
        chain_of(*wrapping, indirect=True))


@for_any_sender
def an_impossible_indirect_table_length_is_indirect_bad_length(stage):
    table = stage["vm0"].memory.regions[0].gpa

    sent_in_vain(stage, "indirect_bad_length",
                 *(chain_of(Desc(table, length, INDIRECT)) for length in (0, 1, 15, 17, 31, 16 * 257, 0xFFFFFFF0)))


@for_any_sender
def an_indirect_table_within_or_before_another_chain_is_indirect_nested(stage):
    table = stage["vm0"].memory.regions[0].gpa

    # in a packed ring's table no flag but WRITE means anything
    within = () if stage.features & vu.F_RING_PACKED else (
        chain_of(Desc(table, 16, INDIRECT), indirect=True),
        chain_of(whole(stage), Desc(table, 16, INDIRECT), indirect=True))

    sent_in_vain(stage, "indirect_nested", *within, chain_of(Desc(table, 16, INDIRECT | NEXT), whole(stage)))


@for_any_sender
def an_indirect_table_without_the_feature_is_indirect_not_negotiated(stage):
    stage.bring("vm0", features=stage.features & ~vu.F_INDIRECT_DESC)

    sent_in_vain(stage, "indirect_not_negotiated", chain_of(whole(stage), indirect=True),
                 chain_of(Desc(OUTSIDE, 5, INDIRECT)))
    stage.bring("vm0", features=stage.features)


@for_any_sender
def a_buffer_or_table_outside_guest_memory_is_addr_outside_memory(stage):
    memory = stage["vm0"].memory.regions[0]
    # a table whose first entry is good and the last of the memory, and links to a second one
    stage["vm0"].memory.write(memory.end - 16, struct.pack("=QIHH", memory.gpa, 72, NEXT, 1))

    sent_in_vain(
        stage, "addr_outside_memory",
        chain_of(Desc(OUTSIDE, 72)),
        chain_of(whole(stage), Desc(OUTSIDE, 1)),
        chain_of(Desc(memory.end - 71, 72)),
        chain_of(Desc(memory.gpa - 1, 72)),
        chain_of(Desc(memory.gpa, 0xFFFFFFFF)),
        chain_of(Desc(0xFFFF_FFFF_FFFF_FFC0, 128)),
        chain_of(Desc(OUTSIDE, 16, INDIRECT)),
        chain_of(Desc(memory.end - 16, 32, INDIRECT)),
        chain_of(whole(stage), Desc(OUTSIDE, 1), indirect=True))


@for_any_sender
def a_buffer_that_ends_with_the_memory_is_good(stage):
    vm0, vm1 = stage["vm0"], stage["vm1"]
    good = stage.frame_to("vm1", "vm0")
    at = vm0.memory.regions[0].end - 72
    vm0.memory.write(at, header(12) + good)

    vm0.send_chain([Desc(at, 72)])

    equal(vm1.receive()[0].frame, good, "the frame")
    stage.dptap.settle()


# -- from the guest: headers and lengths -----------------------------------------------------------------------


@for_any_sender
def a_chain_shorter_than_the_header_is_hdr_truncated(stage):
    sent_in_vain(
        stage, "hdr_truncated",
        chain_of(whole(stage, bytes(11))),
        chain_of(whole(stage, bytes(1))),
        chain_of(Desc(stage["vm0"].memory.regions[0].gpa, 0)),
        chain_of(whole(stage, bytes(6)), whole(stage, bytes(5))),
        chain_of(whole(stage, bytes(6)), whole(stage, bytes(5)), indirect=True))


@three_guests.test
def the_short_header_of_an_old_driver_is_judged_by_its_own_length(stage):
    stage.bring("vm0", features=vu.F_PROTOCOL_FEATURES)
    equal(stage["vm0"].header_len, 10, "header length")

    sent_in_vain(stage, "hdr_truncated", lambda queue: queue.post([whole(stage, bytes(9))]))
    sent_in_vain(stage, "frame_too_short", lambda queue: queue.post([whole(stage, bytes(10 + 13))]))
    stage.bring("vm0")


@for_any_sender
def a_frame_shorter_than_an_ethernet_header_is_frame_too_short(stage):
    sent_in_vain(stage, "frame_too_short",
                 *(chain_of(whole(stage, header(12) + bytes(size))) for size in range(14)))


def with_header(stage, **fields):
    """A good TCP-sized frame behind a header of these fields."""
    return chain_of(whole(stage, header(12, **fields) + stage.frame_to("vm1", "vm0", 154)))


@three_guests.test
def a_segmentation_type_that_does_not_exist_is_hdr_gso_type(stage):
    sent_in_vain(stage, "hdr_gso_type",
                 *(with_header(stage, gso_type=kind, gso_size=1000)
                   for kind in (2, 6, 7, 8, 0x10, 0x20, 0x40, 0x60, 0x7F, 0x80)))


@three_guests.test
def segments_of_no_bytes_are_hdr_gso_size(stage):
    sent_in_vain(stage, "hdr_gso_size", *(with_header(stage, gso_type=kind) for kind in (1, 3, 4, 5, 0x81)))


@three_guests.test
def segmentation_that_was_not_negotiated_is_hdr_gso_not_negotiated(stage):
    sent_in_vain(stage, "hdr_gso_not_negotiated",
                 *(with_header(stage, flags=1, gso_type=kind, gso_size=50, csum_start=start, csum_offset=offset)
                   for kind, start, offset in ((1, 34, 16), (4, 54, 16), (3, 34, 6), (5, 34, 6), (0x81, 34, 16))))


@three_guests.test
def a_checksum_outside_the_frame_is_hdr_csum_range(stage):
    places = ((153, 0), (154, 0), (0xFFFF, 0), (0xFFFF, 0xFFFF), (34, 119), (34, 0xFFFF), (34, 0xFFFE))

    sent_in_vain(stage, "hdr_csum_range",
                 *(with_header(stage, flags=1, csum_start=start, csum_offset=offset) for start, offset in places))


@three_guests.test
def a_checksum_that_was_not_negotiated_is_hdr_csum_not_negotiated(stage):
    sent_in_vain(stage, "hdr_csum_not_negotiated",
                 *(with_header(stage, flags=flags, csum_start=34, csum_offset=16) for flags in (1, 3, 0xFF)))


@three_guests.test
def headers_longer_than_the_frame_are_hdr_len_too_long(stage):
    sent_in_vain(stage, "hdr_len_too_long", *(with_header(stage, hdr_len=length) for length in (163, 0xFFFF)))


@three_guests.test
def a_checksum_before_any_transport_header_is_hdr_csum_start(stage):
    sent_in_vain(stage, "hdr_csum_start",
                 *(with_header(stage, flags=1, csum_start=start) for start in (0, 13, 19)))


@three_guests.test
def segmentation_with_another_protocols_checksum_is_hdr_gso_csum(stage):
    sent_in_vain(stage, "hdr_gso_csum",
                 with_header(stage, flags=1, gso_type=1, gso_size=50, csum_start=34, csum_offset=6))


@for_any_sender
def what_a_header_says_without_asking_for_anything_is_ignored(stage):
    vm0, vm1 = stage["vm0"], stage["vm1"]
    for fields in ({"flags": 2}, {"flags": 0xF8}, {"gso_size": 1400}, {"hdr_len": 54},
                   {"csum_start": 0xFFFF, "csum_offset": 0xFFFF}):
        good = stage.frame_to("vm1", "vm0")

        vm0.send(good, header(12, **fields))

        equal(vm1.receive()[0].frame, good, f"the frame behind a header with {fields}")
    good = stage.frame_to("vm1", "vm0")
    vm0.send(good, header(10) + b"\xff\xff")
    equal(vm1.receive()[0].frame, good, "the frame behind a header with num_buffers set")
    stage.dptap.settle()


# -- to the guest ----------------------------------------------------------------------------------------------


def received_in_vain(stage, cause, *bad, comes_back=True):
    """vm1 offers malformed buffers between good ones: each costs one frame, and comes back with length 0.

    `bad`: functions that post a chain into vm1's receive ring.
    """
    vm0, vm1 = stage["vm0"], stage["vm1"]
    n = 2 * len(bad) + 1
    sent = [stage.frame_to("vm1", "vm0") for _ in range(n)]

    with stage.dptap.expect_drops({("vm1", "to_guest", cause): len(bad)}, PORTS):
        chains = []
        vm1.give(publish=False)
        for post in bad:
            chains.append(post(vm1.to_guest))
            vm1.give(publish=False)
        vm1.to_guest.publish()
        vm0.send_many(sent)
        got = vm1.receive(len(bad) + 1)

    equal([g.frame for g in got], sent[::2], "frames into the good buffers")
    if comes_back:
        wait_until(lambda: vm1.poll() or len(vm1.empty_buffers) >= len(bad),
                   lambda: f"{len(bad)} empty buffers: {len(vm1.empty_buffers)} came back")
        equal(vm1.empty_buffers, chains, "buffers that came back empty")
        vm1.empty_buffers = []
    equal(vm1.to_guest.n_unused, 0, "buffers still with the device")
    stage.all_cross()


def room(stage, size=2048, flags=None, link=None):
    """A descriptor over a good receive buffer of vm1."""
    return Desc(stage["vm1"].memory.alloc(size), size, flags, link)


def guests_that_receive(features):
    with bridge("vm0", "vm1", "vm2") as stage:
        stage.features = features
        stage.bring("vm0", features=features)
        stage.bring("vm2", features=features)
        stage.bring("vm1", None, features=features)
        yield stage
        stage.dptap.stop()


@scenario
def a_guest_that_offers_buffers_one_by_one():
    yield from guests_that_receive(FEATURES)


@scenario
def a_guest_that_offers_buffers_one_by_one_in_packed_rings():
    yield from guests_that_receive(PACKED)


receiving = a_guest_that_offers_buffers_one_by_one
for_any_receiver = in_both_layouts(receiving, a_guest_that_offers_buffers_one_by_one_in_packed_rings)


@receiving.test
def a_receive_buffer_with_a_link_beyond_the_table_costs_one_frame(stage):
    received_in_vain(
        stage, "chain_bad_index",
        chain_of(room(stage, flags=NEXT | WRITE, link=256)),
        chain_of(room(stage), room(stage, flags=NEXT | WRITE, link=0xFFFF)),
        chain_of(room(stage), room(stage, flags=NEXT | WRITE, link=2), indirect=True))


@receiving.test
def a_receive_buffer_that_never_ends_costs_one_frame(stage):
    def itself(queue):
        slot = queue.free[-1]
        return queue.post([room(stage, flags=NEXT | WRITE, link=slot)])

    received_in_vain(stage, "chain_loop", itself,
                     chain_of(room(stage, flags=NEXT | WRITE, link=0), indirect=True))


@for_any_receiver
def a_receive_buffer_that_may_not_be_written_costs_one_frame(stage):
    received_in_vain(
        stage, "chain_direction",
        chain_of(room(stage, flags=0)),
        chain_of(room(stage), room(stage, flags=0)),
        chain_of(room(stage), room(stage, flags=0), indirect=True))


@for_any_receiver
def a_receive_buffer_with_a_bad_indirect_table_costs_one_frame(stage):
    table = stage["vm1"].memory.regions[0].gpa

    received_in_vain(stage, "indirect_bad_length",
                     *(chain_of(Desc(table, length, INDIRECT)) for length in (0, 17, 16 * 257)))
    within = () if stage.features & vu.F_RING_PACKED else (chain_of(Desc(table, 16, INDIRECT), indirect=True),)
    received_in_vain(stage, "indirect_nested", *within, chain_of(Desc(table, 16, INDIRECT | NEXT), room(stage)))


@for_any_receiver
def a_receive_buffer_in_an_indirect_table_without_the_feature_costs_one_frame(stage):
    stage.bring("vm1", buffers=None, features=stage.features & ~vu.F_INDIRECT_DESC)

    received_in_vain(stage, "indirect_not_negotiated", chain_of(room(stage), indirect=True))
    stage.bring("vm1", buffers=None, features=stage.features)


@for_any_receiver
def a_receive_buffer_outside_guest_memory_costs_one_frame(stage):
    memory = stage["vm1"].memory.regions[0]

    received_in_vain(
        stage, "addr_outside_memory",
        chain_of(Desc(OUTSIDE, 2048)),
        chain_of(Desc(memory.end - 2047, 2048)),
        chain_of(room(stage), Desc(OUTSIDE, 1)),
        chain_of(Desc(0xFFFF_FFFF_FFFF_FFC0, 2048)),
        chain_of(Desc(OUTSIDE, 16, INDIRECT)),
        chain_of(room(stage), Desc(OUTSIDE, 1), indirect=True))


@receiving.test
def a_receive_head_beyond_the_ring_costs_one_frame_and_is_skipped(stage):
    received_in_vain(stage, "head_bad_index", lambda queue: queue.post_head(256),
                     lambda queue: queue.post_head(0xFFFF), comes_back=False)


@for_any_receiver
def a_receive_buffer_of_more_than_1024_pieces_costs_one_frame(stage):
    stage.bring("vm1", buffers=None, queue_size=2048, features=stage.features)
    piece = room(stage)

    received_in_vain(stage, "chain_too_long", chain_of(*[Desc(piece.addr, 2) for _ in range(1025)]))
    stage.bring("vm1", buffers=None, features=stage.features)


@for_any_receiver
def a_frame_larger_than_a_plain_buffer_is_guest_buffer_too_small_and_blocks_nobody(stage):
    vm1 = stage.bring("vm1", buffers=None, features=stage.features & ~vu.F_MRG_RXBUF)
    vm0 = stage["vm0"]
    small = [stage.frame_to("vm1", "vm0") for _ in range(3)]
    large = [stage.frame_to("vm1", "vm0", size) for size in (1501, 9000, MAX_FRAME)]

    with stage.dptap.expect_drops({("vm1", "to_guest", "guest_buffer_too_small"): 3}, PORTS):
        vm1.give(6, (12 + 1500,))
        for pair in zip(small, large):
            vm0.send_many(pair)
        got = vm1.receive(3)

    equal([g.frame for g in got], small, "the frames that fit")
    stage.cross("vm0", "vm1")
    stage.bring("vm1", buffers=None, features=stage.features)


@for_any_receiver
def a_plain_buffer_too_small_for_the_header_is_guest_buffer_too_small(stage):
    for sizes in ((11,), (5, 6), (0,), (25,)):
        vm1 = stage.bring("vm1", buffers=None, features=stage.features & ~vu.F_MRG_RXBUF)

        with stage.dptap.expect_drops({("vm1", "to_guest", "guest_buffer_too_small"): 3}, PORTS):
            vm1.give(1, sizes)
            stage["vm0"].send_many([stage.frame_to("vm1", "vm0", 14) for _ in range(3)])

        vm1.nothing_arrived()
    stage.bring("vm1", buffers=None, features=stage.features)


# -- rings that make no sense ----------------------------------------------------------------------------------


@scenario
def guests_whose_rings_break():
    with bridge("vm0", "vm1", "vm2", "vm3") as stage:
        for name in ("vm0", "vm1", "vm2", "vm3"):
            stage.bring(name)
        yield stage
        stage.dptap.stop()


def others_unaffected(stage):
    stage.cross("vm1", "vm2", 100)
    stage.cross("vm2", "vm1", 100)


def restart(stage, name):
    """The driver resets its device: rings stopped, then new ones."""
    one = stage[name]
    one.stop()
    one.start()
    stage.dptap.wait_state(name, "RUNNING")
    one.keep_given()
    stage.cross("vm1", name, 10)
    stage.cross(name, "vm1", 10)
    stage.dptap.settle()


def lines_about(stage, name, since):
    """What dptap itself has said about a guest, behind a position of its log."""
    return [line for line in stage.dptap.log()[since:].splitlines() if line.startswith("dptap:") and name in line]


def said_once(stage, name, since):
    """dptap says that the guest's queue broke; once, not for each packet."""
    wait_until(lambda: lines_about(stage, name, since), f"a line in the log about {name}'s queue")
    others_unaffected(stage)
    lines = lines_about(stage, name, since)
    equal(len(lines), 1, f"lines about {name} in the log ({lines})")


@guests_whose_rings_break.test
def an_available_index_too_far_ahead_breaks_the_sending_queue_until_a_restart(stage):
    for ahead in (257, 0x8000):
        vm0, before = stage["vm0"], len(stage.dptap.log())

        with stage.dptap.expect_drops({}, PORTS + ("vm3",)):
            vm0.from_guest.publish_index(vm0.from_guest.avail_idx + ahead)
            stage.dptap.wait_state("vm0", "BROKEN")
            others_unaffected(stage)

        said_once(stage, "vm0", before)
        restart(stage, "vm0")


@guests_whose_rings_break.test
def an_available_index_too_far_ahead_breaks_the_receiving_queue_until_a_restart(stage):
    vm0 = stage.bring("vm0", buffers=None)
    vm0.to_guest.publish_index(0x4000)

    with stage.dptap.expect_drops({("vm0", "to_guest", "guest_queue_broken"): 11}, PORTS + ("vm3",)):
        stage["vm1"].send(stage.frame_to("vm0", "vm1"))
        stage.dptap.wait_state("vm0", "BROKEN")
        stage["vm1"].send_many([stage.frame_to("vm0", "vm1") for _ in range(10)])
        others_unaffected(stage)

    restart(stage, "vm0")


@guests_whose_rings_break.test
def sixteen_bad_heads_in_a_row_break_the_sending_queue(stage):
    vm0, before = stage["vm0"], len(stage.dptap.log())

    with stage.dptap.expect_drops({("vm0", "from_guest", "head_bad_index"): 16}, PORTS + ("vm3",)):
        for _ in range(64):
            vm0.from_guest.post_head(0x1234)
        vm0.publish()
        stage.dptap.wait_state("vm0", "BROKEN")
        others_unaffected(stage)

    said_once(stage, "vm0", before)
    restart(stage, "vm0")


@guests_whose_rings_break.test
def sixteen_bad_heads_in_a_row_break_the_receiving_queue(stage):
    vm0 = stage.bring("vm0", buffers=None)
    for _ in range(64):
        vm0.to_guest.post_head(0x1234)
    vm0.to_guest.publish()

    expected = {("vm0", "to_guest", "head_bad_index"): 16, ("vm0", "to_guest", "guest_queue_broken"): 24}
    with stage.dptap.expect_drops(expected, PORTS + ("vm3",)):
        stage["vm1"].send_many([stage.frame_to("vm0", "vm1") for _ in range(40)])
        stage.dptap.wait_state("vm0", "BROKEN")
        others_unaffected(stage)

    restart(stage, "vm0")


@guests_whose_rings_break.test
def fifteen_bad_heads_and_a_good_one_again_and_again_break_nothing(stage):
    vm0 = stage["vm0"]
    good = [stage.frame_to("vm1", "vm0") for _ in range(8)]

    with stage.dptap.expect_drops({("vm0", "from_guest", "head_bad_index"): 15 * 8}, PORTS + ("vm3",)):
        for one in good:
            for _ in range(15):
                vm0.from_guest.post_head(0xFFFF)
            vm0.post(one)
        vm0.publish()
        vm0.wait_sent()
        got = stage["vm1"].receive(len(good))

    equal([g.frame for g in got], good, "the good frames")
    equal(stage.dptap.state("vm0"), "RUNNING", "state")


@guests_whose_rings_break.test
def a_restart_after_bad_chains_goes_on_with_the_ring_as_it_is(stage):
    vm0 = stage.bring("vm0")
    vm0.from_guest.post([Desc(OUTSIDE, 72)])
    vm0.publish()
    vm0.wait_sent()
    stage.dptap.settle()

    bases = vm0.stop()
    equal(bases[FROM_GUEST], vm0.from_guest.avail_idx, "where the sending ring stopped")
    vm0.start(bases=bases, fresh=False)
    stage.dptap.wait_state("vm0", "RUNNING")
    stage.cross("vm0", "vm1")
    stage.cross("vm1", "vm0")
    stage.dptap.settle()


# -- memory that goes away -------------------------------------------------------------------------------------


@guests_whose_rings_break.test
def memory_truncated_under_a_frame_to_send_is_memory_vanished_for_that_guest_alone(stage):
    vm0 = stage.bring("vm0", layout=TWO_REGIONS)
    stage.cross("vm0", "vm1")
    gone = vm0.memory.regions[1]
    data = header(12) + frame(mac_of("vm1"), mac_of("vm0"), 200, 1)
    there = vm0.pieces(data[:64], region=vm0.memory.regions[0])[0]

    os.ftruncate(gone.fd, 0)
    with stage.dptap.expect_drops({("vm0", "from_guest", "memory_vanished"): 1}, PORTS + ("vm3",)):
        vm0.from_guest.post([there, Desc(gone.gpa + 8192, len(data) - 64)])
        vm0.publish()
        wait_until(lambda: ("from_guest", "SKB_COPY_DATA", "memory_vanished") in stage.dptap.drops("vm0"),
                   "memory_vanished in /dptap/drops,vm0")
        others_unaffected(stage)

    equal(stage.dptap.alive(), True, "dptap lives")
    stage.bring("vm0")
    stage.cross("vm0", "vm1")
    stage.cross("vm1", "vm0")
    stage.dptap.settle()


@guests_whose_rings_break.test
def memory_truncated_under_a_receive_buffer_is_memory_vanished_for_that_guest_alone(stage):
    vm0 = stage.bring("vm0", buffers=None, layout=TWO_REGIONS)
    gone = vm0.memory.regions[1]

    os.ftruncate(gone.fd, 4096)
    with stage.dptap.expect_drops({("vm0", "to_guest", "memory_vanished"): 1}, PORTS + ("vm3",)):
        vm0.give_chain([Desc(gone.gpa + 8192, 2048)])
        stage["vm1"].send(stage.frame_to("vm0", "vm1"))
        wait_until(lambda: ("to_guest", "SKB_COPY_DATA", "memory_vanished") in stage.dptap.drops("vm0"),
                   "memory_vanished in /dptap/drops,vm0")
        others_unaffected(stage)

    equal(stage.dptap.alive(), True, "dptap lives")
    stage.bring("vm0")
    stage.cross("vm0", "vm1")
    stage.cross("vm1", "vm0")
    stage.dptap.settle()


@guests_whose_rings_break.test
def rings_truncated_away_take_their_guest_down_and_nobody_else(stage):
    for name in ("vm0", "vm3"):
        one = stage.bring(name)
        region = one.memory.regions[0]

        os.ftruncate(region.fd, 0)
        stage.dptap.wait_state(name, "BROKEN")
        others_unaffected(stage)

        # the object's own view is gone too: it may only be thrown away
        stage.bring(name)
        stage.cross(name, "vm1")
    stage.dptap.settle()


@guests_whose_rings_break.test
def random_rings_cost_no_more_than_their_guest(stage):
    """Nothing exact here but the law: the ring's whole memory is noise, several times over."""
    noise = random.Random(11)
    for _ in range(10):
        vm0 = stage.bring("vm0", buffers=None, queue_size=64)
        for queue in (vm0.from_guest, vm0.to_guest):
            memory = vm0.memory.regions[0]
            for slot in range(queue.size):
                address = noise.choice((memory.gpa + noise.randrange(memory.size), noise.getrandbits(64), OUTSIDE))
                length = noise.choice((0, 12, 60, 72, 2048, 16, 64, noise.getrandbits(32)))
                queue.write_desc(slot, address, length, noise.getrandbits(3) | (noise.getrandbits(16) & 0xFFF8),
                                 noise.choice((noise.randrange(queue.size), noise.getrandbits(16))))
            for _ in range(queue.size):
                queue.post_head(noise.choice((noise.randrange(queue.size), noise.randrange(queue.size + 2))))
            queue.publish()
        stage["vm1"].send_many([stage.frame_to("vm0", "vm1") for _ in range(64)])
        others_unaffected(stage)
        vm0.front_end.sync()
    stage.bring("vm0")
    stage.cross("vm1", "vm0")
    stage.dptap.settle()


@guests_whose_rings_break.test
def random_packed_rings_cost_no_more_than_their_guest(stage):
    """The same where all is in one ring: any descriptor may be marked as the device's, and any chain go on."""
    noise = random.Random(12)
    for _ in range(20):
        vm0 = stage.bring("vm0", buffers=None, features=PACKED, queue_size=noise.choice((5, 64, 255)))
        for queue in (vm0.from_guest, vm0.to_guest):
            memory = vm0.memory.regions[0]
            for slot in reversed(range(queue.size)):
                address = noise.choice((memory.gpa + noise.randrange(memory.size), noise.getrandbits(64), OUTSIDE))
                length = noise.choice((0, 12, 60, 72, 2048, 16, 64, noise.getrandbits(32)))
                marks = noise.choice((AVAIL, AVAIL, AVAIL, USED, AVAIL | USED))
                flags = noise.getrandbits(3) | noise.choice((0, noise.getrandbits(16) & ~(AVAIL | USED)))
                queue.write_desc(slot, address, length, noise.getrandbits(16), flags | marks)
        stage["vm1"].send_many([stage.frame_to("vm0", "vm1") for _ in range(64)])
        others_unaffected(stage)
        vm0.front_end.sync()
    stage.bring("vm0")
    stage.cross("vm1", "vm0")
    stage.dptap.settle()


if __name__ == "__main__":
    main()
