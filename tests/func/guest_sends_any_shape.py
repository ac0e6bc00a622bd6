#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""However a driver lays frames and buffers out, what arrives is what was sent: vm0 sends, vm1 receives."""

import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "support"))

# pylint: disable=wrong-import-position
from guest import FEATURES, MAX_FRAME, PACKED, header
from stage import bridge
from testing import check, equal, main, scenario
from virtqueue import INDIRECT, NEXT, WRAP, Desc
import vhost_user as vu

BASIC = vu.F_PROTOCOL_FEATURES | vu.F_INDIRECT_DESC
KINDS = {
    "modern, mergeable": FEATURES,
    "modern, plain": FEATURES & ~vu.F_MRG_RXBUF,
    "legacy, mergeable": BASIC | vu.F_MRG_RXBUF,
    "legacy, plain": BASIC,
    "modern, without protocol features": vu.F_VERSION_1 | vu.F_MRG_RXBUF | vu.F_INDIRECT_DESC,
    "modern, in order": FEATURES | vu.F_IN_ORDER,
    "packed, mergeable": PACKED,
    "packed, plain": PACKED & ~vu.F_MRG_RXBUF,
    "packed, in order": PACKED | vu.F_IN_ORDER,
    "packed, in order, plain": PACKED & ~vu.F_MRG_RXBUF | vu.F_IN_ORDER,
}
SHORT_HEADER = "legacy, plain"
"""The kind whose virtio_net_hdr has 10 bytes; all others have 12."""

SIZES = (14, 15, 31, 32, 33, 52, 59, 60, 61, 63, 64, 65, 127, 128, 129, 1499, 1500, 1514, 1515, 1518, 2035, 2036,
         2037, 2047, 2048, 2049, 2175, 2176, 2177, 4095, 4096, 4097, 9014, 16384, 32767, 65534, 65535, 65536, 65549,
         MAX_FRAME)

NEIGHBOURS = ((0x10_0000, 16 << 20), (0x10_0000 + (16 << 20), 4 << 20), (0x10_0000 + (20 << 20), 1 << 20))
"""Three files, one range of guest-physical addresses."""


@scenario
def two_guests():
    with bridge("vm0", "vm1") as stage:
        stage.bring("vm0")
        stage.bring("vm1", buffers=None)
        yield stage
        stage.dptap.stop()


def travel(stage, frames, post, buffers=None):
    """vm0 posts each frame by post(frame); vm1 gets them all, in order and unharmed. What arrived."""
    vm0, vm1 = stage["vm0"], stage["vm1"]
    before = stage.dptap.balance()
    got = []
    for one in frames:
        if buffers:
            buffers(one)
        post(one)
        vm0.publish()
        vm0.wait_sent()
        got += vm1.receive()
    for sent, came in zip(frames, got):
        equal(len(came.frame), len(sent), "length of a frame")
        if came.frame != sent:
            at = next(i for i, (a, b) in enumerate(zip(came.frame, sent)) if a != b)
            equal(came.frame[at : at + 16].hex(), sent[at : at + 16].hex(), f"byte {at} and on of {len(sent)}")
    after = stage.dptap.settle()
    total = sum(len(one) for one in frames)
    for word in ("received", "delivered"):
        equal(after[word] - before[word], len(frames), f"packets {word}")
        equal(after[word + "_bytes"] - before[word + "_bytes"], total, f"bytes {word}")
    equal(after["dropped"], before["dropped"], "packets dropped")
    return got


def test_of_each_kind(function):
    """The same with each kind of driver at both ends; a name a kind."""
    for kind, features in KINDS.items():
        def one(stage, kind=kind, features=features):
            stage.bring("vm0", features=features, queue_size=1024, buffers=None)
            stage.bring("vm1", features=features, queue_size=1024, buffers=None)
            equal(stage["vm0"].features, features, "features negotiated")
            equal(stage["vm0"].header_len, 10 if kind == SHORT_HEADER else 12, "header length")
            function(stage)

        one.__name__ = f"{function.__name__}__{kind.replace(', ', '_').replace(' ', '_')}"
        two_guests.test(one)
    return function


RINGS = {"split": FEATURES, "split_in_order": FEATURES | vu.F_IN_ORDER, "packed": PACKED,
         "packed_in_order": PACKED | vu.F_IN_ORDER}


def test_of_each_ring(function):
    """The same with each kind of ring at both ends; a name a kind."""
    for ring, features in RINGS.items():
        def one(stage, features=features):
            function(stage, features)

        one.__name__ = f"{function.__name__}__{ring}"
        two_guests.test(one)
    return function


@test_of_each_kind
def the_header_may_be_spread_over_descriptors(stage):
    vm0, vm1 = stage["vm0"], stage["vm1"]
    n = vm0.header_len
    shapes = [(), (n,), (n, 14), (n + 14,), (n + 1,), (n - 1,), (1,) * (n + 3), (0, n), (n, 0), (0, 0, n, 0, 0),
              (3, 0, n - 3), (5, n - 5, 1, 13), (n - 2, 0, 2, 7, 0, 7), (n + 59,)]
    vm1.keep_given((8192,))
    for indirect in (False, True):
        frames = [stage.frame_to("vm1", "vm0", 64 + i) for i in range(len(shapes))]
        waiting = list(shapes)

        travel(stage, frames, lambda one: vm0.post(one, cuts=waiting.pop(0), indirect=indirect))


@test_of_each_kind
def every_length_from_14_to_65550_arrives(stage):
    vm0, vm1 = stage["vm0"], stage["vm1"]
    frames = [stage.frame_to("vm1", "vm0", size) for size in SIZES]
    vm1.keep_given((16384,) * 5)

    travel(stage, frames, vm0.post)


@test_of_each_kind
def random_shapes_on_both_sides_arrive(stage):
    vm0, vm1 = stage["vm0"], stage["vm1"]
    chance = random.Random(14)
    frames = [stage.frame_to("vm1", "vm0", chance.choice((chance.randrange(14, 200), chance.randrange(14, 9000))))
              for _ in range(120)]

    def cut(length, most):
        """Random lengths, zeros among them, that sum up to at least `length`."""
        sizes = []
        while sum(sizes) < length:
            sizes.append(chance.choice((0, 1, chance.randrange(1, 17), chance.randrange(most // 2, most))))
        return sizes

    def post(one):
        n = vm0.header_len + len(one)
        sizes = cut(n, max(n // 2, 4))
        while sum(sizes) > n:
            sizes.pop()
        vm0.post(one, cuts=sizes, indirect=chance.random() < 0.5)

    def buffers(one):
        n = vm1.header_len + len(one)
        if not vm1.mergeable:
            vm1.give(1, cut(n, max(n // 2, 4)), chance.random() < 0.5)
            return
        free = vm1.to_guest.free
        while sum(d.length for c in vm1.to_guest.chains.values() for d in c.descs) < n + 64 * 200 and len(free) > 300:
            vm1.give(1, [12] + cut(chance.randrange(1, 3000), 1500), chance.random() < 0.5)

    travel(stage, frames, post, buffers)


def refill(stage, **settings):
    """vm1 anew."""
    return stage.bring("vm1", buffers=None, **settings)


@two_guests.test
def mergeable_buffers_are_filled_to_the_brim_and_counted(stage):
    vm0 = stage.bring("vm0")
    for size in (12 + 14, 60, 256, 1526, 2048, 4096):
        vm1 = refill(stage, queue_size=1024)
        frames = [stage.frame_to("vm1", "vm0", n) for n in
                  (14, size - 12, size - 11, 2 * size - 12, 2 * size - 11, 60, 1514) if n >= 14]
        vm1.keep_given((size,))

        for one, came in zip(frames, travel(stage, frames, vm0.post)):
            total = len(one) + 12
            whole, rest = divmod(total, size)
            equal(came.n_buffers, whole + bool(rest), f"num_buffers of {len(one)} bytes in buffers of {size}")
            equal(came.lengths, [size] * whole + [rest] * bool(rest), "used lengths")
            equal(came.header[:10], bytes(10), "the header of a frame without offloads")


@two_guests.test
def the_longest_frame_fits_into_many_small_mergeable_buffers(stage):
    vm0 = stage.bring("vm0")
    vm1 = refill(stage, queue_size=1024)
    vm1.keep_given((128,))

    came = travel(stage, [stage.frame_to("vm1", "vm0", MAX_FRAME)], vm0.post)[0]

    equal(came.n_buffers, -(-(MAX_FRAME + 12) // 128), "num_buffers")


@test_of_each_ring
def a_mergeable_frame_waits_until_there_are_buffers_for_all_of_it(stage, features):
    vm0 = stage.bring("vm0", features=features)
    for sizes, indirect in (((2048,), False), ((1024, 1024), False), ((32,) * 64, True)):
        vm1 = refill(stage, features=features)
        sent = stage.frame_to("vm1", "vm0", 9000)

        vm1.give(4, sizes, indirect)
        vm0.send(sent)
        stage.dptap.settle(held=1)
        equal(vm1.poll(), [], "frames so far")
        equal(vm1.to_guest.n_unused, 4, "buffers still with the device")
        vm1.give(1, sizes, indirect)

        came = vm1.receive()[0]
        equal((came.frame, came.n_buffers), (sent, 5), f"the frame in buffers of {sizes} and their number")
        stage.dptap.settle()


@two_guests.test
def a_plain_buffer_without_mergeable_says_one_buffer(stage):
    vm0 = stage.bring("vm0")
    vm1 = refill(stage, features=KINDS["modern, plain"])
    vm1.keep_given((2048,))

    came = travel(stage, [stage.frame_to("vm1", "vm0")], vm0.post)[0]

    equal(came.header, header(10) + b"\1\0", "the header")


@test_of_each_ring
def chains_as_long_as_the_ring_pass(stage, features):
    vm0 = stage.bring("vm0", queue_size=64, features=features)
    vm1 = refill(stage, queue_size=64, features=features)
    for indirect in (False, True):
        vm1.give(1, (32,) * 64, indirect)

        came = travel(stage, [stage.frame_to("vm1", "vm0", 1514)],
                      lambda one, how=indirect: vm0.post(one, cuts=(20,) * 63, indirect=how))[0]

        equal(came.n_buffers, 1, "num_buffers")


@test_of_each_ring
def rings_of_all_sizes_work(stage, features):
    odd = (3, 5, 100, 255, 1000, 32767) if features & vu.F_RING_PACKED else ()
    for size in (1, 2, *odd, 32768):
        vm0 = stage.bring("vm0", queue_size=size, features=features, buffers=None)
        vm1 = refill(stage, queue_size=size, features=features)
        vm1.keep_given((2048,), n=min(size, 64))

        n = 20 if size > 100 else 3 * size + 7
        travel(stage, [stage.frame_to("vm1", "vm0", 60 + i) for i in range(n)], vm0.post)


@test_of_each_ring
def indexes_wrap(stage, features):
    packed = features & vu.F_RING_PACKED
    for start in (WRAP | 13, 13) if packed else (0xFFF0,):
        vm0 = stage.bring("vm0", queue_size=16, features=features)
        vm1 = refill(stage, queue_size=16, features=features)
        vm0.stop()
        vm1.stop()
        for one in (vm0, vm1):
            one.new_rings()
            for queue in (one.to_guest, one.from_guest):
                queue.begin_at(start)
            one.start(bases=(start, start), fresh=False)
        stage.dptap.wait_state("vm0", "RUNNING")
        stage.dptap.wait_state("vm1", "RUNNING")
        vm1.keep_given((2048,))

        travel(stage, [stage.frame_to("vm1", "vm0") for _ in range(67)], vm0.post)

        equal(vm0.stop()[1], vm0.from_guest.base, "where the ring stopped")
    stage.bring("vm0")


@test_of_each_ring
def only_with_in_order_the_device_uses_a_batch_by_one_entry(stage, features):
    vm0 = stage.bring("vm0", features=features)
    vm1 = refill(stage, features=features)
    vm1.keep_given((2048,))
    frames = [stage.frame_to("vm1", "vm0") for _ in range(96)]
    before = vm0.from_guest.n_elements

    with stage.dptap.frozen():
        for one in frames:
            vm0.post(one)
        vm0.publish()
    vm0.wait_sent()

    equal([came.frame for came in vm1.receive(96)], frames, "frames")
    elements = vm0.from_guest.n_elements - before
    if features & vu.F_IN_ORDER:
        check(elements <= 48, f"{elements} used elements for 96 frames that were all there")
    else:
        equal(elements, 96, "used elements")
    stage.dptap.settle()


@two_guests.test
def a_buffer_may_lie_across_regions_that_are_neighbours_for_the_guest(stage):
    vm0 = stage.bring("vm0", layout=NEIGHBOURS)
    vm1 = refill(stage, layout=NEIGHBOURS)
    border = vm0.memory.regions[0].end
    last_border = vm0.memory.regions[1].end

    # how much of the 12 + 1500 bytes lies before the border: header cut, header just before, frame cut, all but a byte
    for before in (1, 5, 11, 12, 13, 26, 700, 1511):
        def post(one, before=before):
            vm0.memory.write(border - before, header(12) + one)
            vm0.from_guest.post([Desc(border - before, 12 + len(one))])

        vm1.give_chain([Desc(border - before, 2048)])
        travel(stage, [stage.frame_to("vm1", "vm0", 1500)], post)

    # over all of the region in the middle
    start, length = border - 8, 16 + (last_border - border)

    def post_long(one):
        data = header(12) + one
        vm0.memory.write(start, data[:100])
        vm0.memory.write(start + 100, data[100:])
        vm0.from_guest.post([Desc(start, len(data))])

    vm1.give_chain([Desc(start, length)])
    travel(stage, [stage.frame_to("vm1", "vm0", MAX_FRAME)], post_long)


@two_guests.test
def an_indirect_table_may_lie_across_regions_too(stage):
    vm0 = stage.bring("vm0", layout=NEIGHBOURS)
    vm1 = refill(stage, layout=NEIGHBOURS)
    border = vm0.memory.regions[0].end
    vm1.keep_given((2048,))

    for before in (16, 24, 1, 8):
        def post(one, before=before):
            parts = vm0.pieces(header(12) + one, (12, 14))
            table = b"".join(
                part.addr.to_bytes(8, "little") + part.length.to_bytes(4, "little")
                + (NEXT if i < 2 else 0).to_bytes(2, "little") + (i + 1).to_bytes(2, "little")
                for i, part in enumerate(parts))
            vm0.memory.write(border - before, table)
            vm0.from_guest.post([Desc(border - before, len(table), flags=INDIRECT)])

        travel(stage, [stage.frame_to("vm1", "vm0", 300)], post)


@two_guests.test
def many_frames_in_one_go_keep_their_order(stage):
    stage.bring("vm0", buffers=None)
    refill(stage).keep_given((512,))
    frames = [stage.frame_to("vm1", "vm0", 14 + i % 1500) for i in range(3000)]

    equal(stage.carry("vm0", "vm1", frames, burst=128) == frames, True, "frames the same and in order")
    stage.dptap.settle()


if __name__ == "__main__":
    main()
