# SPDX-License-Identifier: BSD-3-Clause
"""A forwarder with its load: started, frozen, thawed, measured for one window, ended."""

import dataclasses
import os
import shutil
import struct
import time

from forwarder import Wiring
from guest_load import GuestLoad
from process import BenchError, wait_of_busiest, wait_until
from programs import make_forwarder
from testpmd import Console

GUEST_TO_NIC = "guest-to-nic"
NIC_TO_GUEST = "nic-to-guest"
GUEST_TO_GUEST = "guest-to-guest"
LOOP = "loop"
SCENARIOS = (GUEST_TO_NIC, NIC_TO_GUEST, GUEST_TO_GUEST, LOOP)

LOAD_MODES = {GUEST_TO_NIC: "txonly", NIC_TO_GUEST: "rxonly", LOOP: "macswap"}
"""What the guest is where it is a testpmd."""

MACS = tuple(f"02:00:00:00:00:{0x11 + number:02x}" for number in range(64))
BUSY_MAX = 32  # guests that one load can be: DPDK has no more ports
OUTSIDE = "02:00:00:00:00:fe"
RING_SIZE = 1024  # of the guest's queues
WAYS = {GUEST_TO_GUEST: "pairs", GUEST_TO_NIC: "out", NIC_TO_GUEST: "in"}
"""What guests do where they are a guest_load."""

SETTLE_S = 0.1    # caches and rings are warm again this long after a thaw


GSO = "gso"
"""In place of a frame's size: TCP of 64 KiB that the sender leaves to be cut into segments."""

GSO_LENGTH = 65549  # bytes of such a frame: 65,535 of IPv4
GSO_MSS = 1448


@dataclasses.dataclass(frozen=True)
class Case:
    """What passes, in which direction, and over what rings: one row of the result."""

    scenario: str
    size: object     # GSO; or bytes of a frame as RFC 2544 counts them: with the four of its check sequence
    virtio: str = ""  # more settings of the guest's net_virtio_user
    queues: int = 1   # queue pairs of each guest
    guests: int = 0   # where there may be any number of them; 0: as many as the scenario takes

    @property
    def length(self):
        """Bytes of a frame as programs see them."""
        return GSO_LENGTH if self.size == GSO else self.size - 4

    @property
    def n_guests(self):
        """How many guests there are."""
        return self.guests or (2 if self.scenario == GUEST_TO_GUEST else 1)

    @property
    def n_busy(self):
        """How many of them have packets."""
        return min(self.n_guests, BUSY_MAX)

    @property
    def ring_size(self):
        """Of the guests' queues: that of QEMU where there are many of them."""
        return 256 if self.guests else RING_SIZE

    @property
    def nic_cuts(self):
        """Whether large packets leave by a NIC that cuts them: a virtio-net device, whose other end is the load."""
        return self.size == GSO and self.scenario == GUEST_TO_NIC

    @property
    def ends_at_guest(self):
        """Whether packets come out at a guest; else at the NIC."""
        return self.scenario in (NIC_TO_GUEST, GUEST_TO_GUEST)

    def __str__(self):
        size = "64 KiB TCP" if self.size == GSO else f"{self.size} B"
        queues = f"{self.queues} queue pairs" if self.queues > 1 else ""
        return " ".join(filter(None, (self.scenario, size, self.virtio, queues)))


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
    cycles_per_packet: float   # of the forwarder's rounds that moved packets, for each that arrived
    load_busy: float           # share of the time that the load spent in such rounds
    waited: float              # share of the time that a measured thread waited for its CPU


def nic_devargs(case, has_addresses, directory, cable):
    """The NIC, as --vdev: null frames without end; where a bridge is fed, or queues are chosen, they have addresses."""
    if case.scenario == GUEST_TO_GUEST:
        return ""
    if case.nic_cuts:
        return f"net_virtio_user0,path={cable},queue_size={RING_SIZE},mac={OUTSIDE}"
    if case.scenario == GUEST_TO_NIC:
        return f"net_null0,size={case.length},no-rx=1"
    if not has_addresses and case.queues == 1:
        return f"net_null0,size={case.length}"
    path = os.path.join(directory, f"nic-{case.size}-{case.n_guests}.pcap")
    with open(path, "wb") as file:
        write_capture(file, case.length, n_guests=case.n_busy)
    return f"net_pcap0,rx_pcap={path},infinite_rx=1"


def as_vdevs(devices):
    """EAL arguments that make these devices."""
    return [word for device in devices for word in ("--vdev", device)]


def write_capture(file, length, n_frames=256, n_guests=1):
    """A capture file of UDP frames addressed to the guests in turn, each of another flow."""
    macs = [bytes.fromhex(mac.replace(":", "")) for mac in MACS[:n_guests]]
    file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
    for number in range(n_frames):
        ip = struct.pack(">BBHHHBBHII", 0x45, 0, length - 14, 0, 0, 64, 17, 0, 0xC0000201, 0xC0000202)
        udp = struct.pack(">HHHH", 1024 + number, 2000, length - 34, 0)
        frame = macs[number % n_guests] + bytes.fromhex("0200000000fe") + b"\x08\x00" + ip + udp
        file.write(struct.pack("<IIII", 0, 0, length, length) + frame.ljust(length, b"\0"))


class Session:
    """A forwarder on one CPU between a NIC and a guest (or between two guests), and the load on another CPU."""

    def __init__(self, name, program, case, options, make_place):
        self.name = name
        self._case = case
        self._seconds = options.window
        self._counted_by_load = options.counted_by_load
        self._load = None
        self._load_name = name + "-load"
        self._load_program = options.load_program
        self._places = {name: make_place(options.dut_cpu), self._load_name: make_place(options.gen_cpu)}
        self._directory = self._places[name].directory
        self._sockets = [os.path.join(self._directory, f"{name}{i}.sock") for i in range(case.n_guests)]
        self._cable = os.path.join(self._directory, f"{name}-nic.sock")
        wiring = Wiring(self._sockets, MACS[:case.n_guests], case.queues, case.size == GSO, options.mode,
                        self._nic_devargs("bridge" in (options.mode, options.peer_mode)))
        self._forwarder = make_forwarder(name, program, self._places[name], wiring)

    def _nic_devargs(self, has_addresses):
        """The NIC, as the forwarder gets it."""
        return nic_devargs(self._case, has_addresses, self._directory, self._cable)

    def start(self):
        """Start both, wait until the guest's queues run, and let packets flow."""
        if self._case.nic_cuts:
            self._load = self._make_load()
            self._load.wait_ready()
        self._forwarder.start()
        for path in self._sockets if self._forwarder.LISTENS else []:
            wait_until(lambda path=path: os.path.exists(path), 20, f"{self.name} listens on {path}")
        if self._load:
            for devargs in self._guests_devargs():
                self._load.command(f"guest {devargs}")
        else:
            self._load = self._make_load()
            self._load.wait_ready()
        self._forwarder.wait_guests()
        self._begin()

    def _begin(self):
        """Let packets flow, and see that they do."""
        self._load.command("start")
        wait_until(lambda: self._arrived(self._load.stats()[0]) > 0, 10, f"{self.name}: packets pass {self._case}")

    def _guests_devargs(self):
        """The load's ends of the guests' sockets."""
        case = self._case
        guests = []
        for number, path in enumerate(self._sockets):
            devargs = f"net_virtio_user{number},path={path},queue_size={case.ring_size},mac={MACS[number]}"
            if not self._forwarder.LISTENS:
                devargs += ",server=1"
            if case.queues > 1:
                devargs += f",queues={case.queues}"
            guests.append(",".join(filter(None, (devargs, case.virtio))))
        return guests

    def _make_load(self):
        case, place = self._case, self._places[self._load_name]
        if case.nic_cuts:
            return self._make_guest_load(self._load_name, [f"net_vhost0,iface={self._cable},tso=1"],
                                         MACS[:case.n_guests], "cable")
        if case.guests or case.scenario == GUEST_TO_GUEST:
            return self._make_guests(self._load_name, 0, case.n_busy)
        return Console(self._load_name, as_vdevs(self._guests_devargs()),
                       [f"--forward-mode={LOAD_MODES[case.scenario]}", "--burst=32",
                        "--total-num-mbufs=16384", "--mbcache=512",
                        f"--txpkts={case.length}", f"--rxq={case.queues}", f"--txq={case.queues}"], place)

    def _make_guests(self, name, first, end):
        """A guest_load that is some of the guests."""
        return self._make_guest_load(name, self._guests_devargs()[first:end], MACS[first:end])

    def _make_guest_load(self, name, devices, macs, *more):
        case = self._case
        return GuestLoad(name, self._load_program, as_vdevs(devices),
                         [WAYS[case.scenario], case.length, GSO_MSS if case.size == GSO else 0, case.queues,
                          case.ring_size, *macs, OUTSIDE, *more], self._places[self._load_name])

    def freeze(self):
        """Both off their CPUs: the load first, so that the forwarder is left with nothing to do."""
        self._load.process.freeze()
        self._forwarder.freeze()

    def thaw(self):
        """Both back."""
        self._forwarder.thaw()
        self._load.process.thaw()

    def window(self):
        """Thaw, measure for the length of a window, freeze."""
        self.thaw()
        time.sleep(SETTLE_S)
        self._forwarder.begin()
        before = self._schedules()
        began = self._load.clear_stats()
        time.sleep(self._seconds)
        load, ended = self._load.stats()
        waited = max(map(wait_of_busiest, before, self._schedules()))
        counted = self._forwarder.end()
        self.freeze()

        seconds = ended - began
        arrived = self._arrived(load)
        delivered = counted.to_guest if self._case.ends_at_guest else counted.to_nic
        if self._counted_by_load:
            delivered = arrived
        lossy = self._case.guests and not self._case.ends_at_guest  # the NIC's lane may overflow
        # The forwarder's interval is the longer one: it sees no fewer.
        if arrived == 0 or delivered < (0.01 if lossy else 0.98) * arrived:
            raise BenchError(f"{self.name}: {self._case}: the load counts {arrived} packets in a window, "
                             f"and only {delivered} came through")
        # in a loop, too, the load is midway: the NIC is where packets come out
        by_forwarder = self._case.scenario == LOOP or lossy
        return Window(
            mpps=(delivered / counted.seconds if by_forwarder else arrived / seconds) / 1e6,
            cycles_per_packet=counted.busy_cycles / delivered,
            load_busy=load.busy_cycles / (load.tsc_hz * seconds),
            waited=waited / seconds)

    def _schedules(self):
        return self._forwarder.schedules(), self._load.process.schedules()

    def _arrived(self, load):
        """Packets of the load that count: those that came, or those the ring took."""
        return load.received if self._case.ends_at_guest else load.sent

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
                for path in self._sockets + [self._cable]:
                    if os.path.exists(path):
                        os.unlink(path)
        return last_words
