# SPDX-License-Identifier: BSD-3-Clause
"""What a dptap takes of its CPU while nothing passes, and how long the first frame after a rest is under way."""

import contextlib
import dataclasses
import os
import statistics
import sys
import time

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "support"))

# pylint: disable=wrong-import-position
from frames import frame, mac
from process import BenchError, be_nice
import report
from stage import bridge, mac_of
from testing import Failure, Skip
from uplink import Tap, Wire

MODES = ("poll", "pause", "sleep")
STRANGER = mac(0xABCDEF)
FRAMES = 100      # of a start, each way
REST_S = 0.005    # before each of them: a worker falls asleep after 0.2 ms
SETTLE_S = 0.3    # until control has looked at what came up


@dataclasses.dataclass(frozen=True)
class Rest:
    """What dptap stands between while nobody sends."""

    name: str
    nic: type  # what makes its NIC; None: there are guests alone

    def __str__(self):
        return self.name


RESTS = [Rest("guests", None), Rest("NIC that interrupts (net_tap)", Tap),
         Rest("NIC that does not (net_af_packet)", Wire)]


@dataclasses.dataclass
class Found:
    """Of one mode at one Rest; latencies in microseconds."""

    worker: list = dataclasses.field(default_factory=list)   # share of a CPU in each window
    control: list = dataclasses.field(default_factory=list)  # of all other threads together
    from_guest: list = dataclasses.field(default_factory=list)
    from_nic: list = dataclasses.field(default_factory=list)


def ran_ns(pid):
    """Nanoseconds that the worker of a dptap ran, and all its other threads."""
    worker = others = 0
    for task in os.scandir(f"/proc/{pid}/task"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
            with open(task.path + "/comm", encoding="ascii") as file:
                is_worker = "worker" in file.read()
            with open(task.path + "/schedstat", encoding="ascii") as file:
                ran = int(file.read().split()[0])
            worker += ran if is_worker else 0
            others += 0 if is_worker else ran
    return worker, others


def look_at_shares(pid, seconds, found):
    """A window without a packet."""
    began, before = time.monotonic(), ran_ns(pid)
    time.sleep(seconds)
    after, lasted = ran_ns(pid), (time.monotonic() - began) * 1e9
    found.worker.append((after[0] - before[0]) / lasted)
    found.control.append((after[1] - before[1]) / lasted)


def way_of(send, receiver):
    """Microseconds from a frame's sending, which is a kick or a system call, until it is in the guest's ring."""
    began = time.perf_counter()
    send()
    while not receiver.poll():
        if time.perf_counter() - began > 10:
            raise BenchError("a frame did not come within 10 s")
    return (time.perf_counter() - began) * 1e6


def send_frames(stage, nic, found):
    """Single frames after rests, to vm1."""
    vm0, vm1 = stage["vm0"], stage["vm1"]
    for number in range(FRAMES):
        time.sleep(REST_S)
        vm0.post(stage.frame_to("vm1", "vm0"))
        found.from_guest.append(way_of(vm0.publish, vm1))
        vm0.wait_sent()
        if nic:
            one = frame(mac_of("vm1"), STRANGER, number=number)
            time.sleep(REST_S)
            found.from_nic.append(way_of(lambda sent=one: nic.send(sent), vm1))


def measure_start(rest, mode, options, found):
    """One dptap, from its start to its end."""
    with contextlib.ExitStack() as ends:
        nic = ends.enter_context(rest.nic()) if rest.nic else None
        stage = ends.enter_context(bridge("vm0", "vm1", nic=nic, alone=not nic, own=("--set", f"idle={mode}"),
                                          lcores_map=f"0@{options.gen_cpu},1@{options.dut_cpu}"))
        if nic:
            if rest.nic is Tap:
                nic.attach()
            stage.dptap.wait_state(nic.device, "up")
        for name in ("vm0", "vm1"):
            stage.bring(name)
        stage.all_cross()
        time.sleep(SETTLE_S)
        for _ in range(options.rounds // options.starts):
            look_at_shares(stage.dptap.process.pid, options.window, found)
        send_frames(stage, nic, found)
        stage.dptap.stop()


def prepare(options):
    """dptap alone; it stands for each way to be idle."""
    os.environ["DPTAP"] = options.dptap
    be_nice(options.nice)  # it is started from here, into our session
    return []


def measure(rest, _programs, _placement, options, _make_place):
    """{mode: Found}, told on standard output while it goes on."""
    results = {mode: Found() for mode in MODES}
    # who waits for a frame here spins, and dptap's control thread has to get in between: net_tap needs it
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    os.sched_setaffinity(0, {options.gen_cpu})
    try:
        for _ in range(options.starts):
            for mode, found in results.items():
                measure_start(rest, mode, options, found)
                print(f"  {mode:6} {100 * found.worker[-1]:6.2f} % of a CPU, "
                      f"a frame {statistics.median(found.from_guest):.0f} us", flush=True)
    except (Failure, Skip) as error:
        raise BenchError(f"{rest}: {error}") from error
    finally:
        os.sched_setaffinity(0, range(os.cpu_count()))
    return results


# ---- what is shown ----

HEADS = ["what dptap stands between", "idle", "worker, % of a CPU", "control, %", "from guest, µs", "from NIC, µs"]

EXPLANATION = f"""\
Shares are what the scheduler says a thread ran, of one CPU: medians over windows. A frame's way is from the guest's
kick (if it is asked for), or the system call that puts it before the NIC, until it is found in another guest's ring:
median and, in parentheses, 99 % of frames that came {1000 * REST_S:g} ms after the one before. Both ends are in Python,
which takes most of what poll shows: compare.
"""


def share_of(values, share):
    """The value that this share of them does not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def way(values):
    """How ways are shown."""
    return f"{statistics.median(values):.0f} ({share_of(values, 0.99):.0f})" if values else report.NONE


def rows_of(rest, results):
    """The cells of a Rest, a row for each mode."""
    return [[rest, mode, f"**{100 * statistics.median(found.worker):.2f}**",
             f"{100 * statistics.median(found.control):.2f}", way(found.from_guest), way(found.from_nic)]
            for mode, found in results.items()]


def markdown(results, _names, options):
    """The whole result as a page. @results: {Rest: {mode: Found}}."""
    lines = [f"dptap with nothing to do, one worker, windows of {options.window:g} s, {options.starts} starts.",
             report.machine(), "", report.row(HEADS), "|" + "---|" * len(HEADS)]
    lines += [report.row(cells) for rest, found in results.items() for cells in rows_of(rest, found)]
    return "\n".join(lines) + "\n\n" + EXPLANATION
