#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Queue pairs go from worker to worker while packets pass: none is lost, none overtaken, none comes twice.

vm0 has three pairs, vm1 two, and the NIC, which is ours, two. Three workers share the CPUs with each other and with
control, so that they stand still amid their polls. A test's traffic goes all ways at once, and a thread moves pairs
at random meanwhile, until so many moves have been made.
"""

import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "support"))

# pylint: disable=wrong-import-position
from dptap import crowded_lcores
from flows import Ear, Flows, Mover
from frames import frame, mac
from guest import LAYOUTS
from stage import bridge, mac_of
from testing import check, equal, main, scenario, wait_until
from uplink import Nic
import vhost_user as vu

PAIRS = {"vm0": 3, "vm1": 2, "net_vhost0": 2}
PORTS = tuple(PAIRS)
LCORES = (1, 2, 3)
STRANGER = mac(0x999)
"""Somebody behind the NIC."""

MOVES = 40
"""So many at least are made in a test beside its traffic."""


def stage_of(mode):
    """The ports above and three workers that idle in this way."""
    def stages():
        settings = {name: {"queues": n} for name, n in PAIRS.items()}
        with tempfile.TemporaryDirectory(prefix="dptap-test-") as directory, \
                Nic(os.path.join(directory, "nic.sock"), queues=PAIRS["net_vhost0"]) as nic, \
                bridge("vm0", "vm1", nic=nic, settings=settings, lcores_map=crowded_lcores(len(LCORES)),
                       own=("--set", f"idle={mode}")) as stage:
            stage.nic = nic
            nic.up()
            stage.dptap.wait_state("net_vhost0", "up")
            nic.keep_given()
            bring_guests(stage)
            yield stage
            stage.dptap.stop()

    stages.__name__ = f"two_guests_and_a_nic_{mode}"
    return scenario(stages)


POLL, PAUSE, SLEEP = (stage_of(mode) for mode in ("poll", "pause", "sleep"))


def bring(stage, name, **settings):
    """A guest with all its pairs in use."""
    stage.bring(name, queues=PAIRS[name], **settings)
    wait_until(lambda: all(pair["takes"] == "yes" for pair in stage.dptap.port(name)["pairs"].values()),
               f"all of {name}'s pairs to be in use")


def bring_guests(stage, **settings):
    for name in ("vm0", "vm1"):
        bring(stage, name, **settings)


def mover(stage, ports=PORTS, seed=1):
    return Mover(stage.dptap, [(name, pair) for name in ports for pair in range(PAIRS[name])], LCORES, seed)


def lcores_of(stage, name):
    """The lcore of each pair of a port."""
    pairs = stage.dptap.port(name)["pairs"]
    return [pairs[str(i)]["lcore"] for i in range(PAIRS[name])]


class Talk:
    """All that is said: from each guest to the other, and from and to the NIC."""

    def __init__(self, stage):
        ends = {"vm0": (stage["vm0"], mac_of("vm0")), "vm1": (stage["vm1"], mac_of("vm1")),
                "nic": (stage.nic, STRANGER)}
        ears = {name: Ear(end[0]) for name, end in ends.items()}
        self.flows = [Flows(ends[one][0], ends[other][0], ends[one][1], ends[other][1], ears[other])
                      for one in ends for other in ends if one != other]

    def go_on(self):
        for flows in self.flows:
            flows.say_by_all(36, window=200)

    def end(self):
        return sum(flows.end() for flows in self.flows)


def talk_beside(stage, moving, meanwhile=lambda turn: None, moves=MOVES):
    """Traffic all ways until so many moves have been made; nothing is lost or overtaken."""
    with stage.dptap.expect_drops({}, PORTS):
        talk, turn = Talk(stage), 0
        with moving:
            def enough():
                nonlocal turn
                talk.go_on()
                meanwhile(turn)
                turn += 1
                moving.check()
                return turn >= 10 and moving.n_moved >= moves

            wait_until(enough, lambda: f"{moves} moves: {moving.n_moved} were made", pause=0)
        check(talk.end() >= 10 * 6 * 36, "too little traffic to tell anything")


# -- what is asked and answered --------------------------------------------------------------------------------


@POLL.test
def a_moved_pair_is_polled_by_the_other_worker(stage):
    for name in PORTS:
        for pair in range(PAIRS[name]):
            for lcore in (2, 3, 1):
                was = lcores_of(stage, name)
                answer = stage.dptap.tele(f"/dptap/move,{name},{pair},{lcore}")
                moved = was[pair] != lcore
                equal(answer, {"name": name, "pair": pair, "from_lcore": was[pair], "lcore": lcore,
                               "moved": "yes" if moved else "no"}, "answer")
                equal(lcores_of(stage, name), was[:pair] + [lcore] + was[pair + 1 :], "lcores of the pairs")
                polled = {one["lcore"]: one["queues"] for one in stage.dptap.lcores()}
                equal([where for where, queues in polled.items() if f"{name}:{pair}" in queues], [lcore],
                      "lcores that list it")
                said = f"'{name}': queue pair {pair} moved from lcore {was[pair]} to lcore {lcore}, "
                check(not moved or said in stage.dptap.log(), f"the log does not say {said!r}")
    talk_beside(stage, mover(stage), moves=1)


@POLL.test
def what_cannot_be_moved_is_told(stage):
    was = {name: lcores_of(stage, name) for name in PORTS}
    for params, part in (("vm9,0,1", "no port is called 'vm9'"), ("vm0,3,1", "no queue pair 3: there are 3, from 0"),
                         ("net_vhost0,2,1", "no queue pair 2: there are 2"), ("vm0,0,9", "lcore 9 is no worker"),
                         ("vm0,0,0", "lcore 0 is no worker"), ("vm0,0", "/dptap/move,NAME,PAIR,LCORE"),
                         ("vm0", "NAME,PAIR,LCORE"), ("", "NAME,PAIR,LCORE"), ("vm0,0,1,2", "NAME,PAIR,LCORE"),
                         ("vm0,x,1", "NAME,PAIR,LCORE"), ("vm0,0,-1", "NAME,PAIR,LCORE"), (",0,1", "which port"),
                         ("vm0,0,99999999999", "NAME,PAIR,LCORE"), ("x" * 40 + ",0,1", "which port")):
        answer = stage.dptap.tele(f"/dptap/move,{params}" if params else "/dptap/move")
        check(part in answer.get("error", ""), f"/dptap/move,{params} was answered with {answer}")
    equal({name: lcores_of(stage, name) for name in PORTS}, was, "lcores of all pairs")


@POLL.test
def one_worker_may_have_all_pairs_and_the_others_none(stage):
    for lcore in LCORES:
        for name in PORTS:
            for pair in range(PAIRS[name]):
                stage.dptap.tele(f"/dptap/move,{name},{pair},{lcore}")
        queues = {one["lcore"]: len(one["queues"]) for one in stage.dptap.lcores()}
        equal(queues, {one: sum(PAIRS.values()) if one == lcore else 0 for one in LCORES}, "queue pairs of each worker")
        with stage.dptap.expect_drops({}, PORTS):
            talk = Talk(stage)
            talk.go_on()
            talk.end()


@POLL.test
def a_guest_that_is_not_there_can_be_moved(stage):
    stage.drop("vm0")
    for pair in range(PAIRS["vm0"]):
        stage.dptap.tele(f"/dptap/move,vm0,{pair},3")
    bring(stage, "vm0")
    equal(lcores_of(stage, "vm0"), [3] * 3, "lcores of the pairs")
    talk_beside(stage, mover(stage), moves=1)


# -- beside traffic --------------------------------------------------------------------------------------------


def with_rings(*scenes, layouts=LAYOUTS, events=(0, vu.F_EVENT_IDX)):
    """The same test in each of these scenarios with rings of each of these layouts, EVENT_IDX or not."""
    def each(function):
        for scene in scenes:
            for layout in layouts:
                for event in events:
                    def one(stage, features=LAYOUTS[layout] | event):
                        bring_guests(stage, features=features)
                        function(stage, features)

                    one.__name__ = f"{function.__name__}__{layout}{'_event_idx' if event else ''}" + \
                        {PAUSE: "_pause", SLEEP: "_sleep"}.get(scene, "")
                    scene.test(one)
        return function
    return each


@with_rings(POLL)
@with_rings(PAUSE, layouts=("split", "packed"), events=(vu.F_EVENT_IDX,))
@with_rings(SLEEP, layouts=("split", "packed"))
def frames_pass_beside_moves(stage, _):
    talk_beside(stage, mover(stage))


@with_rings(POLL, layouts=("split", "packed"), events=(0,))
def frames_pass_while_pairs_are_switched_and_move(stage, _):
    def switch(turn):
        # a frame that waits at a pair when it is switched off goes first: see mq.py
        stage["vm0"].enable_pairs(1 + turn % PAIRS["vm0"])

    moving = mover(stage)
    with stage.dptap.expect_drops({}, PORTS), moving:
        towards = Flows(stage["vm1"], stage["vm0"], mac_of("vm1"), mac_of("vm0"))
        for turn in range(60):
            for _ in range(turn % 3):
                towards.say_by_all(64)
            switch(turn)
            moving.check()
        stage["vm0"].enable_pairs(PAIRS["vm0"])
        wait_until(lambda: towards.say_by_all(64) or moving.n_moved >= MOVES, "moves", pause=0)
        check(towards.end() > 3000, "too little traffic to tell anything")


@with_rings(POLL, layouts=("split", "packed"), events=(0,))
def frames_pass_while_memory_changes_and_pairs_move(stage, features):
    layout = [(0x10_0000, 32 << 20), (0x1000_0000, 1 << 20), (0x2000_0000, 1 << 20)]
    bring(stage, "vm0", features=features, layout=layout)
    vm0 = stage["vm0"]

    def change(turn):
        equal(vm0.front_end.set_mem_table(vm0.memory, vm0.memory.regions[: 2 + turn % 2]), 0, "verdict")

    talk_beside(stage, mover(stage), change)


@with_rings(POLL, layouts=("split", "packed"), events=(0,))
def frames_pass_while_a_migration_logs_and_pairs_move(stage, _):
    vm0 = stage["vm0"]

    def switch(turn):
        if turn % 4 == 0:
            vm0.start_log(vu.DirtyLog(vm0.memory))
        elif turn % 4 == 2:
            vm0.stop_log()

    talk_beside(stage, mover(stage), switch)


@with_rings(POLL, layouts=("split", "packed"), events=(0,))
def guests_come_and_go_while_pairs_move(stage, features):
    """What is sent while one is there arrives, what is sent as it goes is in the books."""
    moving = mover(stage)
    with moving:
        for turn in range(12):
            name, other = ("vm0", "vm1")[:: 1 - 2 * (turn % 2)]
            bring(stage, name, features=features)
            talk = Talk(stage)
            talk.go_on()
            talk.end()
            stage[other].send_many([stage.frame_to(name, other) for _ in range(50)])
            stage.drop(name)
            moving.check()
            bring(stage, name, features=features)
            stage[other].poll()
        wait_until(lambda: moving.n_moved >= MOVES or moving.check(), lambda: f"moves: {moving.n_moved}")
    stage.dptap.settle()


# -- asleep ----------------------------------------------------------------------------------------------------


@scenario
def guests_alone_and_workers_that_sleep():
    """Without a NIC nothing is looked at by the clock."""
    settings = {name: {"queues": PAIRS[name]} for name in ("vm0", "vm1")}
    with bridge("vm0", "vm1", alone=True, settings=settings, lcores_map=crowded_lcores(len(LCORES)),
                own=("--set", "idle=sleep")) as stage:
        yield stage
        stage.dptap.stop()


def wait_asleep(stage):
    """Wait until no worker goes a round any more."""
    def rounds():
        return [one["rounds"] for one in stage.dptap.lcores()]

    def asleep():
        before = rounds()
        return before == rounds()

    wait_until(asleep, "all workers to sleep")


@with_rings(guests_alone_and_workers_that_sleep, layouts=("split", "packed"))
def a_worker_that_sleeps_is_woken_for_what_it_was_given(stage, _):
    """A kick or a frame that wakes nobody, or the pair's old worker only, would leave a frame lying for ever."""
    for turn in range(10):
        for name in ("vm0", "vm1"):
            for pair in range(PAIRS[name]):
                stage.dptap.tele(f"/dptap/move,{name},{pair},{1 + (turn + pair) % len(LCORES)}")
        for one, other in (("vm0", "vm1"), ("vm1", "vm0")):
            for pair in range(PAIRS[one]):
                flows = Flows(stage[one], stage[other], mac_of(one), mac_of(other))
                wait_asleep(stage)
                flows.say(1, pair, flows=[turn])
                flows.end()
    stage.dptap.settle()


# -- what waits ------------------------------------------------------------------------------------------------


@POLL.test
def what_waits_for_a_guest_is_delivered_by_the_new_worker(stage):
    vm0 = stage.bring("vm0", buffers=None)
    stage.dptap.tele("/dptap/move,vm0,0,1")
    sent = [stage.frame_to("vm0", "vm1") for _ in range(300)]
    stage["vm1"].send_many(sent[:200])
    stage.dptap.settle(held=200)
    before = {one["lcore"]: one["delivered"] for one in stage.dptap.lcores()}

    stage.dptap.tele("/dptap/move,vm0,0,2")
    stage["vm1"].send_many(sent[200:])
    stage.dptap.settle(held=300)
    vm0.keep_given()

    equal([got.frame for got in vm0.receive(300)], sent, "what waited, and what came behind it")
    stage.dptap.settle()
    after = {one["lcore"]: one["delivered"] for one in stage.dptap.lcores()}
    equal({lcore: after[lcore] - before[lcore] for lcore in LCORES}, {1: 0, 2: 300, 3: 0}, "frames that each delivered")
    bring(stage, "vm0")


@POLL.test
def what_waits_for_the_nic_is_sent_by_the_new_worker(stage):
    stage.nic.disconnect()
    stage.dptap.wait_state("net_vhost0", "down")
    stage.dptap.tele("/dptap/move,net_vhost0,0,3")
    stage.dptap.tele("/dptap/move,net_vhost0,1,3")
    sent = [frame(STRANGER, mac_of("vm1"), 60, stage.number()) for _ in range(200)]
    stage["vm1"].send_many(sent)
    stage.dptap.settle(held=200)

    stage.dptap.tele("/dptap/move,net_vhost0,0,1")
    stage.dptap.tele("/dptap/move,net_vhost0,1,1")
    before = {one["lcore"]: one["delivered"] for one in stage.dptap.lcores()}
    stage.nic.up()
    stage.nic.keep_given()

    equal([got.frame for got in stage.nic.receive(200)], sent, "what waited for the NIC")
    stage.dptap.wait_state("net_vhost0", "up")
    stage.dptap.settle()
    after = {one["lcore"]: one["delivered"] for one in stage.dptap.lcores()}
    equal({lcore: after[lcore] - before[lcore] for lcore in LCORES}, {1: 200, 2: 0, 3: 0}, "frames that each sent")


@POLL.test
def what_a_guest_has_queued_is_taken_by_the_new_worker(stage):
    """The process stands still while it queues; frames are there before the move and behind it."""
    vm0 = stage["vm0"]
    sent = [stage.frame_to("vm1", "vm0") for _ in range(100)]
    stage.dptap.tele("/dptap/move,vm0,0,1")
    with stage.dptap.frozen():
        for one in sent[:60]:
            vm0.post(one)
        vm0.publish()
    stage.dptap.tele("/dptap/move,vm0,0,2")
    before = {one["lcore"]: one["received"] for one in stage.dptap.lcores()}
    for one in sent[60:]:
        vm0.post(one)
    vm0.publish()
    vm0.wait_sent()
    equal([got.frame for got in stage["vm1"].receive(100)], sent, "what the guest had queued")
    stage.dptap.settle()
    after = {one["lcore"]: one["received"] for one in stage.dptap.lcores()}
    check(after[2] - before[2] >= 40, f"the new worker took {after[2] - before[2]} of 40 frames")


if __name__ == "__main__":
    main()
