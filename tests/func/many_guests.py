#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""64 guests on one worker: two busy ones lose nothing to 62 idle ones, and broadcasts reach everybody, exactly.

And six guests on three workers, so that lanes have producers on several lcores.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "support"))

# pylint: disable=wrong-import-position
from frames import BROADCAST, frame
from stage import bridge, mac_of
from testing import equal, main, scenario, wait_until

N = 64
NAMES = [f"vm{i}" for i in range(N)]
SMALL = ((0x10_0000, 4 << 20),)


@scenario
def sixty_four_guests():
    with bridge(*NAMES, memory=1024) as stage:
        for name in NAMES:
            stage.add(name, layout=SMALL, queue_size=128).up()
        for name in NAMES:
            stage.dptap.wait_state(name, "RUNNING")
            stage[name].keep_given((512,))
        yield stage
        stage.dptap.stop()


@sixty_four_guests.test
def all_come_up(stage):
    states = {p["name"]: p["state"] for p in stage.dptap.ports() if p["kind"] == "guest"}
    equal(states, {name: "RUNNING" for name in NAMES}, "states")
    equal(stage.dptap.tele("/dptap/info")["guests"], N, "guests in /dptap/info")


@sixty_four_guests.test
def a_busy_pair_among_idle_ones_loses_nothing(stage):
    with stage.dptap.expect_drops({}, NAMES + ["net_null0"]):
        stage.cross("vm3", "vm60", 10000)
        stage.cross("vm60", "vm3", 10000)
    for name in NAMES:
        stage[name].nothing_arrived()


@sixty_four_guests.test
def each_guest_reaches_the_next(stage):
    for i, name in enumerate(NAMES):
        stage.cross(name, NAMES[(i + 1) % N], 3)
    balance = stage.dptap.settle()
    equal(balance["dropped"], 0, "packets dropped")


@sixty_four_guests.test
def a_broadcast_reaches_all_63_others_and_the_uplink(stage):
    shouts = [frame(BROADCAST, mac_of("vm7"), 200, stage.number()) for _ in range(20)]
    before = stage.dptap.settle()

    stage["vm7"].send_many(shouts)

    for name in NAMES:
        if name != "vm7":
            equal([g.frame for g in stage[name].receive(len(shouts))], shouts, f"broadcasts at {name}")
    stage["vm7"].nothing_arrived()
    after = stage.dptap.settle()
    equal([after[word] - before[word] for word in ("received", "created", "delivered", "dropped")],
          [20, 20 * 63, 20 * 64, 0], "received, created, delivered, dropped")


@sixty_four_guests.test
def half_of_them_may_leave_at_once(stage):
    gone = NAMES[::2]
    for name in gone:
        stage[name].disconnect()
    stage.cross("vm1", "vm3", 500)
    for name in gone:
        stage.dptap.wait_state(name, "LISTENING")
    expected = {(name, "to_guest", "guest_not_connected"): 2 for name in gone}
    with stage.dptap.expect_drops(expected, NAMES + ["net_null0"]):
        stage["vm1"].send_many([stage.frame_to(name, "vm1") for name in gone for _ in range(2)])


@scenario
def six_guests_on_three_workers():
    names = NAMES[:6]
    with bridge(*names, n_workers=3) as stage:
        for name in names:
            stage.bring(name)
        yield stage
        stage.dptap.stop()


@six_guests_on_three_workers.test
def queue_pairs_are_spread_over_the_workers(stage):
    spread = [len(one["queues"]) for one in stage.dptap.lcores()]
    equal(sorted(spread), [2, 2, 3], "queue pairs of each worker")


@six_guests_on_three_workers.test
def guests_of_different_workers_reach_each_other(stage):
    with stage.dptap.expect_drops({}, NAMES[:6] + ["net_null0"]):
        for sender in NAMES[:6]:
            for receiver in NAMES[:6]:
                if sender != receiver:
                    stage.cross(sender, receiver, 200)
    lcores = stage.dptap.lcores()
    equal(sum(one["received"] for one in lcores), stage.dptap.balance()["received"], "received over all workers")
    equal(all(one["received"] > 0 for one in lcores), True, f"each worker received something: {lcores}")


@six_guests_on_three_workers.test
def a_lane_with_several_producers_loses_and_repeats_nothing(stage):
    """All others send to vm0 at once; its lane has three producers."""
    senders = NAMES[1:6]
    frames = {name: [stage.frame_to("vm0", name, 100) for _ in range(600)] for name in senders}
    got, at = [], 0
    with stage.dptap.expect_drops({}, NAMES[:6] + ["net_null0"]):
        while at < 600:
            for name in senders:
                for one in frames[name][at : at + 30]:
                    stage[name].post(one)
                stage[name].publish()
            at += 30
            wait_until(lambda due=at: got.extend(g.frame for g in stage["vm0"].poll()) or len(got) >= 5 * due,
                       lambda due=at: f"{5 * due} frames: {len(got)} came")
            for name in senders:
                stage[name].wait_sent()
    for name in senders:
        mine = [one for one in got if one[6:12] == mac_of(name)]
        equal(mine == frames[name], True, f"frames from {name} the same and in order")


@six_guests_on_three_workers.test
def a_broadcast_storm_from_all_is_counted_to_the_packet(stage):
    before = stage.dptap.settle()
    n = 20
    for name in NAMES[:6]:
        for i in range(n):
            stage[name].post(frame(BROADCAST, mac_of(name), 100, i))
        stage[name].publish()
    for name in NAMES[:6]:
        stage[name].wait_sent()
        equal(len(stage[name].receive(5 * n)), 5 * n, f"broadcasts at {name}")
    after = stage.dptap.settle()
    equal([after[word] - before[word] for word in ("received", "created", "delivered", "dropped")],
          [6 * n, 6 * n * 5, 6 * n * 6, 0], "received, created, delivered, dropped")


@six_guests_on_three_workers.test
def guests_that_come_and_go_cost_those_on_other_workers_nothing(stage):
    with stage.dptap.expect_drops({}, NAMES[:6] + ["net_null0"]):
        for turn in range(12):
            stage.bring(NAMES[turn % 3])
            stage.cross("vm3", "vm4", 100)
            stage.cross("vm5", "vm3", 100)


if __name__ == "__main__":
    main()
