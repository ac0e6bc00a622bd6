#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Workers that sleep (idle=sleep) are woken by whatever brings them something, whenever that comes.

Guests without an uplink leave a worker nothing to look at by the clock: a stroke, kick or mail that got lost would
leave a frame lying until the test's deadline.
"""

import os
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "support"))

# pylint: disable=wrong-import-position
from dptap import Dptap, guest
from frames import frame, mac, text
from guest import RINGS, Guest
from stage import bridge, mac_of
from testing import Failure, check, equal, main, scenario, wait_until
from uplink import Nic, Tap, Wire

SLEEP = ("--set", "idle=sleep")
STRANGER = mac(0xABCDEF)
"""Somebody behind the uplink."""

PAUSES_US = (0, 20, 60, 100, 150, 170, *range(180, 240, 5), 250, 260, 280, 300, 350, 500)
"""Between frames: a worker falls asleep about 200 us after the last one."""


def with_rings(stages, *names):
    """The test on a stage, with guests whose rings are of each kind."""
    def each(function):
        for kind in RINGS:
            def one(stage, features=RINGS[kind]):
                for name in names:
                    stage.bring(name, features=features)
                function(stage)
                stage.dptap.settle()

            one.__name__ = f"{function.__name__}__{kind}"
            stages.test(one)
        return function
    return each


def sleeps(stage):
    """How often each worker has fallen asleep."""
    return [one["sleeps"] for one in stage.dptap.lcores()]


def pause(microseconds):
    """Let some time pass without leaving the CPU: a sleep of our own would be longer."""
    end = time.perf_counter() + microseconds / 1e6
    while time.perf_counter() < end:
        pass


# -- guests alone ----------------------------------------------------------------------------------------------------

@scenario
def two_guests_on_one_worker():
    with bridge("vm0", "vm1", alone=True, own=SLEEP) as stage:
        yield stage
        stage.dptap.stop()


@scenario
def two_guests_on_a_worker_each():
    with bridge("vm0", "vm1", alone=True, own=SLEEP, n_workers=2) as stage:
        where = [one["queues"] for one in stage.dptap.lcores()]
        equal(sorted(where), [["vm0:0"], ["vm1:0"]], "what the workers poll")
        yield stage
        stage.dptap.stop()


@with_rings(two_guests_on_one_worker, "vm0", "vm1")
def a_kick_wakes_it_and_nothing_else_does(stage):
    vm0, vm1 = stage["vm0"], stage["vm1"]

    def kicked_awake():
        """A frame that lay there until its kick, unless control woke the worker in between: it looks at new rings."""
        stage.dptap.wait_asleep()
        before = sleeps(stage)
        sent = stage.frame_to("vm1", "vm0")
        vm0.post(sent)
        wanted = vm0.from_guest.publish(kick=False)
        stage.dptap.wait_asleep()
        early = vm1.poll()
        stage.dptap.wait_asleep()
        left_alone = sleeps(stage) == before
        if left_alone:
            check(wanted, "a worker that sleeps asked for no kick")
            equal(early, [], "frames that came without a kick")
        os.eventfd_write(vm0.from_guest.kick_fd, 1)
        equal([got.frame for got in early or vm1.receive()], [sent], "frames")
        vm0.wait_sent()
        return left_alone

    for _ in range(3):
        wait_until(kicked_awake, "a frame that only its kick woke the worker for")


@with_rings(two_guests_on_one_worker, "vm0", "vm1")
def a_worker_that_is_awake_asks_for_no_kick(stage):
    vm0, vm1 = stage["vm0"], stage["vm1"]

    def unasked():
        """A frame right behind another, before the worker falls asleep again."""
        frames = [stage.frame_to("vm1", "vm0") for _ in range(2)]
        vm0.send(frames[0])
        vm0.post(frames[1])
        wanted = vm0.from_guest.publish()
        equal([got.frame for got in vm1.receive(2)], frames, "frames")
        vm0.wait_sent()
        return not wanted

    wait_until(unasked, "a frame that needs no kick")


@with_rings(two_guests_on_a_worker_each, "vm0", "vm1")
def a_frame_from_another_worker_wakes_it(stage):
    for _ in range(5):
        stage.dptap.wait_asleep()
        stage.cross("vm0", "vm1")
        stage.dptap.wait_asleep()
        stage.cross("vm1", "vm0", 3)


@with_rings(two_guests_on_one_worker, "vm0")
def buffers_wake_it_for_what_waits(stage):
    vm1 = stage.bring("vm1", buffers=None, features=stage["vm0"].wanted)
    for size, n_buffers in ((60, 1), (60, 1), (9000, 5), (9000, 5)):
        sent = stage.frame_to("vm1", "vm0", size)
        stage["vm0"].send(sent)
        stage.dptap.settle(held=1)
        for _ in range(n_buffers - 1):
            stage.dptap.wait_asleep()
            vm1.give()
        stage.dptap.wait_asleep()
        equal(vm1.poll(), [], "frames before there was room")

        vm1.give()

        equal([got.frame for got in vm1.receive()], [sent], "frames")


@with_rings(two_guests_on_one_worker, "vm0", "vm1")
def reading_telemetry_lets_it_sleep(stage):
    stage.cross("vm0", "vm1")

    def slept_on():
        stage.dptap.wait_asleep()
        before = sleeps(stage)
        for command in ("info", "ports", "port,vm0", "drops", "drops,vm0", "reasons", "balance", "lcores"):
            stage.dptap.tele(f"/dptap/{command}")
        stage.dptap.wait_asleep()
        return sleeps(stage) == before

    wait_until(slept_on, "a worker that sleeps while others read")


@with_rings(two_guests_on_one_worker, "vm1")
def a_guest_that_comes_while_it_sleeps_is_served(stage):
    # the first frames race against control, which reads the kicks of rings that were not used yet
    for i in range(4):
        stage.dptap.wait_asleep()
        stage.bring("vm0", features=stage["vm1"].wanted)
        if i % 2:
            stage.dptap.wait_asleep()
        stage.cross("vm0", "vm1")
        stage.dptap.wait_asleep()
        stage.cross("vm1", "vm0")
        stage.dptap.wait_asleep()
        stage.drop("vm0")


@with_rings(two_guests_on_one_worker, "vm0", "vm1")
def a_front_end_without_kicks_is_looked_at(stage):
    stage["vm0"].front_end.set_vring_kick(1, None)
    stage["vm0"].front_end.sync()
    for _ in range(5):
        stage.dptap.wait_asleep()
        vm0 = stage["vm0"]
        sent = stage.frame_to("vm1", "vm0")
        vm0.post(sent)
        vm0.from_guest.publish(kick=False)
        equal([got.frame for got in stage["vm1"].receive()], [sent], "frames")
        vm0.wait_sent()
        stage.cross("vm1", "vm0")
    vm0.front_end.set_vring_kick(1, vm0.from_guest.kick_fd)
    vm0.front_end.sync()
    stage.dptap.wait_asleep()
    stage.cross("vm0", "vm1")


@with_rings(two_guests_on_a_worker_each, "vm0", "vm1")
def a_pair_that_moves_is_woken_for_where_it_is(stage):
    here = {queue: one["lcore"] for one in stage.dptap.lcores() for queue in one["queues"]}
    for lcore in (here["vm1:0"], here["vm0:0"]):
        stage.dptap.wait_asleep()
        equal(stage.dptap.tele(f"/dptap/move,vm0,0,{lcore}")["lcore"], lcore, "where the pair went")
        for sender, receiver in (("vm0", "vm1"), ("vm1", "vm0")) * 2:
            stage.dptap.wait_asleep()
            stage.cross(sender, receiver)


@two_guests_on_one_worker.test
def what_is_no_eventfd_wakes_nobody_and_does_no_harm(stage):
    vm0 = stage.bring("vm0")
    stage.bring("vm1")
    reader, writer = os.pipe()
    try:
        vm0.front_end.set_vring_kick(1, reader)
        vm0.front_end.sync()
        os.write(writer, b"x")
        stage.dptap.wait_asleep()
        stage.cross("vm0", "vm1")
        stage.cross("vm1", "vm0")
    finally:
        os.close(reader)
        os.close(writer)
    stage.dptap.settle()


def paced(stage, sender, receiver, n):
    """n frames, one by one, a pause behind each: none gets lost or stuck, though many find a worker falling asleep."""
    one, other = stage[sender], stage[receiver]
    before = sleeps(stage)
    for i in range(n):
        sent = stage.frame_to(receiver, sender)
        one.post(sent)
        one.publish()
        got = []
        end = time.monotonic() + one.deadline
        while not got:
            got = other.poll()
            if time.monotonic() > end:
                raise Failure(f"frame {i + 1} of {n} got stuck")
        equal([g.frame for g in got], [sent], "frames")
        one.reap_sent()
        pause(PAUSES_US[i % len(PAUSES_US)])
    one.wait_sent()
    check(any(now > then for now, then in zip(sleeps(stage), before)), "no worker fell asleep")


@with_rings(two_guests_on_one_worker, "vm0", "vm1")
def frames_that_come_as_it_falls_asleep_pass(stage):
    paced(stage, "vm0", "vm1", 1500)


@with_rings(two_guests_on_a_worker_each, "vm0", "vm1")
def frames_that_come_as_either_falls_asleep_pass(stage):
    paced(stage, "vm0", "vm1", 750)
    paced(stage, "vm1", "vm0", 750)


@two_guests_on_a_worker_each.test
def workers_stop_in_their_sleep(stage):
    for name in ("vm0", "vm1"):
        stage.bring(name)
    stage.all_cross()
    stage.dptap.wait_asleep()
    # and the stage's end stops them


# -- NICs ------------------------------------------------------------------------------------------------------------

def waking(stage, device):
    """What dptap says of an uplink's interrupts."""
    lines = [line for line in stage.dptap.log().splitlines() if f"uplink '{device}': " in line and "interrupts" in line]
    equal(len(lines), 1, f"lines about interrupts of {device}: {lines}")
    return "wake workers" in lines[0]


def to_and_fro(stage, nic, n=1):
    """Frames between vm0 and the far end of its uplink."""
    vm0 = stage["vm0"]
    frames = [frame(mac_of("vm0"), STRANGER, number=stage.number()) for _ in range(n)]
    for one in frames:
        nic.send(one)
    equal([got.frame for got in vm0.receive(n)], frames, "frames from the NIC")
    frames = [frame(STRANGER, mac_of("vm0"), number=stage.number()) for _ in range(n)]
    vm0.send_many(frames)
    equal(sorted(getattr(got, "frame", got) for got in nic.receive(n)), sorted(frames), "frames to the NIC")


def after_rests(stage, nic):
    """Frames both ways, each after a rest."""
    for _ in range(10):
        stage.dptap.wait_asleep()
        to_and_fro(stage, nic)
    to_and_fro(stage, nic, 50)
    stage.dptap.settle()


def wakes_at_once(stage, nic):
    """Ten frames in a row are there long before a worker would look by itself at a NIC that has promised to wake it."""
    in_time = [0]

    def another():
        stage.dptap.wait_asleep()
        then = time.monotonic()
        nic.send(frame(mac_of("vm0"), STRANGER, number=stage.number()))
        stage["vm0"].receive()
        in_time[0] = in_time[0] + 1 if time.monotonic() - then < 0.03 else 0
        return in_time[0] >= 10

    wait_until(another, lambda: f"ten frames in a row within 30 ms each: {in_time[0]} were")


@scenario
def a_nic_with_interrupts():
    with Tap() as nic, bridge("vm0", nic=nic, own=SLEEP, n_workers=2) as stage:
        nic.attach()
        stage.dptap.wait_state(nic.device, "up")
        stage.nic = nic
        stage.bring("vm0")
        yield stage
        stage.dptap.stop()


@a_nic_with_interrupts.test
def it_is_said_that_they_wake_workers(stage):
    equal(waking(stage, stage.nic.device), True, "whether the interrupts wake workers")


@a_nic_with_interrupts.test
def frames_pass_after_rests(stage):
    after_rests(stage, stage.nic)


@a_nic_with_interrupts.test
def an_interrupt_wakes_it(stage):
    wakes_at_once(stage, stage.nic)


@a_nic_with_interrupts.test
def an_interrupt_wakes_the_worker_that_its_queue_moved_to(stage):
    for lcore in (2, 1):
        stage.dptap.wait_asleep()
        equal(stage.dptap.tele(f"/dptap/move,{stage.nic.device},0,{lcore}")["lcore"], lcore, "where the pair went")
        wakes_at_once(stage, stage.nic)


@a_nic_with_interrupts.test
def what_waits_for_the_link_goes_when_it_comes_up(stage):
    stage.nic.set(False)
    stage.dptap.wait_state(stage.nic.device, "down")
    sent = [frame(STRANGER, mac_of("vm0"), number=stage.number()) for _ in range(3)]
    stage["vm0"].send_many(sent)
    stage.dptap.settle(held=3)
    stage.dptap.wait_asleep()

    stage.nic.set(True)

    equal(stage.nic.receive(3), sent, "frames")
    stage.dptap.settle()


@scenario
def a_nic_without_interrupts():
    with Wire() as nic, bridge("vm0", nic=nic, own=SLEEP) as stage:
        stage.dptap.wait_state(nic.device, "up")
        stage.bring("vm0")
        equal(waking(stage, nic.device), False, "whether its interrupts wake workers")
        stage.nic = nic
        yield stage
        stage.dptap.stop()


@a_nic_without_interrupts.test
def it_is_looked_at(stage):
    after_rests(stage, stage.nic)


@scenario
def a_nic_that_takes_nothing():
    with tempfile.TemporaryDirectory(prefix="dptap-test-") as directory, \
            Nic(os.path.join(directory, "nic.sock")) as nic, bridge("vm0", nic=nic, own=SLEEP) as stage:
        nic.up()
        stage.dptap.wait_state(nic.device, "up")
        stage.bring("vm0")
        stage.nic = nic
        yield stage
        stage.dptap.stop()


@a_nic_that_takes_nothing.test
def what_waits_for_it_goes_when_it_takes_it(stage):
    for _ in range(3):
        sent = [frame(STRANGER, mac_of("vm0"), number=stage.number()) for _ in range(3)]
        stage["vm0"].send_many(sent)
        stage.dptap.settle(held=3)
        stage.dptap.wait_asleep()

        stage.nic.give(3)

        equal([got.frame for got in stage.nic.receive(3)], sent, "frames")
    stage.dptap.settle()


class VirtioNic(Guest):
    """net_virtio_user for the dptap that sleeps; another one's guest sockets join it to this guest."""

    def __init__(self, far):
        self.device = "net_virtio_user0"
        self.vdev = f"{self.device},path={far.socket('nic')},queues=1"
        super().__init__(far.socket("vm9"))


@scenario
def a_virtio_nic():
    ends = [guest("nic", mac=text(mac_of("vm0"))), guest("vm9", mac=text(STRANGER))]
    with Dptap(*ends, vdevs=[]) as far, VirtioNic(far) as nic, \
            bridge("vm0", nic=nic, own=SLEEP) as stage:
        nic.up()
        nic.keep_given()
        far.wait_state("nic", "RUNNING")
        far.wait_state("vm9", "RUNNING")
        stage.bring("vm0")
        stage.nic = nic
        yield stage
        stage.dptap.stop()
        far.stop()


@a_virtio_nic.test
def its_interrupts_are_found(stage):
    equal(waking(stage, stage.nic.device), True, "whether the interrupts wake workers")


@a_virtio_nic.test
def frames_pass_after_rests_here_too(stage):
    after_rests(stage, stage.nic)


@a_virtio_nic.test
def its_interrupt_wakes_it(stage):
    wakes_at_once(stage, stage.nic)


if __name__ == "__main__":
    main()
