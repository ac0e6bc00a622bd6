#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""A guest by DPDK's own virtio driver: every ring layout that it can choose, both ways, quitting and being killed.

vm0 is dpdk-testpmd with net_virtio_user, at DPDK's speed; vm1 is ours. That packets are lost between them at that speed
is no fault; that they are lost unseen would be one: what testpmd says it sent is what the books received.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "support"))

# pylint: disable=wrong-import-position
from frames import frame, text
from stage import bridge, mac_of
from testing import check, equal, main, scenario, wait_until
from uplink import Testpmd, virtio_user

PORTS = ("vm0", "vm1", "net_null0")
LAYOUTS = ({}, {"in_order": 0}, {"mrg_rxbuf": 0}, {"in_order": 0, "mrg_rxbuf": 0}, {"queue_size": 1024},
           {"in_order": 0, "vectorized": 0, "queue_size": 64}, {"packed_vq": 1}, {"packed_vq": 1, "in_order": 0},
           {"packed_vq": 1, "mrg_rxbuf": 0}, {"packed_vq": 1, "in_order": 0, "mrg_rxbuf": 0},
           {"packed_vq": 1, "queue_size": 1024}, {"packed_vq": 1, "vectorized": 1})


@scenario
def a_fast_guest_and_ours():
    with bridge("vm0", "vm1") as stage:
        stage.bring("vm1")
        stage.testpmd, stage.layout = None, None
        try:
            yield stage
            leave(stage)
            stage.dptap.stop()
        finally:
            if stage.testpmd:
                stage.testpmd.close()


def fast_guest(stage, forward, **options):
    """testpmd on vm0's socket."""
    path = stage.dptap.socket("vm0")
    return Testpmd([virtio_user(path, mac=text(mac_of("vm0")), **options)], forward,
                   [f"--eth-peer=0,{text(mac_of('vm1'))}"])


def gone(stage):
    stage.dptap.wait_state("vm0", "LISTENING")
    drained(stage)
    return stage.dptap.settle()


def drained(stage):
    """What waits for vm1 has been read by it: the frames."""
    got = []
    wait_until(lambda: got.extend(stage["vm1"].poll()) or stage.dptap.balance()["held"] == 0, "an empty lane")
    stage.dptap.settle()
    return got + stage["vm1"].poll()


def leave(stage):
    """The fast guest quits, as a well-behaved one does."""
    if stage.testpmd:
        stage.testpmd.quit()
        stage.testpmd.close()
        stage.testpmd = None
        gone(stage)


def with_layout(stage, forward, options):
    """vm0 with this layout, forwarding; another one makes way for it."""
    if stage.layout != options or not stage.testpmd:
        leave(stage)
        stage.testpmd = fast_guest(stage, forward, **options)
        stage.testpmd.start_process()
        stage.layout = options
        stage.dptap.wait_state("vm0", "RUNNING")
    else:
        stage.testpmd.say(f"set fwd {forward}")
    stage.dptap.settle()
    return stage.testpmd


def come_back_swapped(stage, options):
    vm1 = stage["vm1"]
    sent = [frame(mac_of("vm0"), mac_of("vm1"), 60 + i, i) for i in range(200)]
    swapped = [one[6:12] + one[:6] + one[12:] for one in sent]
    testpmd = with_layout(stage, "macswap", options)
    before = stage.dptap.settle()
    testpmd.run()

    got = []
    for at in range(0, len(sent), 20):
        vm1.send_many(sent[at : at + 20])
        wait_until(lambda due=at + 20: got.extend(vm1.poll()) or len(got) >= due,
                   lambda due=at + 20: f"{due} frames: {len(got)} came back; {testpmd.halt()}")

    equal([g.frame for g in got], swapped, "what came back")
    after = stage.dptap.settle()
    equal([after[word] - before[word] for word in ("received", "delivered", "dropped")], [400, 400, 0],
          "received, delivered, dropped")
    features = int(stage.dptap.port("vm0")["features"], 16)
    equal(features >> 15 & 1, options.get("mrg_rxbuf", 1), "mergeable buffers negotiated")
    equal(features >> 34 & 1, options.get("packed_vq", 0), "a packed ring negotiated")
    testpmd.halt()


def are_what_the_books_received(stage, options):
    vm1 = stage["vm1"]
    testpmd = with_layout(stage, "txonly", options)
    before, received = stage.dptap.settle(), stage.dptap.port("vm0")["from_guest"]["received"]
    testpmd.run()
    got = []
    wait_until(lambda: got.extend(vm1.poll()) or len(got) > 2000, "frames from testpmd")
    sent = testpmd.halt()["tx_packets"]
    wait_until(lambda: got.extend(vm1.poll())
               or stage.dptap.port("vm0")["from_guest"]["received"] - received == sent,
               lambda: f"{sent} packets that testpmd sent: {stage.dptap.port('vm0')['from_guest']}")
    got += drained(stage)
    after = stage.dptap.settle()

    equal(after["delivered"] - before["delivered"], len(got), "packets delivered, and packets that arrived")
    equal(len(got) + after["dropped"] - before["dropped"], sent, "packets that arrived or were dropped")
    causes = {cause for _, _, cause in stage.dptap.drops("vm1")}
    check(causes <= {"lane_guest_no_buffers", "lane_worker_busy"}, f"causes of drops: {causes}")
    equal({g.frame[:12] for g in got}, {mac_of("vm1") + mac_of("vm0")}, "addresses of what arrived")


def are_what_it_received(stage, options):
    testpmd = with_layout(stage, "rxonly", options)
    testpmd.run()
    with stage.dptap.expect_drops({}, PORTS):
        # no more at once than its lane holds: testpmd may be waiting for its CPU
        for size in (60, 60, 60, 1514):
            stage["vm1"].send_many([frame(mac_of("vm0"), mac_of("vm1"), size, i) for i in range(625)])
            stage.dptap.settle()
    equal(testpmd.halt()["rx_packets"], 2500, "packets that testpmd received")


def name_of(options):
    return "_".join(f"{key}_{value}" for key, value in options.items()) or "its_defaults"


for LAYOUT in LAYOUTS:
    for WHAT, FUNCTION in (("frames_sent_to_it_come_back_swapped", come_back_swapped),
                           ("the_frames_it_sends_are_what_the_books_received", are_what_the_books_received),
                           ("the_frames_sent_to_it_are_what_it_received", are_what_it_received)):
        def one(stage, function=FUNCTION, options=LAYOUT):
            function(stage, options)

        one.__name__ = f"{WHAT}__with_{name_of(LAYOUT)}"
        a_fast_guest_and_ours.test(one)


@a_fast_guest_and_ours.test
def kill_9_amid_its_traffic_again_and_again_costs_nobody_else_anything(stage):
    leave(stage)
    vm1 = stage["vm1"]
    for _ in range(3):
        with fast_guest(stage, "txonly") as testpmd:
            stage.dptap.wait_state("vm0", "RUNNING")
            testpmd.run()
            got = []
            wait_until(lambda: got.extend(vm1.poll()) or len(got) > 500, "frames from testpmd")
            testpmd.kill()
            gone(stage)
    with fast_guest(stage, "macswap") as testpmd:
        stage.dptap.wait_state("vm0", "RUNNING")
        testpmd.run()
        sent = frame(mac_of("vm0"), mac_of("vm1"), 60, 1)
        vm1.send(sent)
        equal(vm1.receive()[0].frame[12:], sent[12:], "what came back")
    gone(stage)


@a_fast_guest_and_ours.test
def kill_9_amid_traffic_towards_it_is_accounted_for(stage):
    leave(stage)
    for _ in range(3):
        before = stage.dptap.settle()
        with fast_guest(stage, "rxonly") as testpmd:
            stage.dptap.wait_state("vm0", "RUNNING")
            testpmd.run()
            frames = [frame(mac_of("vm0"), mac_of("vm1"), 60, i) for i in range(1000)]
            stage["vm1"].send_many(frames[:500])
            testpmd.kill()
            stage["vm1"].send_many(frames[500:])
        after = gone(stage)
        equal(after["received"] - before["received"], 1000, "packets received")
        equal(after["delivered"] + after["dropped"] - before["delivered"] - before["dropped"], 1000,
              "packets delivered or dropped")
    kinds = {cause for _, _, cause in stage.dptap.drops("vm0")}
    check(kinds <= {"guest_not_connected", "lane_guest_no_buffers", "lane_worker_busy"}, f"causes of drops: {kinds}")


@scenario
def two_fast_guests():
    with bridge("vm0", "vm1") as stage:
        yield stage
        stage.dptap.stop()


@two_fast_guests.test
def two_of_them_at_full_speed_balance_to_the_packet(stage):
    with fast_guest(stage, "txonly") as left, \
            Testpmd([virtio_user(stage.dptap.socket("vm1"), mac=text(mac_of("vm1")))], "rxonly") as right:
        for name in ("vm0", "vm1"):
            stage.dptap.wait_state(name, "RUNNING")
        right.run()
        left.run()
        wait_until(lambda: stage.dptap.port("vm1")["to_guest"]["delivered"] > 100000, "100,000 packets")
        # telemetry under load: moving, or exact, never wrong
        for _ in range(50):
            check(stage.dptap.balance()["balanced"] in ("yes", "moving"), "the books are off while packets move")
        sent = left.halt()["tx_packets"]
        wait_until(lambda: stage.dptap.port("vm0")["from_guest"]["received"] == sent,
                   lambda: f"{sent} packets that were sent: {stage.dptap.port('vm0')['from_guest']}")
        stage.dptap.settle()
        arrived = right.halt()["rx_packets"]
        equal(stage.dptap.port("vm1")["to_guest"]["delivered"], arrived, "packets delivered, and packets that arrived")
        equal(arrived + stage.dptap.tele("/dptap/drops")["packets"], sent, "packets that arrived or were dropped")
        left.quit()
        right.quit()


if __name__ == "__main__":
    main()
