#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""dptap dies and comes back; guests with packed rings, whose front ends know no position, go on where they were."""

import contextlib
import glob
import os
import random
import signal
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "support"))

# pylint: disable=wrong-import-position
from dptap import Dptap, guest, runtime_dir, uplink
from frames import text
from guest import FEATURES, PACKED, Guest
from stage import Stage, mac_of
from testing import check, equal, main, scenario, wait_until
from uplink import null
import vhost_user as vu

NAMES = ("vm0", "vm1")


@contextlib.contextmanager
def two_guests(features=PACKED, queues=1, size=256):
    """dptap that may die, and two guests that outlive it."""
    with tempfile.TemporaryDirectory(prefix="dptap-test-") as keep:
        both = [guest(name, mac=text(mac_of(name)), queues=queues) for name in NAMES]
        with Dptap(uplink("net_null0"), *both, vdevs=[null()], keep=keep) as dptap:
            stage = Stage(dptap)
            try:
                for name in NAMES:
                    stage.guests[name] = Guest(dptap.socket(name), features, size, queues=queues)
                    stage[name].up()
                    stage[name].keep_given()
                yield stage
            finally:
                stage.close()


def files(dptap):
    """The files in which positions are kept."""
    pattern = os.path.join(runtime_dir(), dptap.prefix, "dptap_positions.*")
    return sorted(os.path.basename(path) for path in glob.glob(pattern))


def find_again(stage, fresh=()):
    """Both front ends find the new dptap, and hand out the start position as those do that know no other."""
    for name in NAMES:
        one = stage[name]
        one.hang_up()
        one.connect()
        one.start(fresh=name in fresh)
        stage.dptap.wait_state(name, "RUNNING")
        if name in fresh:
            one.keep_given()


def both_talk(stage, n=300):
    stage.cross("vm0", "vm1", n)
    stage.cross("vm1", "vm0", n)
    stage.dptap.settle()


def restarts(stage, number):
    """Three times: talk, die with frames in the ring, come back, hear them, talk."""
    for turn in range(3):
        both_talk(stage, 300 + 7 * turn)
        if number == signal.SIGKILL:
            stage.dptap.kill()
        else:
            stage.dptap.stop(number)
        waiting = [stage.frame_to("vm1", "vm0") for _ in range(9)]
        for one in waiting:
            stage["vm0"].post(one)
        stage["vm0"].publish()
        equal(files(stage.dptap), [f"dptap_positions.{name}" for name in NAMES], "files that are left")
        stage.dptap.start()
        find_again(stage)
        stage["vm0"].wait_sent()
        wait_until(lambda: stage.dptap.balance()["received"] == len(waiting), "what was said meanwhile")
        lost = stage.dptap.settle()["dropped"]  # those that were taken before vm1 was back
        equal([got.frame for got in stage["vm1"].poll()], waiting[lost:], "what was said while dptap was dead")
        both_talk(stage)
    stage.dptap.stop()


@scenario
def nothing_yet():
    yield None


@nothing_yet.test
def a_guest_survives_kill_9(_):
    with two_guests() as stage:
        restarts(stage, signal.SIGKILL)


@nothing_yet.test
def a_guest_survives_kill_9_with_rings_in_order(_):
    with two_guests(PACKED | vu.F_IN_ORDER) as stage:
        restarts(stage, signal.SIGKILL)


@nothing_yet.test
def a_guest_survives_kill_9_with_a_ring_of_an_odd_size_and_event_indexes(_):
    with two_guests(PACKED | vu.F_EVENT_IDX, size=211) as stage:
        restarts(stage, signal.SIGKILL)


@nothing_yet.test
def a_guest_survives_a_clean_restart(_):
    with two_guests() as stage:
        restarts(stage, signal.SIGTERM)


@nothing_yet.test
def a_guest_of_several_pairs_survives_kill_9(_):
    with two_guests(queues=3) as stage:
        restarts(stage, signal.SIGKILL)


@nothing_yet.test
def a_front_end_that_was_cut_off_goes_on_too(_):
    with two_guests() as stage:
        for turn in range(3):
            both_talk(stage, 100 + turn)
            find_again(stage)
        both_talk(stage)
        stage.dptap.stop()


@nothing_yet.test
def killed_amid_traffic_a_guest_goes_on_and_every_buffer_comes_back_once(_):
    noise = random.Random(17)
    with two_guests() as stage:
        vm0, vm1 = stage["vm0"], stage["vm1"]
        for _ in range(8):
            goal = noise.randrange(100, 900)
            sent = got = 0
            while got < goal:
                room = min(32, len(vm0.from_guest.free))
                for _ in range(room):
                    vm0.post(stage.frame_to("vm1", "vm0", noise.randrange(60, 1500)))
                vm0.publish()
                sent += room
                vm0.reap_sent()  # fails if a buffer comes back that is not out
                got += len(vm1.poll())
            stage.dptap.kill()
            stage.dptap.start()
            find_again(stage)
            vm0.wait_sent()
            stage.dptap.settle()
            vm1.poll()
        both_talk(stage)
        stage.dptap.stop()


def boot_anew(one):
    """Its driver starts over, and happens to put the rings where they were."""
    for pair in one.pairs:
        for queue in (pair.to_guest, pair.from_guest):
            for chain in queue.chains.values():
                queue.release(chain)
            queue.reset()


@nothing_yet.test
def a_guest_that_booted_anew_meanwhile_begins_at_the_beginning(_):
    """Same place, same size, same features: only what is in the ring tells that it is a new one."""
    with two_guests() as stage:
        for fresh in (("vm0",), ("vm1",), NAMES):
            both_talk(stage, 400)
            stage.dptap.kill()
            stage.dptap.start()
            for name in fresh:
                boot_anew(stage[name])
            find_again(stage)
            for name in fresh:
                stage[name].keep_given()
            both_talk(stage)
        stage.dptap.stop()


@nothing_yet.test
def a_ring_that_changed_its_size_or_features_begins_at_the_beginning(_):
    with two_guests() as stage:
        for size, features in ((128, PACKED), (128, PACKED | vu.F_IN_ORDER), (256, FEATURES), (256, PACKED)):
            both_talk(stage, 50)
            stage.dptap.kill()
            stage.dptap.start()
            for name in NAMES:
                stage[name].queue_size, stage[name].wanted = size, features
            find_again(stage, NAMES)
            both_talk(stage)
        stage.dptap.stop()


@nothing_yet.test
def what_a_front_end_stopped_leaves_nothing_behind(_):
    with two_guests() as stage:
        both_talk(stage)
        equal(len(files(stage.dptap)), 2, "files")
        for name in NAMES:
            stage[name].stop()
        stage.dptap.stop()
        equal(files(stage.dptap), [], "files that are left")


@nothing_yet.test
def a_file_full_of_nonsense_does_no_harm(_):
    noise = random.Random(23)
    with two_guests() as stage:
        for turn in range(4):
            both_talk(stage, 20)
            stage.dptap.kill()
            for name in files(stage.dptap):
                path = os.path.join(runtime_dir(), stage.dptap.prefix, name)
                with open(path, "r+b") as file:
                    size = os.path.getsize(path)
                    file.seek(0 if turn == 0 else 16 + 24)  # all, or the positions of rings that look right
                    file.write(noise.randbytes(size if turn == 0 else 64))
                    if turn == 3:
                        file.truncate(100)
            stage.dptap.start()
            find_again(stage, NAMES)
            both_talk(stage)
        stage.dptap.stop()


@nothing_yet.test
def without_a_place_for_files_that_is_told(_):
    dptap = Dptap(uplink("net_null0"), guest("vm0"), vdevs=[null()])
    in_the_way = os.path.join(runtime_dir(), dptap.prefix, "dptap_positions.vm0")
    os.makedirs(in_the_way)
    with dptap:
        check("guest 'vm0': positions of packed rings are not kept in " in dptap.log(), "no such line in the log")
        stage = Stage(dptap)
        try:
            stage.bring("vm0", features=PACKED)
            stage["vm0"].send_many([stage.frame_to("vm1", "vm0") for _ in range(50)])
            dptap.settle()
            dptap.stop()
        finally:
            stage.close()
            os.rmdir(in_the_way)


if __name__ == "__main__":
    main()
