#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What cannot be run is refused: one message that names object, fault and remedy, the promised exit status, no trace.

2 is for wrong options and configurations, 1 for what this machine does not give.
"""

import contextlib
import glob
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "support"))

# pylint: disable=wrong-import-position
from dptap import Dptap, guest, lcores, uplink
from testing import DEADLINE, Skip, check, equal, main, scenario

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir)


class Bench:
    """A directory to work in, and runs of dptap that are expected to end by themselves."""

    def __init__(self, directory):
        self.dir = directory
        self.prefix = f"dptap-test-bad-{os.getpid()}"

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        return name

    def run(self, *words):
        """Run it in the directory with exactly these arguments."""
        return subprocess.run([os.environ["DPTAP"], *words], cwd=self.dir, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, errors="replace", timeout=DEADLINE, check=False)

    def eal(self, *more, cores=None):
        """EAL arguments with which it could start."""
        return (*(cores or ("--lcores", lcores())), "--no-huge", "-m", "256", "--no-pci", "--file-prefix", self.prefix,
                *more)

    def refused(self, status, words, *args, eal=None):
        """It ends with that status, and one line of its own says all these words."""
        run = self.run(*(self.eal() if eal is None else eal), "--", *args)
        what = f"dptap -- {' '.join(args)}"
        lines = [line for line in run.stderr.splitlines() if line.startswith("dptap: ")]
        shown = "\n" + run.stderr + run.stdout
        equal(run.returncode, status, f"exit status of {what}{shown}")
        check(any(all(word in line for word in words) for line in lines), f"{what}: no line with {words}:{shown}")
        check("ready:" not in run.stderr, f"{what}: was ready before it was refused{shown}")
        for path in glob.glob(self.path("*.sock")):
            raise AssertionError(f"{what}: left {path} behind")
        return run

    def refused_file(self, words, text):
        """The same for a configuration file, which is wrong (2) by itself as well as when only looked at."""
        name = self.write("dptap.conf", text)
        self.refused(2, words, "--config", name)
        self.refused(2, words, "--config", name, "--check-config", eal=())


@scenario
def nothing_but_the_program():
    with tempfile.TemporaryDirectory(prefix="dptap-test-") as directory:
        bench = Bench(directory)
        try:
            yield bench
        finally:
            shutil.rmtree(f"/var/run/dpdk/{bench.prefix}", ignore_errors=True)


VM0 = "vm0,socket=vm0.sock"
MAC = "mac=52:54:00:00:00:01"


@nothing_but_the_program.test
def wrong_options_are_told_with_the_right_ones(bench):
    bench.refused(2, ["--colour", "unknown option", "dptap --help"], "--colour")
    bench.refused(2, ["-l", "unknown option", 'before "--"'], "--guest", VM0, "-l", "0-1")
    bench.refused(2, ["vm0", "unknown option"], "vm0")
    bench.refused(2, ["--check-config", "takes no value"], "--check-config=yes")
    bench.refused(2, ["--guest", "nothing follows", "NAME,key=value"], "--guest")
    bench.refused(2, ["--uplink", "nothing follows", "NAME"], "--uplink", "--guest", VM0)
    bench.refused(2, ["--config", "nothing follows", "FILE"], "--config")
    bench.refused(2, ["--guest socket=vm0.sock", "no name", "NAME,key=value"], "--guest", "socket=vm0.sock")
    bench.refused(2, ["no uplink and no guest", "--uplink", "--guest"])


@nothing_but_the_program.test
def wrong_settings_are_told_with_the_range(bench):
    bench.refused(2, ["--guest vm0: colour: unknown key",
                      "socket, socket_mode, mac, uplink, queues, queue_len, features_off"],
                  "--guest", VM0 + ",colour=red")
    bench.refused(2, ["--guest vm0: queue_len = 12: out of range, 64 to 65536 packets"],
                  "--guest", VM0 + ",queue_len=12")
    bench.refused(2, ["--guest vm0: queues = 17: out of range, 1 to 16 queue pairs"], "--guest", VM0 + ",queues=17")
    bench.refused(2, ["--guest vm0: queues = 0: out of range, 1 to 16 queue pairs"], "--guest", VM0 + ",queues=0")
    bench.refused(2, ["--guest vm0: features_off = csum+tso: 'tso' is no feature", "dptap --help"],
                  "--guest", VM0 + ",features_off=csum+tso")
    bench.refused(2, ["--guest vm0: queue_len = many: not a whole number"], "--guest", VM0 + ",queue_len=many")
    bench.refused(2, ["--guest vm0: queue_len = -64: not a whole number"], "--guest", VM0 + ",queue_len=-64")
    bench.refused(2, ["--uplink net_null0: offloads_off = tso+ufo: ufo is no such word", "joined by +"], "--uplink",
                  "net_null0,offloads_off=tso+ufo")
    bench.refused(2, ["--uplink net_null0: queues = 17: out of range, 1 to 16"], "--uplink", "net_null0,queues=17",
                  eal=bench.eal("--vdev", "net_null0"))
    bench.refused(2, ["--uplink net_null0: mode = router: want one of bridge|passthru"],
                  "--uplink", "net_null0,mode=router")
    bench.refused(2, ["--set: idle = doze: want one of poll|"], "--set", "idle=doze", "--guest", VM0)
    bench.refused(2, ["--guest vm0: mac = 52:54:00: not a MAC address", "like 52:54:00:12:34:56"],
                  "--guest", VM0 + ",mac=52:54:00")
    bench.refused(2, ["guest vm0: mac 01:00:5e:00:00:01", "group"], "--guest", VM0 + ",mac=01:00:5e:00:00:01")
    bench.refused(2, ["--guest vm0: socket is missing; add socket=PATH"], "--guest", "vm0," + MAC)
    bench.refused(2, ["--guest vm0: socket", "too long", "at most 107"], "--guest", "vm0,socket=/" + 107 * "x")
    bench.refused(2, ["--guest vm0: mac: no value"], "--guest", VM0 + ",mac")
    bench.refused(2, ["--guest vm0: socket: given twice"], "--guest", VM0 + ",socket=other.sock")
    bench.refused(2, ["--guest v/m", "not a name", "1 to 31 characters"], "--guest", "v/m,socket=vm0.sock")


@nothing_but_the_program.test
def what_two_ports_cannot_share_is_told_with_both(bench):
    bench.refused(2, ["--guest vm0: the name vm0 is already that of a guest"],
                  "--guest", VM0, "--guest", "vm0,socket=vm1.sock")
    bench.refused(2, ["--guest net_null0: the name net_null0 is already that of an uplink"],
                  "--uplink", "net_null0", "--guest", "net_null0,socket=vm0.sock", eal=bench.eal("--vdev", "net_null0"))
    bench.refused(2, ["guest vm1: mac 52:54:00:00:00:01 is already that of guest vm0"],
                  "--guest", f"{VM0},{MAC}", "--guest", f"vm1,socket=vm1.sock,{MAC}")
    bench.refused(2, ["guest vm1: socket vm0.sock is already that of guest vm0"],
                  "--guest", VM0, "--guest", "vm1,socket=vm0.sock")
    bench.refused(2, ["guest vm1: uplink net_null0 is in passthru mode and already that of guest vm0"],
                  "--uplink", "net_null0,mode=passthru", "--guest", VM0, "--guest", "vm1,socket=vm1.sock",
                  eal=bench.eal("--vdev", "net_null0"))
    bench.refused(2, ["uplink b: device net_null0 is already that of uplink a"],
                  "--uplink", "a,device=net_null0", "--uplink", "b,device=net_null0",
                  eal=bench.eal("--vdev", "net_null0"))
    bench.refused(2, ["guest vm0: uplink net_null1: no uplink has that name", "--uplink net_null1"],
                  "--guest", VM0 + ",uplink=net_null1", eal=bench.eal("--vdev", "net_null0"))


@nothing_but_the_program.test
def a_wrong_file_is_told_with_section_and_key_or_line(bench):
    bench.refused_file(["dptap.conf: [guest vm0] queue_len = 12: out of range, 64 to 65536 packets"],
                       "[guest vm0]\nsocket = vm0.sock\nqueue_len = 12\n")
    bench.refused_file(["dptap.conf: [guest vm0] colour: unknown key",
                        "socket, socket_mode, mac, uplink, queues, queue_len, features_off"],
                       "[guest vm0]\nsocket = vm0.sock\ncolour = red\n")
    bench.refused_file(["dptap.conf: [dptap] idle = doze: want one of poll|"], "[dptap]\nidle = doze\n")
    bench.refused_file(["dptap.conf: [uplinks]: unknown section", "[uplink NAME]"], "[uplinks]\nmtu = 1500\n")
    bench.refused_file(["dptap.conf: [guest]: the name is missing", "[guest NAME]"], "[guest]\nsocket = vm0.sock\n")
    bench.refused_file(["dptap.conf: [guest vm0]", "already that of a guest"], 2 * "[guest vm0]\nsocket = vm0.sock\n")
    bench.refused_file(["dptap.conf: [guest vm0] socket: given twice"],
                       "[guest vm0]\nsocket = vm0.sock\nsocket = vm1.sock\n")
    bench.refused_file(["dptap.conf: line 2", "neither [section] nor key = value"], "[guest vm0]\nsocket vm0.sock\n")
    bench.refused_file(["dptap.conf: line 1", "before the first [section]"], "mtu = 1500\n")
    bench.refused_file(["dptap.conf: line 2", "no value"], "[guest vm0]\nsocket =\n")
    bench.refused_file(["guest vm0: uplink lan: no uplink has that name"],
                       "[uplink wan]\n[guest vm0]\nsocket = vm0.sock\nuplink = lan\n")
    bench.refused_file(["no uplink and no guest"], "# nothing\n")
    bench.refused(2, ["missing.conf: cannot be read: No such file or directory"], "--config", "missing.conf")
    bench.refused(2, [f"{bench.dir}: cannot be read: Is a directory"], "--config", bench.dir)
    bench.write("dptap.conf", "[guest vm0]\nsocket = vm0.sock\n")
    bench.refused(2, ["--guest vm0: the name vm0 is already that of a guest"],
                  "--config", "dptap.conf", "--guest", VM0)


@nothing_but_the_program.test
def a_lone_lcore_is_no_worker(bench):
    first = str(min(os.sched_getaffinity(0)))
    bench.refused(1, ["worker", "lcore", "-l"], "--guest", VM0, eal=bench.eal(cores=("-l", first)))


@nothing_but_the_program.test
def an_option_that_eal_does_not_know_is_told(bench):
    bench.refused(1, ["EAL"], "--guest", VM0, eal=bench.eal("--colour"))


@nothing_but_the_program.test
def an_uplink_that_does_not_exist_is_told(bench):
    bench.refused(1, ["net_null7", "--vdev"], "--uplink", "net_null7", "--guest", VM0)
    bench.refused(1, ["wan", "0000:ff:1f.7", "-a"], "--uplink", "wan,device=0000:ff:1f.7", "--guest", VM0)


@nothing_but_the_program.test
def a_device_that_cannot_merge_is_told_with_what_can(bench):
    bench.refused(1, ["uplink 'net_null0'", "lro = on", "net_null", "gro = on"], "--uplink", "net_null0,lro=on",
                  eal=bench.eal("--vdev", "net_null0"))


@nothing_but_the_program.test
def a_socket_that_cannot_be_made_is_told_and_the_others_go_too(bench):
    bench.refused(1, ["vm1", "/nonexistent/vm1.sock", "No such file or directory"],
                  "--guest", VM0, "--guest", "vm1,socket=/nonexistent/vm1.sock")
    bench.refused(1, ["vm1", "nodir/vm1.sock", "Not a directory"],
                  "--guest", VM0, "--guest", f"vm1,socket={bench.path(bench.write('nodir', ''))}/vm1.sock")
    if os.geteuid() == 0:
        # where even root may not
        run = bench.refused(1, ["vm1", "/sys/vm1.sock"], "--guest", VM0, "--guest", "vm1,socket=/sys/vm1.sock")
        check(re.search(r"/sys/vm1.sock.*(Permission denied|not permitted|Read-only)", run.stderr),
              f"no word why /sys/vm1.sock cannot be made:\n{run.stderr}")


@nothing_but_the_program.test
def a_socket_in_use_is_left_to_its_owner(bench):
    path = bench.path("vm0.inuse")
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as owner:
        owner.bind(path)
        owner.listen()
        inode = os.stat(path).st_ino

        bench.refused(1, ["vm0", path, "in use"], "--guest", f"vm0,socket={path}")

        equal(os.stat(path).st_ino, inode, "the socket that was in use")
        with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as client:
            client.connect(path)


@nothing_but_the_program.test
def a_file_where_the_socket_should_be_is_left_alone(bench):
    path = bench.path(bench.write("vm0.notes", "precious"))

    bench.refused(1, ["vm0", path, "socket"], "--guest", f"vm0,socket={path}")

    with open(path, encoding="utf-8") as file:
        equal(file.read(), "precious", "the file at the socket's path")


@nothing_but_the_program.test
def a_stale_socket_is_replaced(bench):
    path = bench.path("vm0.stale")
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as dead:
        dead.bind(path)
        dead.listen()
    check(os.path.exists(path), "closing a socket removes its file?")

    with Dptap(guest("vm0", socket=path), memory=256) as dptap:
        with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as client:
            client.connect(path)
        dptap.stop()

    check(not os.path.exists(path), "the socket is still there after a clean stop")


@nothing_but_the_program.test
def it_starts_with_what_was_wrong_put_right(bench):
    """So that the refusals above are not due to something else."""
    settings = {"mac": "52:54:00:00:00:01", "queue_len": 64}
    with Dptap(uplink("net_null0", mode="passthru"), guest("vm0", **settings),
               vdevs=["net_null0"], memory=256) as dptap:
        check("1 worker, 1 uplink, 1 guest" in dptap.ready, f"unexpected: {dptap.ready}")
        dptap.stop()
    with Dptap(vdevs=["net_null0"], memory=256,
               config="[guest vm0]\nsocket = @DIR@/vm0.sock\nqueue_len = 64\nuplink = net_null0\n") as dptap:
        check("1 worker, 1 uplink, 1 guest" in dptap.ready, f"unexpected: {dptap.ready}")
        dptap.stop()
    check(os.path.isdir(bench.dir), "the directory is gone")


def free_hugepages():
    """How many hugepages of any size this machine could hand out now."""
    total = 0
    for path in glob.glob("/sys/kernel/mm/hugepages/*/free_hugepages"):
        with open(path, encoding="ascii") as file:
            total += int(file.read())
    return total


@nothing_but_the_program.test
def without_hugepages_both_remedies_are_told(bench):
    n = free_hugepages()
    if n:
        raise Skip(f"there are {n} free hugepages")
    bench.refused(1, ["hugepages", "--no-huge"], "--guest", VM0,
                  eal=("--lcores", lcores(), "--no-pci", "--file-prefix", bench.prefix))


def answered(bench, *words):
    """It ends well, says something on stdout, and EAL was not there."""
    run = bench.run(*words)
    equal(run.returncode, 0, f"exit status of dptap {' '.join(words)}\n{run.stderr}")
    check("EAL" not in run.stderr, f"dptap {' '.join(words)} started EAL:\n{run.stderr}")
    check(not os.path.exists(f"/var/run/dpdk/{bench.prefix}"), f"dptap {' '.join(words)} left a directory of EAL's")
    return run.stdout


@nothing_but_the_program.test
def help_version_and_reasons_need_no_eal(bench):
    shutil.rmtree(f"/var/run/dpdk/{bench.prefix}", ignore_errors=True)
    for option in ("--help", "--version", "--list-reasons"):
        alone = answered(bench, option)
        check(alone.strip(), f"dptap {option} says nothing")
        equal(answered(bench, "--", option), alone, f"dptap -- {option}, compared with dptap {option}")
        equal(answered(bench, *bench.eal(), "--", option), alone,
              f"dptap EAL... -- {option}, compared with dptap {option}")

    text = answered(bench, "--help")
    for word in ("usage: dptap", "--config", "--uplink", "--guest", "queue_len", "64 to 65536 packets, default 1000"):
        check(word in text, f"--help does not mention {word}")
    check(re.search(r"\d+\.\d+", answered(bench, "--version")), "--version names no version")


@nothing_but_the_program.test
def every_reason_and_cause_is_listed(bench):
    shutil.rmtree(f"/var/run/dpdk/{bench.prefix}", ignore_errors=True)
    text = answered(bench, "--list-reasons")

    names = []
    for header, pattern in (("drop_reason.h", r"X\(\d+, (\w+),"), ("drop_cause.h", r"X\(\w+, (\w+), [A-Z_]+, \\")):
        with open(os.path.join(ROOT, "include", "dptap", header), encoding="utf-8") as file:
            found = re.findall(pattern, file.read())
        check(len(found) >= 21, f"{header}: only {len(found)} names were found in it")
        names += found
    missing = [name for name in names if not re.search(rf"\b{name}\b", text)]
    check(not missing, f"--list-reasons leaves out {missing}")


@nothing_but_the_program.test
def a_good_configuration_is_checked_without_eal(bench):
    shutil.rmtree(f"/var/run/dpdk/{bench.prefix}", ignore_errors=True)
    for name in ("dptap.conf", "passthru.conf"):
        path = os.path.join(ROOT, "config", name)
        text = answered(bench, "--", "--config", path, "--check-config")
        check(f"{path}: nothing wrong" in text, f"--check-config says {text!r} of a good file")
    answered(bench, *bench.eal(), "--", "--guest", VM0, "--check-config")
    # the uplink will be what EAL probes
    text = answered(bench, "--", "--guest", VM0 + ",uplink=net_null0", "--check-config")
    check("0 uplinks, 1 guest; the uplinks will be what EAL probes" in text, f"--check-config says {text!r}")
    check(not os.path.exists(bench.path("vm0.sock")), "--check-config made a socket")


if __name__ == "__main__":
    main()
