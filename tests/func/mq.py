#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""A guest of several queue pairs: flows spread over those that it has enabled, each in order, whatever is switched.

vm0 has four pairs, the others one; two workers share the work.
"""

import os
import random
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "support"))

# pylint: disable=wrong-import-position
from dptap import Dptap, guest, uplink
from flows import FLOWS, Flows
from frames import BROADCAST, frame, mac, text
from stage import Stage, bridge, mac_of
from testing import check, equal, main, scenario, wait_until
from uplink import Nic

PORTS = ("vm0", "vm1", "net_null0")
PAIRS = 4


def between(stage, sender, receiver):
    """Flows from one guest to another."""
    return Flows(stage[sender], stage[receiver], mac_of(sender), mac_of(receiver))


def takes(dptap):
    """The numbers of vm0's pairs that frames are spread over."""
    return {int(number) for number, pair in dptap.port("vm0")["pairs"].items() if pair["takes"] == "yes"}


def wait_takes(dptap, *pairs):
    wait_until(lambda: takes(dptap) == set(pairs), lambda: f"pairs {pairs} to be in use: {takes(dptap)} are")


@scenario
def four_pairs():
    with bridge("vm0", "vm1", settings={"vm0": {"queues": PAIRS}}, n_workers=2) as stage:
        stage.bring("vm0", queues=PAIRS)
        stage.bring("vm1")
        wait_takes(stage.dptap, *range(PAIRS))
        yield stage
        stage.dptap.stop()


def both_talk(stage, n_pairs=PAIRS):
    """Frames cross both ways by all of vm0's pairs, and the books are at rest."""
    towards, away = between(stage, "vm1", "vm0"), between(stage, "vm0", "vm1")
    for pair in range(n_pairs):
        towards.say()
        towards.end()
        away.say(pair=pair)
        away.end()
    stage.dptap.settle()


# -- spreading -------------------------------------------------------------------------------------------------


@four_pairs.test
def the_number_of_queue_pairs_is_told(stage):
    equal(stage["vm0"].front_end.get_queue_num(), PAIRS, "queue pairs of vm0")
    equal(stage["vm1"].front_end.get_queue_num(), 1, "queue pairs of vm1")


@four_pairs.test
def flows_are_spread_over_all_pairs_and_stay_each_in_order(stage):
    with stage.dptap.expect_drops({}, PORTS):
        flows = between(stage, "vm1", "vm0")
        for _ in range(30):
            flows.say()
        flows.end()
    equal(flows.pairs(), set(range(PAIRS)), "pairs that frames came by")
    equal({flow: len(pairs) for flow, pairs in flows.pairs_of.items()}, {flow: 1 for flow in range(FLOWS)},
          "pairs of each flow")


@four_pairs.test
def each_pair_may_send(stage):
    with stage.dptap.expect_drops({}, PORTS):
        for pair in range(PAIRS):
            flows = between(stage, "vm0", "vm1")
            flows.say(pair=pair)
            flows.end()


@four_pairs.test
def the_port_shows_each_pair_and_its_worker(stage):
    port = stage.dptap.port("vm0")
    equal(port["queues"], PAIRS, "queues")
    equal(sorted(port["pairs"]), [str(i) for i in range(PAIRS)], "pairs")
    for pair in port["pairs"].values():
        equal((pair["to_guest_ring"], pair["from_guest_ring"], pair["takes"], pair["held"]),
              ("running", "running", "yes", 0), "state of a pair")
    lcores = [pair["lcore"] for pair in port["pairs"].values()]
    equal(sorted(set(lcores)), [1, 2], "workers")
    for one in stage.dptap.lcores():
        own = [f"vm0:{i}" for i in range(PAIRS) if lcores[i] == one["lcore"]]
        equal([name for name in one["queues"] if name.startswith("vm0:")], own, f"vm0's pairs at lcore {one['lcore']}")


@four_pairs.test
def a_front_end_may_use_fewer_pairs_than_there_are(stage):
    for n in (1, 2, 3):
        stage.bring("vm0", queues=n)
        wait_takes(stage.dptap, *range(n))
        with stage.dptap.expect_drops({}, PORTS):
            both_talk(stage, n)
    stage.bring("vm0", queues=PAIRS)
    wait_takes(stage.dptap, *range(PAIRS))


@four_pairs.test
def rings_beyond_the_pairs_are_refused(stage):
    fe = stage["vm0"].front_end
    for index in (2 * PAIRS, 2 * PAIRS + 1, 31, 255):
        check(fe.set_vring_num(index, 256) != 0, f"SET_VRING_NUM of ring {index} was accepted")
        check(fe.set_vring_base(index, 0) != 0, f"SET_VRING_BASE of ring {index} was accepted")
        check(fe.set_vring_enable(index, 1) != 0, f"SET_VRING_ENABLE of ring {index} was accepted")
        check(fe.set_vring_call(index, stage["vm0"].to_guest.call_fd) != 0, f"an eventfd for ring {index} was accepted")
        check(fe.set_vring_kick(index, None) != 0, f"a ring {index} was started")
    both_talk(stage)


# -- switching -------------------------------------------------------------------------------------------------


@four_pairs.test
def only_enabled_pairs_take_frames(stage):
    for n in (3, 1, 2, 4):
        stage["vm0"].enable_pairs(n)
        wait_takes(stage.dptap, *range(n))
        with stage.dptap.expect_drops({}, PORTS):
            flows = between(stage, "vm1", "vm0")
            for _ in range(8):
                flows.say()
            flows.end()
        equal(flows.pairs(), set(range(n)), f"pairs that frames came by, of {n} enabled ones")
    both_talk(stage)


@four_pairs.test
def pairs_are_switched_under_traffic_without_a_frame_lost_or_overtaken(stage):
    noise = random.Random(5)
    towards, away = between(stage, "vm1", "vm0"), between(stage, "vm0", "vm1")
    with stage.dptap.expect_drops({}, PORTS):
        for _ in range(150):
            for _ in range(noise.randrange(4)):
                towards.say()
                away.say(pair=0)
            # no look at what has arrived in between: there are frames in every lane when the pairs change
            stage["vm0"].enable_pairs(noise.randrange(1, PAIRS + 1))
        stage["vm0"].enable_pairs(PAIRS)
        check(towards.end() + away.end() > 20000, "too little traffic to tell anything")
    equal(towards.pairs(), set(range(PAIRS)), "pairs that frames came by")
    wait_takes(stage.dptap, *range(PAIRS))
    both_talk(stage)


@four_pairs.test
def a_disabled_pair_s_frames_are_dropped_if_the_guest_takes_none(stage):
    vm0 = stage.bring("vm0", buffers=None, queues=PAIRS)
    for pair in vm0.pairs:
        pair.give(1)  # or the pair is not used at all
    wait_takes(stage.dptap, *range(PAIRS))
    flows = between(stage, "vm1", "vm0")
    for _ in range(4):
        flows.say(window=4 * FLOWS)
    stage["vm1"].wait_sent()
    stage.dptap.settle(held=flows.n_sent - PAIRS)
    flows.hear()
    held = [stage.dptap.port("vm0")["pairs"][str(i)]["held"] for i in range(PAIRS)]
    check(min(held) > 0, f"frames that wait at the pairs: {held}")

    with stage.dptap.expect_drops({("vm0", "to_guest", "guest_queue_stopped"): held[3]}, PORTS, sum(held[:3])):
        vm0.enable(6, False)
        equal(takes(stage.dptap), {0, 1, 2}, "pairs in use")

    for pair in vm0.pairs[:3]:
        pair.keep_given()
    wait_until(lambda: len(vm0.poll()) == 0 and stage.dptap.balance()["held"] == 0, "the frames of other pairs")
    stage.bring("vm0", queues=PAIRS)
    wait_takes(stage.dptap, *range(PAIRS))


@four_pairs.test
def what_a_driver_had_queued_at_a_disabled_pair_is_sent(stage):
    vm0 = stage["vm0"]
    with stage.dptap.expect_drops({}, PORTS):
        flows = between(stage, "vm0", "vm1")
        vm0.enable_pairs(2)
        for pair in (3, 2, 1, 0):
            flows.say(pair=pair)
            flows.end()
        equal(vm0.front_end.set_mem_table(vm0.memory), 0, "verdict on the same memory table")
        flows.say(pair=3)
        flows.end()
        vm0.enable_pairs(PAIRS)
    wait_takes(stage.dptap, *range(PAIRS))
    both_talk(stage)


@four_pairs.test
def a_pair_takes_frames_once_it_has_buffers(stage):
    vm0 = stage.bring("vm0", buffers=None, queues=PAIRS)
    vm0.pairs[0].keep_given()
    equal(takes(stage.dptap), {0}, "pairs in use")
    with stage.dptap.expect_drops({}, PORTS):
        flows = between(stage, "vm1", "vm0")
        flows.say()
        flows.end()
        equal(flows.pairs(), {0}, "pairs that frames came by")
        for number in (2, 1, 3):
            vm0.pairs[number].keep_given()
            wait_until(lambda n=number: n in takes(stage.dptap), "a pair with buffers to be used")
            flows.say()
            flows.end()
            check(number in flows.pairs(), f"no frame came by pair {number}")
    both_talk(stage)


@four_pairs.test
def stopped_rings_hand_their_flows_to_the_others(stage):
    vm0 = stage["vm0"]
    for number in (0, 2):
        vm0.front_end.get_vring_base(2 * number)
        vm0.front_end.get_vring_base(2 * number + 1)
    vm0.front_end.sync()
    equal(takes(stage.dptap), {1, 3}, "pairs in use")
    with stage.dptap.expect_drops({}, PORTS):
        flows = between(stage, "vm1", "vm0")
        for _ in range(4):
            flows.say()
        flows.end()
    equal(flows.pairs(), {1, 3}, "pairs that frames came by")
    stage.bring("vm0", queues=PAIRS)
    wait_takes(stage.dptap, *range(PAIRS))
    both_talk(stage)


@four_pairs.test
def changes_of_memory_lose_no_frame_at_any_pair(stage):
    layout = [(0x10_0000, 32 << 20), (0x1000_0000, 1 << 20), (0x2000_0000, 1 << 20)]
    vm0 = stage.bring("vm0", layout=layout, queues=PAIRS)
    wait_takes(stage.dptap, *range(PAIRS))
    towards, away = between(stage, "vm1", "vm0"), between(stage, "vm0", "vm1")
    with stage.dptap.expect_drops({}, PORTS):
        for turn in range(60):
            towards.say()
            away.say(pair=turn % PAIRS, flows=range(turn % PAIRS, FLOWS, PAIRS))
            equal(vm0.front_end.set_mem_table(vm0.memory, vm0.memory.regions[: 2 + turn % 2]), 0, "verdict")
            if turn % 5 == 0:
                vm0.enable_pairs(1 + turn // 5 % PAIRS)
        towards.end()
        away.end()
        vm0.enable_pairs(PAIRS)
    wait_takes(stage.dptap, *range(PAIRS))
    both_talk(stage)


@four_pairs.test
def a_broadcast_reaches_a_guest_of_several_pairs_once(stage):
    vm0 = stage["vm0"]
    with stage.dptap.expect_drops({}, PORTS):
        sent = [frame(BROADCAST, mac_of("vm1"), 60, number) for number in range(50)]
        stage["vm1"].send_many(sent)
        equal([got.frame for got in vm0.receive(50)], sent, "broadcasts")
    stage.dptap.settle()


# -- with an uplink of several queues --------------------------------------------------------------------------


def an_uplink_and_a_guest(mode):
    """An uplink of two queues and a guest of four pairs; the NIC's other side is ours."""
    with tempfile.TemporaryDirectory(prefix="dptap-test-") as directory, \
            Nic(os.path.join(directory, "nic.sock"), queues=2) as nic, \
            Dptap(uplink("net_vhost0", mode=mode, queues=2), guest("vm0", mac=text(mac_of("vm0")), queues=PAIRS),
                  vdevs=[nic.vdev], n_workers=2) as dptap:
        stage = Stage(dptap)
        stage.nic = nic
        nic.up()
        dptap.wait_state("net_vhost0", "up")
        nic.keep_given()
        try:
            stage.bring("vm0", queues=PAIRS)
            wait_takes(dptap, *range(PAIRS))
            yield stage
            dptap.stop()
        finally:
            stage.close()


@scenario
def an_uplink_of_two_queues_as_bridge():
    yield from an_uplink_and_a_guest("bridge")


@scenario
def an_uplink_of_two_queues_as_pipe():
    yield from an_uplink_and_a_guest("passthru")


@an_uplink_of_two_queues_as_bridge.test
def flows_of_an_uplink_stay_in_order_while_pairs_are_switched(stage):
    vm0, outside, noise = stage["vm0"], mac(0x999), random.Random(3)
    inward = Flows(stage.nic, vm0, outside, mac_of("vm0"))
    outward = Flows(vm0, stage.nic, mac_of("vm0"), outside)
    with stage.dptap.expect_drops({}, ("vm0", "net_vhost0")):
        for turn in range(40):
            for queue in range(2):
                inward.say(32, queue, flows=range(queue, FLOWS, 2))
            outward.say(32, turn % PAIRS, flows=range(turn % PAIRS, FLOWS, PAIRS))
            vm0.enable_pairs(noise.randrange(1, PAIRS + 1))
        inward.end()
        outward.end()
        vm0.enable_pairs(PAIRS)
    equal(inward.pairs(), set(range(PAIRS)), "pairs that frames came by")
    equal(outward.pairs(), {0, 1}, "queues of the uplink that frames left by")
    stage.dptap.settle()


an_uplink_of_two_queues_as_pipe.test(flows_of_an_uplink_stay_in_order_while_pairs_are_switched)


if __name__ == "__main__":
    main()
