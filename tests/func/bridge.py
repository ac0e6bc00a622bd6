#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""A bridge sends each frame where it belongs, never back, and counts what it clones and what has no place to go.

vm0 and vm1 have configured addresses, vm2 and vm3 are learnt. The uplink is a NIC in the test's hands.
"""

import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "support"))

# pylint: disable=wrong-import-position
from dptap import Dptap, guest, uplink
from frames import BROADCAST, MULTICAST, frame, mac, text
from guest import MAX_FRAME
from stage import Stage, bridge, mac_of
from testing import equal, main, scenario, wait_until
from uplink import Capture, Nic, Tap, Wire

NAMES = ("vm0", "vm1", "vm2", "vm3")
PORTS = NAMES + ("net_vhost0",)
STRANGER = mac(0xABCDEF)
"""Somebody behind the uplink."""


@scenario
def four_guests_and_a_nic():
    with tempfile.TemporaryDirectory(prefix="dptap-test-") as directory, \
            Nic(os.path.join(directory, "nic.sock")) as nic, \
            bridge(*NAMES, nic=nic, learn=("vm2", "vm3")) as stage:
        stage.nic = nic
        nic.up()
        stage.dptap.wait_state("net_vhost0", "up")
        nic.keep_given()
        for name in NAMES:
            stage.bring(name)
        yield stage
        stage.dptap.stop()


def through(stage, sender, dst, to, size=60, src=None, n=1):
    """n frames from a sender ("nic" or a guest's name) arrive at exactly the receivers in `to`.

    Returns how the books moved: created and its bytes.
    """
    ends = dict(stage.guests, nic=stage.nic)
    src = src or (STRANGER if sender == "nic" else mac_of(sender))
    frames = [frame(dst, src, size, stage.number()) for _ in range(n)]
    before = stage.dptap.settle()
    ends[sender].send_many(frames)
    for name in to:
        equal([g.frame for g in ends[name].receive(n)], frames, f"frames at {name}")
    after = stage.dptap.settle()
    for name in set(ends) - set(to):
        if ends[name].to_guest:
            ends[name].nothing_arrived()
    moved = {word: after[word] - before[word] for word in after if isinstance(after[word], int)}
    equal(moved["received"], n, "packets received")
    equal(moved["received_bytes"], n * size, "bytes received")
    equal(moved["delivered"], n * len(to), "packets delivered")
    equal(moved["delivered_bytes"], n * len(to) * size, "bytes delivered")
    equal(moved["created"], n * max(len(to) - 1, 0), "packets created")
    equal(moved["created_bytes"], n * max(len(to) - 1, 0) * size, "bytes created")
    equal(moved["dropped"], 0 if to else n, "packets dropped")


BRIDGE = four_guests_and_a_nic


@BRIDGE.test
def unicast_between_guests_arrives_at_its_owner_only(stage):
    through(stage, "vm0", mac_of("vm1"), ["vm1"], n=100)
    through(stage, "vm1", mac_of("vm0"), ["vm0"], n=100, size=1514)


@BRIDGE.test
def unicast_from_the_uplink_arrives_at_its_owner_only(stage):
    through(stage, "nic", mac_of("vm0"), ["vm0"], n=100)
    through(stage, "nic", mac_of("vm1"), ["vm1"], n=100, size=1514)


@BRIDGE.test
def unicast_of_a_guest_to_a_stranger_goes_to_the_uplink(stage):
    through(stage, "vm0", STRANGER, ["nic"], n=100)
    through(stage, "vm2", STRANGER, ["nic"])


@BRIDGE.test
def unicast_from_the_uplink_for_nobody_is_mac_not_here(stage):
    with stage.dptap.expect_drops({("net_vhost0", "port_rx", "mac_not_here"): 10}, PORTS):
        through(stage, "nic", mac(0x777), [], n=10)


@BRIDGE.test
def a_guest_that_sends_to_itself_is_mac_is_sender(stage):
    with stage.dptap.expect_drops({("vm0", "from_guest", "mac_is_sender"): 3}, PORTS):
        through(stage, "vm0", mac_of("vm0"), [], n=3)


@BRIDGE.test
def a_guest_without_a_configured_address_is_learnt_from_what_it_sends(stage):
    mine = mac(0x2222)
    with stage.dptap.expect_drops({("net_vhost0", "port_rx", "mac_not_here"): 1}, PORTS):
        through(stage, "nic", mine, [])

    through(stage, "vm2", STRANGER, ["nic"], src=mine)

    through(stage, "nic", mine, ["vm2"], n=10)
    through(stage, "vm0", mine, ["vm2"], n=10)
    with stage.dptap.expect_drops({("vm2", "from_guest", "mac_is_sender"): 1}, PORTS):
        through(stage, "vm2", mine, [], src=mine)


@BRIDGE.test
def a_learnt_address_moves_with_the_guest_that_uses_it(stage):
    mine = mac(0x3333)
    through(stage, "vm2", STRANGER, ["nic"], src=mine)
    through(stage, "nic", mine, ["vm2"])

    through(stage, "vm3", STRANGER, ["nic"], src=mine)

    through(stage, "nic", mine, ["vm3"])


@BRIDGE.test
def a_learnt_address_is_forgotten_when_its_guest_goes(stage):
    mine = mac(0x4444)
    through(stage, "vm3", STRANGER, ["nic"], src=mine)
    through(stage, "nic", mine, ["vm3"])

    stage.bring("vm3")

    with stage.dptap.expect_drops({("net_vhost0", "port_rx", "mac_not_here"): 1}, PORTS):
        through(stage, "nic", mine, [])


@BRIDGE.test
def a_configured_address_cannot_be_taken_over(stage):
    through(stage, "vm2", STRANGER, ["nic"], src=mac_of("vm0"))
    through(stage, "vm1", STRANGER, ["nic"], src=mac_of("vm0"))

    through(stage, "nic", mac_of("vm0"), ["vm0"], n=3)
    through(stage, "vm1", mac_of("vm0"), ["vm0"], n=3)


@BRIDGE.test
def broadcast_and_multicast_are_cloned_to_all_others_and_never_sent_back(stage):
    everybody = set(NAMES) | {"nic"}
    for dst in (BROADCAST, MULTICAST, b"\x01\x80\xc2\x00\x00\x0e"):
        for sender in ("vm0", "vm2", "nic"):
            through(stage, sender, dst, sorted(everybody - {sender}), n=5, size=100)


@BRIDGE.test
def a_broadcast_reaches_those_that_are_there(stage):
    stage.drop("vm1")
    stage.add("vm2").connect()
    stage.dptap.wait_state("vm2", "NEGOTIATING")

    with stage.dptap.expect_drops({}, PORTS):
        through(stage, "vm0", BROADCAST, ["nic", "vm3"], n=3)
        through(stage, "nic", BROADCAST, ["vm0", "vm3"], n=3)
    stage.bring("vm1")
    stage.bring("vm2")


@BRIDGE.test
def unicast_to_a_guest_that_is_not_connected_is_guest_not_connected(stage):
    stage.drop("vm1")

    with stage.dptap.expect_drops({("vm1", "to_guest", "guest_not_connected"): 7}, PORTS):
        through(stage, "nic", mac_of("vm1"), [], n=5)
        through(stage, "vm0", mac_of("vm1"), [], n=2)
    stage.bring("vm1")


@BRIDGE.test
def unicast_to_a_guest_whose_driver_has_not_started_is_guest_not_ready(stage):
    stage.add("vm1").connect()
    stage.dptap.wait_state("vm1", "NEGOTIATING")

    with stage.dptap.expect_drops({("vm1", "to_guest", "guest_not_ready"): 5}, PORTS):
        through(stage, "vm0", mac_of("vm1"), [], n=5)

    # only the sending ring is up: that is no place to receive
    stage["vm1"].start(rings=(1,))
    stage.dptap.wait_state("vm1", "RUNNING")
    with stage.dptap.expect_drops({("vm1", "to_guest", "guest_not_ready"): 5}, PORTS):
        through(stage, "vm0", mac_of("vm1"), [], n=5)
    stage.bring("vm1")
    stage.cross("vm0", "vm1")


@BRIDGE.test
def packets_for_a_stopped_queue_are_guest_queue_stopped(stage):
    vm1 = stage.bring("vm1", buffers=None)
    vm0 = stage["vm0"]

    # what waits when the queue is stopped, and what comes afterwards
    vm0.send_many([stage.frame_to("vm1", "vm0") for _ in range(5)])
    stage.dptap.settle(held=5)
    with stage.dptap.expect_drops({("vm1", "to_guest", "guest_queue_stopped"): 8}, PORTS):
        vm1.front_end.get_vring_base(0)
        vm0.send_many([stage.frame_to("vm1", "vm0") for _ in range(3)])

    vm1 = stage.bring("vm1", buffers=None)
    vm0.send_many([stage.frame_to("vm1", "vm0") for _ in range(5)])
    stage.dptap.settle(held=5)
    with stage.dptap.expect_drops({("vm1", "to_guest", "guest_queue_stopped"): 8}, PORTS):
        vm1.enable(0, False)
        vm0.send_many([stage.frame_to("vm1", "vm0") for _ in range(3)])

    vm1.enable(0)
    vm1.keep_given()
    stage.cross("vm0", "vm1", 10)
    stage.dptap.settle()


@BRIDGE.test
def what_waits_for_a_guest_that_goes_is_guest_not_connected(stage):
    stage.bring("vm1", buffers=None)
    stage["vm0"].send_many([stage.frame_to("vm1", "vm0") for _ in range(9)])
    stage.dptap.settle(held=9)

    with stage.dptap.expect_drops({("vm1", "to_guest", "guest_not_connected"): 9}, PORTS):
        stage.drop("vm1")
    stage.bring("vm1")
    stage.cross("vm0", "vm1")


@BRIDGE.test
def a_frame_of_vlan_or_unknown_type_is_not_looked_into(stage):
    for ethertype in (0x0000, 0x0600, 0x8100, 0x88A8, 0x0800, 0x86DD, 0x0806, 0xFFFF):
        vm0, vm1 = stage["vm0"], stage["vm1"]
        sent = frame(mac_of("vm1"), mac_of("vm0"), 64, stage.number(), ethertype)
        vm0.send(sent)
        equal(vm1.receive()[0].frame, sent, f"a frame of type {ethertype:#06x}")
    stage.dptap.settle()


@scenario
def guests_and_no_uplink():
    with Dptap(*(guest(name, mac=text(mac_of(name))) for name in NAMES[:3])) as dptap:
        stage = Stage(dptap)
        try:
            stage.bring("vm0")
            yield stage
            dptap.stop()
        finally:
            stage.close()


@guests_and_no_uplink.test
def a_broadcast_that_nobody_is_there_to_hear_is_no_destination(stage):
    with stage.dptap.expect_drops({("vm0", "from_guest", "no_destination"): 4}, NAMES[:3]):
        stage["vm0"].send_many([frame(dst, mac_of("vm0"), 60, n) for n, dst in
                                enumerate((BROADCAST, BROADCAST, MULTICAST, MULTICAST))])


@guests_and_no_uplink.test
def unicast_that_nobody_here_owns_is_mac_not_here(stage):
    with stage.dptap.expect_drops({("vm0", "from_guest", "mac_not_here"): 3}, NAMES[:3]):
        stage["vm0"].send_many([frame(STRANGER, mac_of("vm0"), 60, n) for n in range(3)])


@guests_and_no_uplink.test
def guests_talk_without_an_uplink(stage):
    stage.bring("vm1")
    stage.cross("vm0", "vm1", 10)
    stage.cross("vm1", "vm0", 10)
    stage.dptap.settle()


@guests_and_no_uplink.test
def a_broadcast_of_several_mbufs_arrives_whole_everywhere(stage):
    stage.bring("vm1")
    stage.bring("vm2")
    for size in (2049, 9000, MAX_FRAME):
        shout = frame(BROADCAST, mac_of("vm0"), size, stage.number())
        before = stage.dptap.settle()
        stage["vm0"].send(shout)
        for name in ("vm1", "vm2"):
            equal(stage[name].receive()[0].frame == shout, True, f"{size} bytes at {name}")
        after = stage.dptap.settle()
        equal([after[word] - before[word] for word in ("created", "created_bytes")], [1, size], "created")


@scenario
def two_uplinks_with_a_guest_each():
    with tempfile.TemporaryDirectory(prefix="dptap-test-") as directory, \
            Nic(os.path.join(directory, "0"), 0) as left, Nic(os.path.join(directory, "1"), 1) as right, \
            Dptap(uplink("left", device="net_vhost0"), uplink("right", device="net_vhost1"),
                  guest("vm0", mac=text(mac_of("vm0"))), guest("vm1", mac=text(mac_of("vm1")), uplink="right"),
                  vdevs=[left.vdev, right.vdev]) as dptap:
        stage = Stage(dptap)
        stage.left, stage.right = left, right
        for name, one in (("left", left), ("right", right)):
            one.up()
            dptap.wait_state(name, "up")
            one.keep_given()
        try:
            for name in ("vm0", "vm1"):
                stage.bring(name)
            yield stage
            dptap.stop()
        finally:
            stage.close()


@two_uplinks_with_a_guest_each.test
def bridges_of_two_uplinks_do_not_mix(stage):
    ports = ("vm0", "vm1", "left", "right")
    vm0, vm1 = stage["vm0"], stage["vm1"]
    expected = {("left", "port_rx", "mac_not_here"): 1}
    with stage.dptap.expect_drops(expected, ports):
        # vm1 is no neighbour of vm0's: the frame goes out by vm0's own uplink
        one = stage.frame_to("vm1", "vm0")
        vm0.send(one)
        equal(stage.left.receive()[0].frame, one, "the frame for a guest of another bridge")
        stage.left.send(frame(mac_of("vm1"), STRANGER, 60, 1))
        shout = frame(BROADCAST, mac_of("vm0"), 60, 2)
        vm0.send(shout)
        equal(stage.left.receive()[0].frame, shout, "the broadcast")
        answer = frame(mac_of("vm1"), STRANGER, 60, 3)
        stage.right.send(answer)
        equal(vm1.receive()[0].frame, answer, "the frame from the other uplink")
    for one in (vm0, vm1, stage.left, stage.right):
        one.nothing_arrived()


@scenario
def a_capture_file_in_place_of_a_nic():
    """Frames come from a file as soon as the port starts; those sent land in another."""
    with tempfile.TemporaryDirectory(prefix="dptap-test-") as directory:
        incoming = [frame(mac_of("vm0"), STRANGER, 60, n) for n in range(4)]
        incoming += [frame(mac(0x999), STRANGER, 60, n) for n in range(3)]
        incoming += [frame(mac_of("vm0"), STRANGER, 60, n)[:13] for n in range(2)]
        capture = Capture(directory, [incoming])
        with bridge("vm0", "vm1", nic=capture) as stage:
            stage.capture, stage.sent = capture, 0
            stage.bring("vm1")
            yield stage
            totals = stage.dptap.stop()
            equal(len(capture.frames()), stage.sent, "frames in the file that the uplink wrote")
            equal(totals["held"], 0, "packets held")


@a_capture_file_in_place_of_a_nic.test
def each_frame_of_an_uplink_is_counted_where_it_ended(stage):
    wait_until(lambda: stage.dptap.port("net_pcap0")["port_rx"]["received"] == 9, "nine frames from the file")
    stage.dptap.settle()

    equal(stage.dptap.drops("net_pcap0"), {("port_rx", "OTHERHOST", "mac_not_here"): 3,
                                          ("port_rx", "PKT_TOO_SMALL", "uplink_frame_too_short"): 2}, "drops")
    equal(stage.dptap.drops("vm0"), {("to_guest", "NO_SOCKET", "guest_not_connected"): 4}, "drops at vm0")


@a_capture_file_in_place_of_a_nic.test
def what_guests_send_leaves_by_the_uplink_byte_for_byte(stage):
    vm0 = stage.bring("vm0")
    sent = [frame(STRANGER, mac_of("vm0"), size, n) for n, size in enumerate((14, 60, 61, 1513, 1514))]

    vm0.send_many(sent)
    stage.dptap.settle()

    equal(stage.capture.frames(), sent, "frames in the file")
    stage.sent += len(sent)


@a_capture_file_in_place_of_a_nic.test
def a_frame_above_the_uplinks_mtu_is_frame_exceeds_mtu(stage):
    vm0 = stage.bring("vm0")
    with stage.dptap.expect_drops({("net_pcap0", "port_tx", "frame_exceeds_mtu"): 3}, ("vm0", "vm1", "net_pcap0")):
        vm0.send_many([frame(STRANGER, mac_of("vm0"), size) for size in (1515, 9014, MAX_FRAME)])
    # a tag or two are no part of what the MTU limits
    for tags in (b"\x81\x00\x00\x07", b"\x88\xa8\x00\x07\x81\x00\x00\x08"):
        plain = frame(STRANGER, mac_of("vm0"), 1514, 9)
        vm0.send(plain[:12] + tags + plain[12:])
        stage.sent += 1
    stage.dptap.settle()
    equal([len(one) for one in stage.capture.frames()[-2:]], [1518, 1522], "lengths of tagged frames that left")


@scenario
def an_uplink_of_two_queues():
    with tempfile.TemporaryDirectory(prefix="dptap-test-") as directory:
        incoming = [[frame(mac(0x900 + queue), STRANGER, 60, n) for n in range(5 + queue)] for queue in range(2)]
        capture = Capture(directory, incoming)
        with bridge(*NAMES, nic=capture, n_workers=2, settings={capture.device: {"queues": 2}}) as stage:
            stage.capture = capture
            for name in NAMES:
                stage.bring(name)
            yield stage
            stage.dptap.stop()


@an_uplink_of_two_queues.test
def every_queue_of_an_uplink_is_polled(stage):
    with stage.dptap.expect_drops({}, NAMES):
        wait_until(lambda: stage.dptap.port("net_pcap0")["port_rx"]["received"] == 11, "eleven frames from two files")
    equal(stage.dptap.drops("net_pcap0"), {("port_rx", "OTHERHOST", "mac_not_here"): 11}, "drops")
    polled = [queue for one in stage.dptap.lcores() for queue in one["queues"]]
    equal(sorted(queue for queue in polled if queue.startswith("net")), ["net_pcap0:0", "net_pcap0:1"], "queues polled")


@an_uplink_of_two_queues.test
def what_one_guest_sends_keeps_its_order_whatever_the_queue(stage):
    sent = {name: [frame(STRANGER, mac_of(name), 60, n) for n in range(300)] for name in NAMES}
    for at in range(0, 300, 30):
        for name in NAMES:
            for one in sent[name][at : at + 30]:
                stage[name].post(one)
            stage[name].publish()
        for name in NAMES:
            stage[name].wait_sent()
        stage.dptap.settle()

    left = [stage.capture.frames(queue) for queue in range(2)]
    equal(sum(len(one) for one in left), 1200, "frames that left by either queue")
    for name in NAMES:
        mine = [[one for one in queue if one[6:12] == mac_of(name)] for queue in left]
        equal(sent[name] in mine, True, f"frames of {name} left by one queue, in order ({[len(m) for m in mine]})")
    equal(all(left), True, "both queues were used")


@scenario
def a_nic_that_takes_one_segment():
    with bridge("vm0", "vm1", settings={"net_null0": {"mtu": 9000}}) as stage:
        stage.bring("vm0")
        yield stage
        stage.dptap.stop()


@a_nic_that_takes_one_segment.test
def a_frame_of_several_mbufs_for_a_nic_that_takes_one_is_uplink_one_segment(stage):
    vm0 = stage["vm0"]
    expected = {("net_null0", "port_tx", "uplink_one_segment"): 3, ("net_null0", "port_tx", "frame_exceeds_mtu"): 1}
    with stage.dptap.expect_drops(expected, ("vm0", "vm1", "net_null0")):
        vm0.send_many([frame(STRANGER, mac_of("vm0"), size) for size in (60, 2048, 2049, 5000, 9014, 9015)])
    equal(stage.dptap.port("net_null0")["port_tx"]["delivered"], 2, "frames that left")


@scenario
def a_wire_to_the_kernel():
    with Wire() as wire, bridge("vm0", "vm1", nic=wire) as stage:
        stage.wire = wire
        stage.bring("vm0")
        stage.bring("vm1")
        yield stage
        stage.dptap.stop()


@a_wire_to_the_kernel.test
def frames_pass_between_guests_and_the_kernels_interface(stage):
    vm0 = stage["vm0"]
    out = [frame(STRANGER, mac_of("vm0"), 60 + n, n) for n in range(200)]
    vm0.send_many(out)
    equal(stage.wire.receive(len(out)), out, "frames that left")

    into = [frame(mac_of("vm0"), STRANGER, 60 + n, n) for n in range(200)]
    for one in into:
        stage.wire.send(one)
    equal([g.frame for g in vm0.receive(len(into))], into, "frames that came in")

    shout = frame(BROADCAST, STRANGER, 60, 1)
    stage.wire.send(shout)
    equal(vm0.receive()[0].frame, shout, "the broadcast at vm0")
    equal(stage["vm1"].receive()[0].frame, shout, "the broadcast at vm1")
    stage.dptap.settle()
    equal(stage.wire.poll(), [], "frames that came back out")


@scenario
def a_tap_to_the_kernel():
    with Tap() as tap, bridge("vm0", nic=tap) as stage:
        stage.tap = tap
        tap.attach()
        stage.bring("vm0")
        yield stage
        stage.dptap.stop()


@a_tap_to_the_kernel.test
def frames_pass_between_a_guest_and_a_tap(stage):
    vm0 = stage["vm0"]
    stage.dptap.wait_state("net_tap0", "up")
    out = [frame(STRANGER, mac_of("vm0"), 60 + n, n) for n in range(100)]
    vm0.send_many(out)
    equal(stage.tap.receive(len(out)), out, "frames that left")
    into = [frame(mac_of("vm0"), STRANGER, 60 + n, n) for n in range(100)]
    for one in into:
        stage.tap.send(one)
    equal([g.frame for g in vm0.receive(len(into))], into, "frames that came in")
    stage.dptap.settle()


if __name__ == "__main__":
    main()
