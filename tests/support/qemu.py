# SPDX-License-Identifier: BSD-3-Clause
"""Real guests: QEMU under TCG with Debian's kernel and a busybox, one virtio-net device on a vhost-user socket.

    with Rig({}, {"form": "legacy"}) as rig:
        rig.boot()
        rig.wire.ping(rig["vm1"].address)
        print(rig["vm0"].run("ip addr"))
        rig.dptap.stop()

Commands reach the guest over a virtio port (tests/support/guest-init obeys it), so they do not depend on the network
that is being tested.
"""

import base64
import contextlib
import ctypes
import functools
import hashlib
import itertools
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import threading
import time

from dptap import Dptap, guest, uplink
from netns import Wire
from testing import Failure, check, equal, wait_until

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = "qemu-system-x86_64"

BOOT_DEADLINE = 120.0
"""Seconds; a guest boots in four on an idle machine."""

FORMS = {
    "transitional": {},
    "modern": {"disable-legacy": True, "disable-modern": False},
    "legacy": {"disable-legacy": False, "disable-modern": True},
}

FEATURES = {
    "csum": 0, "guest_csum": 1, "mtu": 3, "guest_tso4": 7, "guest_tso6": 8, "guest_ecn": 9, "guest_ufo": 10,
    "host_tso4": 11, "host_tso6": 12, "host_ecn": 13, "host_ufo": 14, "mrg_rxbuf": 15, "guest_announce": 21, "mq": 22,
    "notify_on_empty": 24, "any_layout": 27, "indirect_desc": 28, "event_idx": 29, "version_1": 32, "packed": 34,
    "in_order": 35,
}
"""Bit numbers by the names that QEMU gives its properties (virtio 1.2, 5.1.3 and 6)."""

SHA256_PORT = 7000
"""A TCP port of the guest: answers with the SHA-256 of what it is sent."""

DATA_PORT = 7001
"""Another one: sends what make_data() has made."""

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1


@functools.cache
def image():
    """The directory with the guest's kernel and initrd; made when it is not there."""
    done = subprocess.run([os.path.join(ROOT, "scripts", "guest-image")], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failure(f"scripts/guest-image: {done.stderr.strip()}")
    return done.stdout.strip()


def die_with_parent():
    """Run in a child before its program: SIGKILL to it when we are gone, however we went."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def mac_of(number, nic=0):
    """The MAC address of guest `number`, or of a further NIC of it."""
    return f"52:54:00:{nic:02x}:01:{number:02x}"


def address_of(number):
    """The IPv4 address of guest `number`; the far end of the uplink has 192.0.2.1."""
    return f"192.0.2.{10 + number}"


def address6_of(number):
    """The IPv6 address of guest `number`, for those that have one; the far end of the uplink has 2001:db8::1."""
    return f"2001:db8::{10 + number}"


def features_of(port):
    """The names of the features that a guest has negotiated, from its /dptap/port."""
    bits = int(port["features"], 16)
    return {name for name, bit in FEATURES.items() if bits >> bit & 1}


class Nic:
    """One virtio-net device on a vhost-user socket.

    server    the socket is QEMU's (dptap is in client mode), else QEMU connects and reconnects to dptap's
    form      transitional, modern or legacy: how the device shows itself
    queues    queue pairs
    options   further properties of the device: {"packed": True, "host_tso4": False, "rx_queue_size": 1024}
    """

    def __init__(self, socket_path, mac=None, server=False, form="transitional", queues=1, options=None):
        self.socket = socket_path
        self.mac = mac
        self.server = server
        self.form = form
        self.queues = queues
        self.options = options or {}

    def arguments(self, number, place=""):
        """QEMU's arguments for the device, whose ids end in this number."""
        # vectors=0: QEMU 7.2 without KVM crashes when a vhost-user device uses MSI-X
        properties = {"netdev": f"n{number}", "romfile": "", "vectors": 0, **FORMS[self.form], **self.options}
        network = f"vhost-user,id=n{number},chardev=c{number}"
        if self.mac:
            properties["mac"] = self.mac
        if self.queues > 1:
            properties["mq"] = True
            network += f",queues={self.queues}"
        words = {True: "on", False: "off"}
        device = ",".join(f"{key}={words[value] if isinstance(value, bool) else value}"
                          for key, value in properties.items())
        end = "server=on,wait=off" if self.server else "reconnect=1"
        return ["-chardev", f"socket,id=c{number},path={self.socket},{end}", "-netdev", network,
                "-device", f"virtio-net-pci,{device}{place}"]


MEMORY_MIB = 128
"""Linux has room to boot in it; with hotplug, modules are plugged in behind it, at multiples of 128 MiB."""

MEMORY_KIB_LESS = 8
"""The memory is not a multiple of 64 pages: QEMU before 9.0 takes the dirty bits of so aligned memory 64 at a time, and
forgets to tell its interpreter that these pages are clean again. What the guest's CPU then writes to them is not
migrated."""


class Qemu:
    """One virtual machine, with one NIC (Nic has the keywords for it) or several.

    more_nics     those behind the first one
    address       IPv4 address of the first one; without it none is up when the guest has booted
    address6      its IPv6 address; without it the guest has no IPv6
    smp           CPUs
    memory_mib    its size; a NIC whose receive buffers take 64 KiB frames needs 16 of them
    hotplug       leave slots and address space for plug_memory()
    paused        do not start the CPU: the device is connected, and no driver will ever come
    incoming      do not start the CPU: take the machine that another's migrate_to() brings
    """

    def __init__(self, name, socket_path, directory, *, mac=None, address=None, address6=None, more_nics=(),
                 smp=1, memory_mib=MEMORY_MIB, hotplug=False, paused=False, incoming=False, **nic):
        self.name = name
        self.nics = [Nic(socket_path, mac, **nic), *more_nics]
        self.mac = mac
        self.address = address
        self.address6 = address6
        self.smp = smp
        self.memory_mib = memory_mib
        self.hotplug = hotplug
        self.paused = paused
        self.incoming = incoming
        self.boot_id = None
        self.process = None
        self._directory = directory
        self._qmp = self._agent = None
        self._received = b""
        self._ids = itertools.count(1)
        self._plugged = 0

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.kill()

    # life --------------------------------------------------------------------------------------------------------

    def path(self, kind):
        """A file of this machine: agent, qmp (sockets), console, log (texts)."""
        return os.path.join(self._directory, f"{self.name}.{kind}")

    def command(self):
        """The command line."""
        images = image()
        memory = f"{(self.memory_mib << 10) - (0 if self.hotplug else MEMORY_KIB_LESS)}K"
        kernel = "console=ttyS0 quiet panic=-1 tsc=reliable no_timer_check mitigations=off reboot=t"
        if self.hotplug:
            # memory above 4 GiB makes the kernel set 64 MiB of bounce buffers aside: half of what there is
            kernel += " swiotlb=noforce"
        if self.address:
            kernel += f" gip={self.address}/24"
        kernel += f" gip6={self.address6}/64" if self.address6 else " ipv6.disable=1"
        return [
            PROGRAM, "-accel", "tcg", "-cpu", "qemu64", "-M", "pc", "-smp", str(self.smp),
            "-m", f"{memory},slots=2,maxmem=512M" if self.hotplug else memory,
            "-object", f"memory-backend-memfd,id=m0,size={memory},share=on", "-numa", "node,memdev=m0",
            "-nodefaults", "-display", "none",
            "-chardev", f"file,id=con,path={self.path('console')},append=on", "-serial", "chardev:con",
            "-chardev", f"socket,id=agent,path={self.path('agent')},server=on,wait=off",
            "-device", "virtio-serial-pci,vectors=0", "-device", "virtserialport,chardev=agent,nr=1",
            "-qmp", f"unix:{self.path('qmp')},server=on,wait=off",
            *self._network(),
            "-kernel", f"{images}/kernel", "-initrd", f"{images}/initrd", "-append", kernel,
            *(["-S"] if self.paused else []),
            *(["-incoming", f"unix:{self.path('incoming')}"] if self.incoming else []),
        ]

    def _network(self):
        arguments = self.nics[0].arguments(0)
        for number, nic in enumerate(self.nics[1:], 1):
            # from slot 8 on there are 24, and eight functions in each
            function, slot = divmod(number - 1, 24)
            arguments += nic.arguments(number, f",addr={8 + slot:#x}.{function:#x},multifunction=on")
        return arguments

    def start(self):
        """Start QEMU and its boot; returns at once."""
        command = self.command()
        for kind in ("agent", "qmp", "incoming"):
            if os.path.exists(self.path(kind)):
                os.unlink(self.path(kind))
        with open(self.path("log"), "ab") as log:
            log.write(f"$ {shlex.join(command)}\n".encode())
            log.flush()
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True, preexec_fn=die_with_parent)
        self._received = b""
        self._plugged = 0

    def alive(self):
        """Whether the process runs."""
        return self.process is not None and self.process.poll() is None

    def _open(self, kind):
        def attempt():
            if not self.alive():
                raise Failure(f"QEMU {self.name} has ended with {self.process.returncode}:\n{self.log()}")
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                connection.connect(self.path(kind))
            except OSError:
                connection.close()
                return None
            return connection

        return wait_until(attempt, f"the {kind} socket of QEMU {self.name}", pause=0.01)

    def attach(self):
        """Connect to the guest's command port; early, as nothing keeps what the guest says to nobody."""
        if self._agent is None:
            self._agent = self._open("agent")

    def wait_ready(self):
        """Wait until the guest has booted (again) and obeys commands."""
        self.attach()
        found = self._answer(re.compile(rb"^ready ([-0-9a-f]+)\n", re.MULTILINE), BOOT_DEADLINE, "boot")
        self.boot_id = found[1].decode()

    def log(self):
        """The last lines of what QEMU and the guest's console said."""
        text = []
        for kind in ("log", "console"):
            if os.path.exists(self.path(kind)):
                with open(self.path(kind), encoding="utf-8", errors="replace") as file:
                    text += [f"{kind}: {line.rstrip()}" for line in file.readlines()[-15:]]
        return "\n".join(text)

    def kill(self):
        """SIGKILL, as when the host's memory killer finds it. Its process is gone when this returns."""
        for connection in (self._agent, self._qmp):
            if connection:
                connection.close()
        self._agent = self._qmp = None
        if self.process:
            self.process.kill()
            self.process.wait()

    def freeze(self):
        """SIGSTOP to QEMU: neither the guest nor its device does anything any more."""
        self.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: self._state() in "Tt", f"QEMU {self.name} to stop")

    def thaw(self):
        """SIGCONT."""
        self.process.send_signal(signal.SIGCONT)

    def _state(self):
        # all threads: the one that runs the guest may stop after the one that got the signal
        states = set()
        for thread in os.listdir(f"/proc/{self.process.pid}/task"):
            with open(f"/proc/{self.process.pid}/task/{thread}/stat", encoding="ascii", errors="replace") as file:
                states.add(file.read().rsplit(")", 1)[1].split()[0])
        return states.pop() if len(states) == 1 else "mixed"

    # commands in the guest -----------------------------------------------------------------------------------------

    def _answer(self, pattern, deadline, what):
        """Read from the command port until the pattern is found; returns the match and forgets what was before."""
        end = time.monotonic() + deadline
        while True:
            match = pattern.search(self._received)
            if match:
                self._received = self._received[match.end():]
                return match
            self._agent.settimeout(max(0.01, end - time.monotonic()))
            try:
                data = self._agent.recv(65536)
            except TimeoutError:
                data = None
            except ConnectionError:
                data = b""
            if data is None or time.monotonic() > end:
                raise Failure(f"guest {self.name}: no answer in {deadline:.0f} s to: {what}\n{self.log()}")
            if not data:
                raise Failure(f"QEMU {self.name} has ended while waiting for: {what}\n{self.log()}")
            self._received += data

    def begin(self, script, seconds=60):
        """Hand a shell script to the guest; returns a function that waits for its end, as run() does."""
        number = b"%d.%d" % (os.getpid(), next(self._ids))
        line = b"%s %d %s\n" % (number, seconds, base64.b64encode(script.encode()))
        self._agent.settimeout(10)
        self._agent.sendall(line)

        def finish(checked=True):
            pattern = re.compile(rb"^%s begin\n(.*?)%s end (\d+)\n" % (re.escape(number), re.escape(number)),
                                 re.MULTILINE | re.DOTALL)
            match = self._answer(pattern, seconds + 60, script)
            text = base64.b64decode(match[1]).decode(errors="replace")
            if checked and match[2] != b"0":
                raise Failure(f"guest {self.name}: {script}: exit status {match[2].decode()}: {text}")
            return text

        return finish

    def run(self, script, seconds=60, checked=True):
        """Run a shell script in the guest; returns what it printed; its exit status must be 0."""
        return self.begin(script, seconds)(checked)

    def make_data(self, n_bytes):
        """A file of random bytes in the guest for its DATA_PORT; returns its SHA-256."""
        return self.run(f"head -c {n_bytes} /dev/urandom >/tmp/data && sha256sum </tmp/data").split()[0]

    def ping(self, address, count=5, size=56):
        """Ping from the guest; every request must be answered."""
        self.run(f"for i in $(seq {count}); do ping -c 1 -W 20 -s {size} {address} || exit 1; done")

    def received_packets(self):
        """How many packets the guest's network device has received."""
        return int(self.run("cat /sys/class/net/eth0/statistics/rx_packets"))

    def sent_packets(self):
        """How many packets it has sent."""
        return int(self.run("cat /sys/class/net/eth0/statistics/tx_packets"))

    # QEMU's monitor --------------------------------------------------------------------------------------------------

    def qmp(self, execute, **arguments):
        """One command to QEMU's monitor; returns its answer."""
        if self._qmp is None:
            self._qmp = self._open("qmp")
            self._qmp.settimeout(30)
            self._qmp_lines = self._qmp.makefile("rb")
            json.loads(self._qmp_lines.readline())
            self.qmp("qmp_capabilities")
        self._qmp.sendall(json.dumps({"execute": execute, "arguments": arguments}).encode() + b"\n")
        while True:
            line = self._qmp_lines.readline()
            if not line:
                raise Failure(f"QEMU {self.name} has ended during {execute}\n{self.log()}")
            answer = json.loads(line)
            if "error" in answer:
                raise Failure(f"QEMU {self.name}: {execute}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def migrate_to(self, other):
        """Live migration into a machine that was made with incoming=True, and runs when this returns.

        What guests say meanwhile on the command port is lost: run no command then. Returns QEMU's account of it.
        """
        # its monitor answers once it listens; that the socket's file is there says less
        wait_until(lambda: other.qmp("query-status")["status"] == "inmigrate", f"QEMU {other.name} to listen",
                   pause=0.01)
        other.attach()
        self.qmp("migrate", uri=f"unix:{other.path('incoming')}")
        status = {}

        def ended():
            status.update(self.qmp("query-migrate"))
            return status.get("status") in ("completed", "failed", "cancelled")

        wait_until(ended, lambda: f"the end of a migration: {status}", 180, 0.02)
        check(status["status"] == "completed", f"the migration of {self.name} has {status['status']}: "
              f"{status.get('error-desc', 'no word why')}\n{self.name}: {self.log()}\n{other.name}: {other.log()}")
        wait_until(lambda: other.qmp("query-status")["running"], f"QEMU {other.name} to run", pause=0.01)
        other.boot_id = self.boot_id
        return status

    def plug_memory(self, mib=128):
        """Hot-plug a memory module (Linux wants multiples of 128 MiB); the guest has it online when this returns."""
        before = self.memory_kib()
        name = f"plugged{self._plugged}"
        self._plugged += 1
        self.qmp("object-add", **{"qom-type": "memory-backend-memfd", "id": f"{name}m", "size": mib << 20,
                                  "share": True})
        self.qmp("device_add", driver="pc-dimm", id=name, memdev=f"{name}m")
        online = "for m in /sys/devices/system/memory/memory*/state; do grep -q offline $m && echo online >$m; done"
        wait_until(lambda: self.run(f"{online}; true") is not None and self.memory_kib() >= before + mib * 1000,
                   f"guest {self.name} to see {mib} MiB more", pause=0.05)

    def memory_kib(self):
        """MemTotal in the guest."""
        return int(self.run("sed -n 's/MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo"))


def nic_name(number, nic):
    """The name that a guest of dptap has for a NIC of machine `number`."""
    return f"vm{number}.{nic}" if nic else f"vm{number}"


class Rig:
    """A dptap between a wire and some machines vm0, vm1, ...: `wire`, `dptap`, and each machine by its name.

    Each machine is a dict of Qemu's keywords. Beside them:

    learnt      leave its MAC address to dptap to learn
    settings    further settings of the guest in dptap
    nics        a list of dicts of Nic's keywords, for the machine's further NICs: guests vm0.1, vm0.2, ... of dptap
    ipv6        give it an IPv6 address
    """

    def __init__(self, *machines, queue_len=1000, wire=None, **more):
        self._machines = machines
        self._queue_len = queue_len
        self._more = more
        self._stack = contextlib.ExitStack()
        self.wire = wire or Wire(ipv6=any(machine.get("ipv6") for machine in machines))
        self.dptap = None
        self.guests = {}

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            stack.callback(self.kill_guests)
            stack.enter_context(self.wire)
            arguments = [uplink(self.wire.device, queue_len=self._queue_len)]
            for number, machine in enumerate(self._machines):
                arguments += self._arguments(number, machine)
            self.dptap = stack.enter_context(Dptap(*arguments, vdevs=[self.wire.vdev], **self._more))
            for number, machine in enumerate(self._machines):
                self.guests[f"vm{number}"] = self._machine(number, machine)
            self._stack = stack.pop_all()
        return self

    def _arguments(self, number, machine):
        """dptap's arguments for a machine: a guest for each NIC."""
        arguments = []
        for nic, keywords in enumerate([machine, *machine.get("nics", ())]):
            settings = {"queue_len": self._queue_len, **machine.get("settings", {})}
            if not machine.get("learnt"):
                settings["mac"] = mac_of(number, nic)
            if keywords.get("server"):
                settings["socket_mode"] = "client"
            arguments.append(guest(nic_name(number, nic), **settings))
        return arguments

    def _machine(self, number, machine):
        keywords = {key: value for key, value in machine.items() if key not in ("learnt", "settings", "nics", "ipv6")}
        more = [Nic(self.dptap.socket(nic_name(number, nic)), mac_of(number, nic), **nic_keywords)
                for nic, nic_keywords in enumerate(machine.get("nics", ()), 1)]
        return Qemu(f"vm{number}", self.dptap.socket(f"vm{number}"), self.dptap.dir, mac=mac_of(number),
                    address=address_of(number), address6=address6_of(number) if machine.get("ipv6") else None,
                    more_nics=more, **keywords)

    def __exit__(self, *what):
        return self._stack.__exit__(*what)

    def __getitem__(self, name):
        return self.guests[name]

    def kill_guests(self):
        """All machines at once."""
        for one in self.guests.values():
            one.kill()

    def boot(self, *names):
        """Start these machines (all of them without names) side by side and wait until each answers a ping."""
        names = names or tuple(self.guests)
        for name in names:
            self[name].start()
            self[name].attach()
        for name in names:
            self[name].wait_ready()
        for name in names:
            self.dptap.wait_state(name, "RUNNING")
            self.wire.wait_for(self[name].address)

    def from_wire(self):
        """How many packets dptap has taken from the wire so far."""
        return self.dptap.port(self.wire.device)["port_rx"]["received"]

    def flood(self, name, count):
        """That many frames from the wire to a machine, none lost before dptap."""
        self.wire.flood(self[name].mac, count, self.from_wire)

    def into(self, name, n_bytes):
        """TCP from the wire into a machine; the checksum must be right at its end."""
        data = os.urandom(n_bytes)
        answer = self.wire.converse(self[name].address, SHA256_PORT, data).decode()
        equal(answer.split()[:1], [hashlib.sha256(data).hexdigest()], f"SHA-256 of {n_bytes} bytes by TCP into {name}")

    def out_of(self, name, n_bytes):
        """TCP from a machine to the wire, likewise."""
        self.fetch(name, self[name].make_data(n_bytes))

    def fetch(self, name, digest):
        """The second half of out_of(): the machine has the data already."""
        data = self.wire.converse(self[name].address, DATA_PORT)
        equal(hashlib.sha256(data).hexdigest(), digest, f"SHA-256 of {len(data)} bytes by TCP out of {name}")

    def between(self, sender, receiver, n_bytes):
        """TCP from one machine to another, likewise."""
        digest = self[sender].make_data(n_bytes)
        answer = self[sender].run(f"nc -w 10 {self[receiver].address} {SHA256_PORT} </tmp/data")
        equal(answer.split()[:1], [digest], f"SHA-256 of {n_bytes} bytes by TCP from {sender} to {receiver}")

    def check_drops(self, *reasons):
        """Nothing was dropped so far but for these reasons; the books come to rest and are exact."""
        self.dptap.settle()
        other = {key: n for key, n in self.dptap.drops().items() if key[0] not in reasons}
        check(not other, f"drops for other reasons than {', '.join(reasons)}: {other}")

    @contextlib.contextmanager
    def repeating(self, step):
        """Call a function again and again in a thread beside the block; yields a list that grows with each round.

        An exception of it is raised at the block's end, or told with the block's own, of which it may be the cause.
        """
        rounds, problem, enough = [], [], threading.Event()

        def run():
            try:
                while not enough.is_set():
                    step()
                    rounds.append(1)
            except Exception as error:  # pylint: disable=broad-except
                problem.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield rounds
        except Exception as error:
            if problem:
                error.add_note(f"a round of traffic had failed: {problem[0]!r}")
            raise
        finally:
            enough.set()
            thread.join(180)
        if problem:
            raise problem[0]
        check(not thread.is_alive(), "a round of traffic did not end")
