#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Who takes a worker's time is told, and with rebalance=auto a worker with too much to do gives something away.

What keeps a worker busy is a NIC that has frames without end (net_null), two of them here. There are two workers; tests
put all on the first one by hand. Guests talk meanwhile, behind a third NIC: net_null's frames are whatever their mbufs
held before, and would reach them.
"""

import contextlib
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "support"))

# pylint: disable=wrong-import-position
from dptap import Dptap, cpus, guest, uplink
from flows import Flows
from frames import text
from stage import Stage, mac_of
from testing import check, equal, main, scenario, wait_until
from uplink import null

NICS = ("net_null0", "net_null1")
QUIET = "net_null2"
GUESTS = ("vm0", "vm1")


@contextlib.contextmanager
def two_nics_and_two_guests(*own):
    """The second worker has a CPU for itself, if there is one, and with it nothing that it would have to wait for."""
    have = cpus()
    with Dptap(*[uplink(name) for name in NICS + (QUIET,)],
               *[guest(name, mac=text(mac_of(name)), uplink=QUIET) for name in GUESTS], *own,
               vdevs=NICS + (null(2),), lcores_map=f"0@{have[0]},1@{have[0]},2@{have[-1]}") as dptap:
        stage = Stage(dptap)
        try:
            for name in GUESTS:
                stage.bring(name)
            yield stage
            dptap.stop()
        finally:
            stage.close()


@scenario
def evened_by_hand():
    with two_nics_and_two_guests() as stage:
        yield stage


@scenario
def evened_by_itself():
    with two_nics_and_two_guests("--set", "rebalance=auto") as stage:
        yield stage


def put(stage, lcore, *names):
    for name in names:
        equal(stage.dptap.tele(f"/dptap/move,{name},0,{lcore}").get("lcore"), lcore, f"where {name} is")


def worker(stage, lcore):
    return next(one for one in stage.dptap.lcores() if one["lcore"] == lcore)


def load_of(one, name):
    """A queue pair's share of its worker's time, in percent."""
    return one["queue_load_percent"][one["queues"].index(f"{name}:0")]


def where(stage, names=NICS + GUESTS):
    polled = {queue: one["lcore"] for one in stage.dptap.lcores() for queue in one["queues"]}
    return {name: polled[f"{name}:0"] for name in names}


@contextlib.contextmanager
def nothing_dropped(stage):
    """At the guests. The books are not at rest as long as the NICs are not."""
    def drops():
        return {name: stage.dptap.drops(name) for name in GUESTS}

    before = drops()
    yield
    equal(drops(), before, "drops at the guests")


def talk_until(stage, happened, what):
    """Guests talk until something has happened: nothing of it is lost or overtaken."""
    with nothing_dropped(stage):
        ways = [Flows(stage[one], stage[other], mac_of(one), mac_of(other)) for one, other in (GUESTS, GUESTS[::-1])]

        def go_on():
            for way in ways:
                way.say(32, window=64)
            return happened()

        wait_until(go_on, what, pause=0)
        for way in ways:
            check(way.end() > 0, "no frame was sent")


def balanced(stage):
    """The books, of traffic that never ends: they are off by no more than what moves."""
    check(stage.dptap.balance()["balanced"] in ("yes", "moving"), "the books do not balance")


@evened_by_hand.test
def the_loads_of_workers_and_queue_pairs_are_told(stage):
    put(stage, 1, *NICS, *GUESTS)
    last = []

    def as_expected():
        last[:] = [worker(stage, 1), worker(stage, 2)]
        loads = [load_of(last[0], name) for name in NICS]
        return last[0]["load_percent"] >= 95 and last[1]["load_percent"] <= 5 and min(loads) >= 10

    wait_until(as_expected, lambda: f"loads of one full and one idle worker: {last}")
    equal([last[1]["queues"], last[1]["queue_load_percent"]], [[], []], "what the idle worker polls")
    equal(len(last[0]["queue_load_percent"]), len(last[0]["queues"]), "loads of the full worker's queue pairs")
    check(sum(last[0]["queue_load_percent"]) <= last[0]["load_percent"], f"loads that add up to more than all: {last}")
    for name in GUESTS:
        check(load_of(last[0], name) <= 10, f"{name}, which is silent, takes {load_of(last[0], name)} %")


@evened_by_hand.test
def nothing_moves_unless_that_is_wanted(stage):
    put(stage, 1, *NICS, *GUESTS)
    was = where(stage)
    before = stage.dptap.tele("/dptap/info")
    equal([before["rebalance"], before["moved_by_itself"]], ["off", 0], "rebalance, moved_by_itself")
    wait_until(lambda: worker(stage, 1)["load_percent"] >= 95, "a full worker")
    wait_until(lambda: stage.dptap.tele("/dptap/info")["uptime_s"] >= before["uptime_s"] + 6, "six more looks")
    equal(where(stage), was, "lcores of the queue pairs")
    equal(stage.dptap.tele("/dptap/info")["moved_by_itself"], 0, "moved_by_itself")


@evened_by_hand.test
def moves_by_hand_are_counted(stage):
    before = stage.dptap.tele("/dptap/info")["moved_by_hand"]
    put(stage, 1, "vm0")
    put(stage, 2, "vm0")
    put(stage, 2, "vm0")
    put(stage, 1, "vm0")
    after = stage.dptap.tele("/dptap/info")["moved_by_hand"]
    check(after - before in (2, 3), f"{after - before} moves were counted, of two or three")


@evened_by_itself.test
def a_queue_pair_leaves_a_full_worker_beside_traffic(stage):
    put(stage, 1, *NICS, *GUESTS)

    def moved():
        return stage.dptap.tele("/dptap/info")["moved_by_itself"] > 0

    talk_until(stage, moved, "a queue pair to move by itself")
    balanced(stage)
    now = where(stage)
    equal(sorted(now[name] for name in NICS), [1, 2], "lcores of the NICs")
    gone = next(name for name in NICS if now[name] == 2)
    said = [line for line in stage.dptap.log().splitlines() if "by rebalance=auto" in line]
    equal(len(said), 1, f"lines about it in {said}")
    check(f"uplink '{gone}': queue pair 0 moved from lcore 1 (" in said[0] and "to lcore 2 (" in said[0],
          f"the log says {said[0]!r}")


@evened_by_itself.test
def what_is_even_stays(stage):
    """Each worker has a NIC, and is full: there is nothing to be gained."""
    was = where(stage)
    equal(sorted(was[name] for name in NICS), [1, 2], "lcores of the NICs")
    before = stage.dptap.tele("/dptap/info")
    end = before["uptime_s"] + 15  # longer than what has moved rests
    talk_until(stage, lambda: stage.dptap.tele("/dptap/info")["uptime_s"] >= end, "fifteen more looks")
    equal(where(stage), was, "lcores of the queue pairs")
    equal(stage.dptap.tele("/dptap/info")["moved_by_itself"], before["moved_by_itself"], "moves")


@evened_by_itself.test
def the_setting_is_told(stage):
    equal(stage.dptap.tele("/dptap/info")["rebalance"], "auto", "rebalance")


if __name__ == "__main__":
    main()
