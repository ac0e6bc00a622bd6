#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""A lane holds what it holds; what is too much is FULL_RING, to the packet, and blamed on the one that caused it.

Lanes are 64 packets long here. That a consumer is slow is arranged, not timed: buffers that nobody posts, rings that
are paused, a NIC without room, a link that is down, and a process that stands still while its senders fill their rings.
"""

import os
import struct
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "support"))

# pylint: disable=wrong-import-position
from frames import BROADCAST, frame, mac
from guest import MAX_FRAME
from stage import bridge, mac_of
from testing import check, equal, main, scenario, wait_until
from uplink import Nic, Tap
import vhost_user as vu

QUEUE_LEN = 64
STRANGER = mac(0xABCDEF)


@scenario
def a_sender_and_a_slow_guest():
    short = {"queue_len": QUEUE_LEN}
    with bridge("vm0", "vm1", "vm2", settings={"vm1": short, "vm2": short}) as stage:
        stage.bring("vm0")
        stage.bring("vm1", buffers=None)
        stage.bring("vm2")
        yield stage
        stage.dptap.stop()


SLOW = a_sender_and_a_slow_guest
PORTS = ("vm0", "vm1", "vm2", "net_null0")


def fill(stage, n, receiver="vm1"):
    """vm0 sends n frames to a guest that takes none: one, until it waits in the lane, then the others. The frames."""
    frames = [stage.frame_to(receiver, "vm0") for _ in range(n)]
    held = stage.dptap.settle(held=stage.dptap.balance()["held"])["held"]
    stage["vm0"].send(frames[0])
    stage.dptap.settle(held + 1)
    stage["vm0"].send_many(frames[1:])
    return frames


def take(stage, frames, receiver="vm1"):
    """The guest wakes up: it gets these, in order, and no more."""
    one = stage[receiver]
    one.give(min(len(frames), 256))
    equal([g.frame for g in one.receive(len(frames))], frames, f"what waited for {receiver}")
    stage.dptap.settle()
    one.nothing_arrived()


@SLOW.test
def what_exceeds_the_lane_of_a_guest_without_buffers_is_lane_guest_no_buffers(stage):
    for surplus in (0, 1, 100):
        expected = {("vm1", "to_guest", "lane_guest_no_buffers"): surplus} if surplus else {}
        with stage.dptap.expect_drops(expected, PORTS, held=QUEUE_LEN):
            frames = fill(stage, QUEUE_LEN + surplus)

        take(stage, frames[:QUEUE_LEN])


@SLOW.test
def a_slow_guest_costs_its_neighbours_nothing(stage):
    with stage.dptap.expect_drops({("vm1", "to_guest", "lane_guest_no_buffers"): 500}, PORTS, held=QUEUE_LEN):
        frames = fill(stage, QUEUE_LEN + 500)
        stage.cross("vm0", "vm2", 500)
        stage.cross("vm2", "vm0", 500)

    take(stage, frames[:QUEUE_LEN])


@SLOW.test
def clones_for_a_full_lane_are_dropped_there_and_nowhere_else(stage):
    frames = fill(stage, QUEUE_LEN)
    shouts = [frame(BROADCAST, mac_of("vm0"), 100, stage.number()) for _ in range(10)]

    with stage.dptap.expect_drops({("vm1", "to_guest", "lane_guest_no_buffers"): 10}, PORTS, held=QUEUE_LEN):
        stage["vm0"].send_many(shouts)
        equal([g.frame for g in stage["vm2"].receive(10)], shouts, "broadcasts at the other guest")

    take(stage, frames)


@SLOW.test
def a_guest_that_freed_some_buffers_gets_as_many_packets(stage):
    vm1 = stage["vm1"]
    with stage.dptap.expect_drops({("vm1", "to_guest", "lane_guest_no_buffers"): 36}, PORTS, held=QUEUE_LEN - 10):
        frames = fill(stage, QUEUE_LEN + 36)
        vm1.give(10)
        equal([g.frame for g in vm1.receive(10)], frames[:10], "the first ten")

    take(stage, frames[10:QUEUE_LEN])


def pause(guest):
    """A SET_MEM_TABLE that the back end must refuse: it announces two regions and brings one file."""
    payload = struct.pack("=II", 2, 0)
    for r in guest.memory.regions * 2:
        payload += struct.pack("=QQQQ", r.gpa, r.size, r.uva, 0)
    return guest.front_end.tell(vu.SET_MEM_TABLE, payload, [guest.memory.regions[0].fd])


@SLOW.test
def what_exceeds_the_lane_of_a_paused_queue_is_lane_queue_paused(stage):
    vm1 = stage.bring("vm1")
    check(pause(vm1) != 0, "a memory table with a file too few was accepted")

    with stage.dptap.expect_drops({("vm1", "to_guest", "lane_queue_paused"): 30}, PORTS, held=QUEUE_LEN):
        frames = fill(stage, QUEUE_LEN + 30)
    stage.cross("vm0", "vm2", 10)
    stage.cross("vm2", "vm0", 10)

    # the front end makes up for it: the queue goes on where it stood
    equal(vm1.front_end.set_mem_table(vm1.memory), 0, "verdict on a good memory table")
    equal([g.frame for g in vm1.receive(QUEUE_LEN)], frames[:QUEUE_LEN], "what waited")
    stage.cross("vm0", "vm1", 10)
    stage.cross("vm1", "vm2", 10)
    stage.dptap.settle()
    stage.bring("vm1", buffers=None)


@SLOW.test
def a_paused_guest_is_not_heard_until_it_goes_on(stage):
    vm1 = stage.bring("vm1")
    check(pause(vm1) != 0, "a memory table with a file too few was accepted")
    waiting = [stage.frame_to("vm2", "vm1") for _ in range(20)]
    for one in waiting:
        vm1.post(one)
    vm1.publish()
    stage.cross("vm0", "vm2", 50)
    equal(vm1.reap_sent(), [], "chains that were used while the guest was paused")

    equal(vm1.front_end.set_mem_table(vm1.memory), 0, "verdict on a good memory table")
    vm1.wait_sent()
    equal([g.frame for g in stage["vm2"].receive(20)], waiting, "what the guest had to say")
    stage.dptap.settle()
    stage.bring("vm1", buffers=None)


@SLOW.test
def what_waits_for_a_paused_guest_that_goes_is_guest_not_connected(stage):
    vm1 = stage.bring("vm1")
    check(pause(vm1) != 0, "a memory table with a file too few was accepted")
    fill(stage, 20)

    with stage.dptap.expect_drops({("vm1", "to_guest", "guest_not_connected"): 20}, PORTS):
        stage.drop("vm1")
    stage.bring("vm1", buffers=None)


@SLOW.test
def large_frames_that_nobody_takes_wait_in_order(stage):
    vm0, n = stage["vm0"], 32
    large = [stage.frame_to("vm1", "vm0", MAX_FRAME) for _ in range(n)]
    stage.dptap.settle()
    for one in large:
        vm0.send(one)
    stage.dptap.settle(held=n)

    # small ones still pass
    stage.cross("vm0", "vm2", 100)
    stage["vm1"].give(125, (16384,))
    got = stage["vm1"].receive(25)
    equal([g.frame for g in got] == large[:25], True, "the first frames of 64 KiB")
    stage["vm1"].give(125, (16384,))
    got = stage["vm1"].receive(n - 25)
    equal([g.frame for g in got] == large[25:], True, "the others")
    stage.dptap.settle()
    stage.bring("vm1", buffers=None)


@SLOW.test
def what_waits_when_dptap_stops_is_shutting_down(stage):
    fill(stage, 20)
    before = stage.dptap.balance()

    totals = stage.dptap.stop()

    equal(totals["held"], 0, "packets held at the end")
    equal(totals["dropped"] - before["dropped"], 20, "packets dropped by the stop")
    table = [line for line in stage.dptap.output().splitlines() if "shutting_down" in line]
    equal(len(table), 1, "lines about shutting_down in the drop table")
    equal("vm1" in table[0] and "20" in table[0].split(), True, f"port and count in {table[0]!r}")
    # the stage stops what is running: let there be something
    stage.close()
    stage.dptap.start()


@scenario
def many_senders_and_one_receiver():
    names = [f"vm{i}" for i in range(9)]
    with bridge(*names, settings={"vm0": {"queue_len": QUEUE_LEN}}) as stage:
        for name in names:
            stage.bring(name)
        yield stage
        stage.dptap.stop()


@many_senders_and_one_receiver.test
def what_exceeds_the_lane_of_a_willing_guest_is_lane_worker_busy(stage):
    """Eight senders have 128 frames each to say at once, the receiver has room: its worker is what does not keep up."""
    senders = [stage[f"vm{i}"] for i in range(1, 9)]
    each = 128
    before = stage.dptap.settle()

    with stage.dptap.frozen():
        for i, one in enumerate(senders, 1):
            for _ in range(each):
                one.post(stage.frame_to("vm0", f"vm{i}"))
            one.publish()
    got = []
    for one in senders:
        one.wait_sent(lambda: got.extend(stage["vm0"].poll()))
    wait_until(lambda: got.extend(stage["vm0"].poll()) or stage.dptap.balance()["held"] == 0, "an empty lane")
    after = stage.dptap.settle()
    got += stage["vm0"].poll()

    drops = stage.dptap.drops()
    lost = drops.get(("FULL_RING", "lane_worker_busy"), 0)
    equal(set(drops), {("FULL_RING", "lane_worker_busy")}, "causes of drops")
    equal(after["received"] - before["received"], each * len(senders), "packets received")
    equal(len(got) + lost, each * len(senders), "packets that arrived, and those that found the lane full")
    check(lost > 0, "nothing was lost although more came at once than the lane holds")


@scenario
def an_uplink_in_the_tests_hands():
    with tempfile.TemporaryDirectory(prefix="dptap-test-") as directory, \
            Nic(os.path.join(directory, "nic.sock"), queue_size=256) as nic, \
            bridge("vm0", "vm1", nic=nic, settings={"net_vhost0": {"queue_len": QUEUE_LEN}}) as stage:
        stage.nic = nic
        stage.bring("vm0")
        stage.bring("vm1")
        yield stage
        stage.dptap.stop()


NIC = an_uplink_in_the_tests_hands
NIC_PORTS = ("vm0", "vm1", "net_vhost0")


def out(stage, n):
    """vm0 sends n frames by the uplink: one, until it waits in the lane, then the others."""
    frames = [frame(STRANGER, mac_of("vm0"), 60, stage.number()) for _ in range(n)]
    stage["vm0"].send(frames[0])
    stage.dptap.settle(held=1)
    stage["vm0"].send_many(frames[1:])
    return frames


@NIC.test
def what_exceeds_the_lane_of_a_link_that_is_down_is_lane_uplink_link_down(stage):
    stage.dptap.wait_state("net_vhost0", "down")

    with stage.dptap.expect_drops({("net_vhost0", "port_tx", "lane_uplink_link_down"): 50}, NIC_PORTS, held=QUEUE_LEN):
        frames = out(stage, QUEUE_LEN + 50)
        stage.cross("vm0", "vm1", 100)

    # what waited leaves as soon as the link is back
    stage.nic.up()
    stage.nic.keep_given()
    equal([g.frame for g in stage.nic.receive(QUEUE_LEN)], frames[:QUEUE_LEN], "what waited for the link")
    stage.dptap.wait_state("net_vhost0", "up")
    stage.dptap.settle()


@NIC.test
def what_exceeds_the_lane_of_a_nic_without_room_is_lane_uplink_full(stage):
    nic = stage.nic
    nic.disconnect()
    stage.dptap.wait_state("net_vhost0", "down")
    nic.up()
    stage.dptap.wait_state("net_vhost0", "up")

    with stage.dptap.expect_drops({("net_vhost0", "port_tx", "lane_uplink_full"): 77}, NIC_PORTS, held=QUEUE_LEN):
        frames = out(stage, QUEUE_LEN + 77)
        stage.cross("vm0", "vm1", 100)

    nic.keep_given()
    equal([g.frame for g in nic.receive(QUEUE_LEN)], frames[:QUEUE_LEN], "what waited for room")
    stage.dptap.settle()
    nic.send(frame(mac_of("vm0"), STRANGER, 60, 5))
    stage["vm0"].receive()
    stage.dptap.settle()


@scenario
def a_tap_whose_interface_goes_down():
    with Tap() as tap, bridge("vm0", "vm1", nic=tap, settings={"net_tap0": {"queue_len": QUEUE_LEN}}) as stage:
        stage.tap = tap
        tap.attach()
        stage.bring("vm0")
        stage.bring("vm1")
        stage.dptap.wait_state("net_tap0", "up")
        yield stage
        stage.dptap.stop()


@a_tap_whose_interface_goes_down.test
def an_interface_set_down_in_the_kernel_is_lane_uplink_link_down(stage):
    stage.tap.set(False)
    stage.dptap.wait_state("net_tap0", "down")

    with stage.dptap.expect_drops({("net_tap0", "port_tx", "lane_uplink_link_down"): 10}, ("vm0", "vm1", "net_tap0"),
                                  held=QUEUE_LEN):
        frames = out(stage, QUEUE_LEN + 10)

    stage.tap.set(True)
    equal(stage.tap.receive(QUEUE_LEN), frames[:QUEUE_LEN], "what waited for the interface")
    stage.dptap.settle()


@scenario
def guests_that_read_nothing():
    """The pool is exactly as large as dptap needs it; every lane can be filled all the same."""
    names = [f"vm{i}" for i in range(4)]
    with bridge(*names, settings={name: {"queue_len": 1000} for name in names}, memory=768) as stage:
        stage.bring("vm0", queue_size=64)
        for name in names[1:]:
            stage.bring(name, buffers=None)
        yield stage
        stage.dptap.stop()


@guests_that_read_nothing.test
def large_frames_for_one_guest_fill_its_own_lane_and_no_other(stage):
    """Two mbufs of 2 KiB for each packet that the lane holds: sixty frames of 64 KiB at 1000."""
    ports = ("vm0", "vm1", "vm2", "vm3", "net_null0")
    n, room = 100, 2000 // 33
    full = ("to_guest", "FULL_RING", "lane_large_full")
    stage["vm0"].send_many([stage.frame_to("vm1", "vm0", MAX_FRAME) for _ in range(n)], burst=32)
    stage.dptap.settle(held=room)
    equal({port: stage.dptap.drops(port) for port in ports},
          {**{port: {} for port in ports}, "vm1": {full: n - room}}, "what was dropped and why")

    # every other lane is as free as before: small frames to this one, large ones to the next
    stage["vm0"].send_many([stage.frame_to("vm1", "vm0") for _ in range(100)], burst=32)
    stage["vm0"].send_many([stage.frame_to("vm3", "vm0", MAX_FRAME) for _ in range(room)], burst=32)
    stage["vm2"].keep_given()
    stage.cross("vm0", "vm2", 500)
    stage.dptap.settle(held=room + 100 + room)
    equal(stage.dptap.drops("vm1"), {full: n - room}, "what the first guest's lane dropped meanwhile")

    for name, lengths in (("vm1", [MAX_FRAME] * room + [60] * 100), ("vm3", [MAX_FRAME] * room)):
        arrived = []

        def woken(one=stage[name], got=arrived, want=len(lengths)):
            got.extend(len(g.frame) for g in one.poll())
            if len(one.to_guest.chains) < 5:
                one.give(50, (16384,))
            return len(got) >= want

        wait_until(woken, lambda name=name, got=arrived: f"what waited for {name}: {len(got)} frames came")
        equal(arrived, lengths, f"lengths of the frames that arrived at {name}")
    stage.dptap.settle()


@scenario
def sixty_four_guests_that_read_nothing():
    names = [f"vm{i}" for i in range(64)]
    small = {name: {"queue_len": QUEUE_LEN} for name in names}
    small["net_null0"] = {"queue_len": 64, "rx_desc": 64, "tx_desc": 64}
    with bridge(*names, settings=small) as stage:
        for name in names:
            stage.add(name, layout=((0x10_0000, 8 << 20),)).up()
        for name in names:
            stage.dptap.wait_state(name, "RUNNING")
        yield stage
        stage.dptap.stop()


@sixty_four_guests_that_read_nothing.test
def broadcasts_fill_all_lanes_at_once_and_find_an_mbuf_for_each_clone(stage):
    """The largest first, of which a clone takes an mbuf for each piece; then small ones up to the last entry."""
    vm0 = stage["vm0"]
    others = [name for name in stage.guests if name != "vm0"]
    large = [frame(BROADCAST, mac_of("vm0"), MAX_FRAME) for _ in range(40)]
    vm0.send_many(large, burst=1)
    vm0.send_many([frame(BROADCAST, mac_of("vm0"), 60, n) for n in range(QUEUE_LEN + 10)], burst=1)
    balance = stage.dptap.settle(held=len(others) * QUEUE_LEN)

    check(stage.dptap.tele("/dptap/info")["mbufs_free"] > 0, "no mbuf is left")
    equal({(reason, cause) for reason, cause in stage.dptap.drops()},
          {("FULL_RING", "lane_large_full"), ("FULL_RING", "lane_guest_no_buffers"),
           ("SKB_GSO_SEG", "frame_exceeds_mtu")}, "what was dropped and why")
    equal(balance["created"], (len(large) + QUEUE_LEN + 10) * len(others), "clones")

    for name in others:
        stage.drop(name)
    vm0.wait_sent()
    stage.dptap.settle()


if __name__ == "__main__":
    main()
