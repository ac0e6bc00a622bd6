#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Who watches drops from outside sees each: by rte_trace and babeltrace2, and by the USDT probe and bpftrace."""

import glob
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

from dptap import Dptap, guest, uplink
from testing import Skip, check, equal, main, scenario, wait_until
from uplink import Capture

N_FRAMES = 40
FRAMES = [bytes.fromhex("020000000001 020000000002 0800") + bytes(46 + i) for i in range(N_FRAMES)]


@scenario
def nothing_yet():
    with tempfile.TemporaryDirectory() as folder:
        yield folder


def needs(program):
    if shutil.which(program) is None:
        raise Skip(f"{program} is not installed")


@nothing_yet.test
def rte_trace_has_an_event_for_each_drop(folder):
    needs("babeltrace2")
    capture = Capture(folder, [FRAMES])
    with Dptap(uplink(capture.device), guest("vm0", socket=f"{folder}/vm0.sock"), vdevs=[capture.vdev],
               eal=["--trace=dptap.drop", f"--trace-dir={folder}"]) as dptap:
        wait_until(lambda: dptap.tele("/dptap/drops")["packets"] == N_FRAMES, "all frames to be dropped")
        dptap.stop()
    trace = [os.path.dirname(name) for name in glob.glob(f"{folder}/**/metadata", recursive=True)]
    text = subprocess.run(["babeltrace2", *trace], capture_output=True, text=True, check=True).stdout

    events = re.findall(r'dptap\.drop: .*reason = "(\w+)", cause = "(\w+)", port = "(\w+)", direction = "(\w+)", '
                        r'packet = 0x[0-9A-F]+, bytes = 0x([0-9A-F]+)', text)
    equal([event[:4] for event in events], [("OTHERHOST", "mac_not_here", capture.device, "port_rx")] * N_FRAMES,
          "events")
    equal([int(event[4], 16) for event in events], [len(frame) for frame in FRAMES], "lengths")


@nothing_yet.test
def the_usdt_probe_fires_for_each_drop(folder):
    needs("bpftrace")
    log = os.path.join(folder, "bpftrace.log")
    script = (f'usdt:{os.environ["DPTAP"]}:dptap:drop {{ @n[str(arg0), str(arg1), str(arg2), str(arg3)] = count(); }} '
              'BEGIN { printf("listening\\n"); }')

    def said():
        with open(log, encoding="utf-8", errors="replace") as text:
            return text.read()

    with Dptap(uplink("net_null0"), guest("vm0", socket=f"{folder}/vm0.sock"), vdevs=["net_null0,size=64"]) as dptap:
        with open(log, "w", encoding="utf-8") as file, subprocess.Popen(
                ["bpftrace", "-B", "line", "-p", str(dptap.process.pid), "-e", script], stdout=file,
                stderr=subprocess.STDOUT) as watcher:
            wait_until(lambda: "listening" in said() or watcher.poll() is not None, "bpftrace to listen")
            if watcher.poll() is not None:
                raise Skip(f"bpftrace cannot attach here: {said().strip()[:200]}")
            start = dptap.tele("/dptap/drops")["packets"]
            wait_until(lambda: dptap.tele("/dptap/drops")["packets"] > start + 100000, "drops under bpftrace's eyes")
            watcher.send_signal(signal.SIGINT)
            watcher.wait(30)
            seen = dptap.tele("/dptap/drops")["packets"]
        dptap.stop()

    found = {names: int(n) for names, n in re.findall(r"@n\[([^\]]*)\]: (\d+)", said())}
    name = "OTHERHOST, mac_not_here, net_null0, port_rx"
    equal(list(found), [name], "reason, cause, port, direction")
    check(100000 <= found[name] <= seen, f"the probe fired {found[name]} times; drops were {start} to {seen}")


if __name__ == "__main__":
    main()
