# SPDX-License-Identifier: BSD-3-Clause
"""A forwarder with its load: started, frozen, thawed, measured for one window, ended."""

import dataclasses
import os
import shutil
import struct
import time

from forwarder import make_forwarder
from process import BenchError, wait_until
from testpmd import Console

GUEST_TO_NIC = "guest-to-nic"
NIC_TO_GUEST = "nic-to-guest"
SCENARIOS = (GUEST_TO_NIC, NIC_TO_GUEST)

GUEST_MAC = "02:00:00:00:00:11"
RING_SIZE = 1024  # of the guest's queues
SETTLE_S = 0.1    # caches and rings are warm again this long after a thaw


@dataclasses.dataclass(frozen=True)
class Case:
    """What passes, and in which direction: one row of the result."""

    scenario: str
    size: int  # bytes of a frame as RFC 2544 counts them: with the four of its check sequence

    @property
    def length(self):
        """Bytes of a frame as programs see them."""
        return self.size - 4

    def __str__(self):
        return f"{self.scenario} {self.size} B"


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a process runs and what its EAL is told."""

    cpu: int
    nice: int
    directory: str
    huge_dir: str
    prefix: str

    def eal(self, name):
        """EAL arguments that every process here gets."""
        return ["--lcores", f"0@{self.cpu},1@{self.cpu}", "-m", "512", "--no-pci", "--iova-mode=va",
                "--single-file-segments", "--huge-dir", self.huge_dir, "--file-prefix", self.file_prefix(name)]

    def file_prefix(self, name):
        """EAL's name for the process."""
        return f"{self.prefix}-{name}"

    def log(self, name):
        """Where the output of the process is kept."""
        return os.path.join(self.directory, name + ".log")


@dataclasses.dataclass(frozen=True)
class Window:
    """One measurement of one forwarder."""

    mpps: float                # packets that arrived at the far end, millions a second
    cycles_per_packet: float   # of the forwarder's rounds that moved packets
    load_busy: float           # share of the time that the load spent in such rounds
    waited: float              # share of the time that a measured thread waited for its CPU


def nic_devargs(case, mode, directory):
    """The NIC, as --vdev: null frames without end; in bridge mode frames need an address."""
    if case.scenario == GUEST_TO_NIC:
        return f"net_null0,size={case.length},no-rx=1"
    if mode == "passthru":
        return f"net_null0,size={case.length}"
    path = os.path.join(directory, f"nic-{case.size}.pcap")
    with open(path, "wb") as file:
        write_capture(file, case.length)
    return f"net_pcap0,rx_pcap={path},infinite_rx=1"


def write_capture(file, length, n_frames=256):
    """A capture file of equal frames addressed to the guest."""
    mac = bytes.fromhex(GUEST_MAC.replace(":", ""))
    frame = (mac + bytes.fromhex("0200000000fe") + b"\x88\xb5").ljust(length, b"\0")  # 88b5: local experiments
    file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
    for _ in range(n_frames):
        file.write(struct.pack("<IIII", 0, 0, length, length) + frame)


class Session:
    """A forwarder on one CPU between a NIC and a guest's socket, and the load on another CPU playing the guest."""

    def __init__(self, name, program, case, options, make_place):
        self.name = name
        self._case = case
        self._seconds = options.window
        self._load = None
        self._load_name = name + "-load"
        self._places = {name: make_place(options.dut_cpu), self._load_name: make_place(options.gen_cpu)}
        place = self._places[name]
        self._socket = os.path.join(place.directory, name + ".sock")
        self._forwarder = make_forwarder(name, program, place, self._socket, options.mode, GUEST_MAC,
                                         nic_devargs(case, options.mode, place.directory))
        self._virtio = options.virtio

    def start(self):
        """Start both, wait until the guest's queues run, and let packets flow."""
        self._forwarder.start()
        wait_until(lambda: os.path.exists(self._socket), 20, f"{self.name} listens on {self._socket}")
        devargs = f"net_virtio_user0,path={self._socket},queue_size={RING_SIZE},mac={GUEST_MAC}"
        if self._virtio:
            devargs += "," + self._virtio
        mode = "txonly" if self._case.scenario == GUEST_TO_NIC else "rxonly"
        self._load = Console(self._load_name, ["--vdev", devargs],
                             [f"--forward-mode={mode}", "--total-num-mbufs=8192", "--mbcache=512", "--burst=32",
                              f"--txpkts={self._case.length}"], self._places[self._load_name])
        self._load.wait_ready()
        self._forwarder.wait_guest()
        self._load.command("start")
        wait_until(lambda: self._arrived(self._load.stats()[0]) > 0, 10, f"{self.name}: packets pass {self._case}")

    def freeze(self):
        """Both off their CPUs: the load first, so that the forwarder is left with nothing to do."""
        self._load.process.freeze()
        self._forwarder.process.freeze()

    def thaw(self):
        """Both back."""
        self._forwarder.process.thaw()
        self._load.process.thaw()

    def window(self):
        """Thaw, measure for the length of a window, freeze."""
        self.thaw()
        time.sleep(SETTLE_S)
        self._forwarder.begin()
        waited = self._waits()
        began = self._load.clear_stats()
        time.sleep(self._seconds)
        load, ended = self._load.stats()
        waited = [after - before for before, after in zip(waited, self._waits())]
        counted = self._forwarder.end()
        self.freeze()

        seconds = ended - began
        arrived = self._arrived(load)
        if arrived == 0 or counted.delivered < 0.98 * arrived:  # its interval is the longer one: it sees no fewer
            raise BenchError(f"{self.name}: {self._case}: the load counts {arrived} packets in a window, "
                             f"and only {counted.delivered} came through")
        return Window(
            mpps=arrived / seconds / 1e6,
            cycles_per_packet=counted.busy_cycles / counted.delivered,
            load_busy=load.busy_cycles / (load.tsc_hz * seconds),
            waited=max(waited) / seconds)

    def _waits(self):
        return [self._forwarder.process.run_queue_wait(), self._load.process.run_queue_wait()]

    def _arrived(self, load):
        """Packets of the load that count: those the ring took, or those that came."""
        return load.sent if self._case.scenario == GUEST_TO_NIC else load.received

    def stop(self):
        """End both and remove what they leave; returns the forwarder's last words."""
        last_words = ""
        try:
            if self._load:
                self.thaw()  # both: they take leave of each other
                self._load.stop()
        finally:
            try:
                last_words = self._forwarder.stop()
            finally:
                for name, place in self._places.items():
                    shutil.rmtree(os.path.join("/var/run/dpdk", place.file_prefix(name)), ignore_errors=True)
                if os.path.exists(self._socket):
                    os.unlink(self._socket)
        return last_words
