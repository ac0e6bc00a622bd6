# SPDX-License-Identifier: BSD-3-Clause
"""The show itself; scripts/demo prepares and starts it."""

import argparse
import contextlib
import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))

# pylint: disable=wrong-import-position
from netns import Wire
from qemu import DATA_PORT, SHA256_PORT, Qemu, address_of, die_with_parent, mac_of
from testing import Failure, wait_until

MIB = 1 << 20
QUEUE_LEN = 1000
FLOOD = 5000
TALKING = sys.stdout.isatty()


class Interrupted(Exception):
    """Ctrl-C, or a polite kill."""


def paint(code, text):
    return f"\x1b[{code}m{text}\x1b[0m" if TALKING else text


def title(text):
    print("\n" + paint(1, text), flush=True)


def step(text):
    print(f"  {paint(32, '✓')} {text}", flush=True)


def step_failed(text):
    print(f"  {paint(31, '✗')} {text}", file=sys.stderr, flush=True)


class Program:
    """dptap, running as a user would run it."""

    def __init__(self, name, directory, wire):
        self.prefix = name
        self.log_path = os.path.join(directory, "dptap.log")
        self.out_path = os.path.join(directory, "dptap.out")
        self.telemetry_path = f"/var/run/dpdk/{name}/dpdk_telemetry.v2"
        cpus = sorted(os.sched_getaffinity(0))
        lcores = ["-l", f"{cpus[0]},{cpus[1]}"] if len(cpus) > 1 else ["--lcores", f"0@{cpus[0]},1@{cpus[0]}"]
        self.command = [
            os.environ["DPTAP"], *lcores, "--no-huge", "-m", "512", "--no-pci", "--file-prefix", name,
            "--vdev", wire.vdev, "--",
            "--uplink", wire.device,
            "--guest", f"vm0,socket={directory}/vm0.sock,mac={mac_of(0)},queue_len={QUEUE_LEN}",
        ]
        self.process = None
        self._telemetry = None

    def start(self):
        with open(self.log_path, "wb") as log, open(self.out_path, "wb") as out:
            # a session of its own: Ctrl-C reaches us alone, and we stop things in the right order
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=out, stderr=log,
                                            start_new_session=True, preexec_fn=die_with_parent)
        return wait_until(self._ready, "dptap to be ready", 30, 0.01)

    def _ready(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            found = re.search(r"dptap: ready: (.*);", file.read())
        if self.process.poll() is not None:
            raise Failure(f"dptap ended with exit status {self.process.returncode}")
        return found and found[1]

    def ask(self, command):
        """One question to DPDK's telemetry socket."""
        if not self._telemetry:
            self._telemetry = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self._telemetry.settimeout(10)
            self._telemetry.connect(self.telemetry_path)
            self._telemetry.recv(16384)
        self._telemetry.send(command.encode())
        return json.loads(self._telemetry.recv(65536))[command.split(",")[0]]

    def settled(self, held):
        """Wait until nothing moves and that many packets wait in lanes."""
        seen = []

        def still():
            now = self.ask("/dptap/balance")
            seen.append(now)
            return len(seen) > 1 and now == seen[-2] and now["balanced"] == "yes" and now["held"] == held

        wait_until(still, lambda: f"the books to come to rest with {held} packets held: {seen[-1]}", 20, 0.01)
        return seen[-1]

    def stop(self):
        """SIGTERM; returns the exit status and the last line it printed."""
        if self._telemetry:
            self._telemetry.close()
        self.process.terminate()
        status = self.process.wait(20)
        with open(self.out_path, encoding="utf-8", errors="replace") as file:
            return status, (file.read().splitlines() or ["nothing"])[-1]

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(f"/var/run/dpdk/{self.prefix}", ignore_errors=True)


@contextlib.contextmanager
def directory_of(name):
    """Where sockets and logs live; the logs are kept beside the build, the rest is removed."""
    path = f"/run/{name}"
    shutil.rmtree(path, ignore_errors=True)
    os.mkdir(path, 0o700)
    try:
        yield path
    finally:
        kept = logs_kept(name)
        shutil.rmtree(kept, ignore_errors=True)
        os.makedirs(kept)
        for entry in os.scandir(path):
            if entry.is_file(follow_symlinks=False):
                shutil.copy(entry.path, kept)
        shutil.rmtree(path)


def logs_kept(name):
    return os.path.join(os.environ["DPTAP_DEMO_LOGS"], name)


def only_one(name):
    """Hold a name that the kernel takes back when we are gone, however we go."""
    lock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        lock.bind(f"\0{name}")
    except OSError as error:
        raise Failure(f"another demo called {name} is running; scripts/demo --name OTHER runs beside it") from error
    return lock


def table(rows):
    """Print rows in columns; numbers to the right."""
    widths = [max(len(str(row[i])) for row in rows) for i in range(len(rows[0]))]
    for number, row in enumerate(rows):
        line = "  ".join(f"{cell:>{w}}" if isinstance(cell, int) else f"{cell:<{w}}" for cell, w in zip(row, widths))
        print("  " + (paint(4, line.rstrip()) if number == 0 else line.rstrip()), flush=True)


def picture(*parts):
    """A chain of things, each a word or a word and the one below it."""
    pairs = [part if isinstance(part, tuple) else (part, "") for part in parts]
    widths = [max(map(len, pair)) for pair in pairs]
    above = "".join(f"{top} {'─' * (w - len(top) + 2)} " for (top, _), w in zip(pairs, widths)).rstrip(" ─")
    below = "".join(f"{bottom:<{w + 4}}" for (_, bottom), w in zip(pairs, widths)).rstrip()
    print(f"    {above}\n    {below}", flush=True)


def drop_rows(dptap):
    """(port, direction, reason, cause, packets), the most first."""
    rows = []
    for port in dptap.ask("/dptap/ports").values():
        drops = dptap.ask(f"/dptap/drops,{port['name']}")
        for direction in ("from_guest", "to_guest", "port_rx", "port_tx"):
            for reason, causes in (drops.get(direction) or {}).items():
                rows += [(port["name"], direction, reason, cause, n) for cause, n in causes.items() if n]
    return sorted(rows, key=lambda row: -row[-1])


def move_traffic(wire, guest):
    wire.ping(guest.address)
    step(f"ping: the namespace asked {guest.address} 5 times, and 5 answers came")
    guest.ping(wire.address)
    step(f"ping: the guest asked {wire.address} 5 times, and 5 answers came")

    data = os.urandom(8 * MIB)
    start = time.monotonic()
    answer = wire.converse(guest.address, SHA256_PORT, data).decode().split()
    digest = hashlib.sha256(data).hexdigest()
    if answer[:1] != [digest]:
        raise Failure(f"TCP to the guest: SHA-256 {digest} was sent, {' '.join(answer)} arrived")
    step(f"TCP: 8 MiB into the guest in {time.monotonic() - start:.1f} s, SHA-256 {digest[:12]}… at both ends")

    digest = guest.make_data(8 * MIB)
    start = time.monotonic()
    found = hashlib.sha256(wire.converse(guest.address, DATA_PORT)).hexdigest()
    if found != digest:
        raise Failure(f"TCP from the guest: SHA-256 {digest} was sent, {found} arrived")
    step(f"TCP: 8 MiB out of the guest in {time.monotonic() - start:.1f} s, SHA-256 {digest[:12]}… at both ends")


def stall(dptap, wire, guest):
    def to_guest():
        return dptap.ask("/dptap/port,vm0")["to_guest"]

    dptap.settled(held=0)
    before = to_guest()
    guest.freeze()
    step("the guest is frozen: QEMU got a SIGSTOP and takes nothing any more")
    wire.flood(guest.mac, FLOOD, lambda: dptap.ask(f"/dptap/port,{wire.device}")["port_rx"]["received"])
    dptap.settled(held=QUEUE_LEN)
    now = to_guest()
    moved = {key: now[key] - before[key] for key in ("delivered", "dropped", "held")}
    step(f"{FLOOD} frames were sent to it: {moved['delivered']} went into its receive ring, {moved['held']} wait in the"
         f" lane before it, {moved['dropped']} dropped")
    if sum(moved.values()) != FLOOD:
        raise Failure(f"{moved} make {sum(moved.values())} frames, not {FLOOD}")
    guest.thaw()
    dptap.settled(held=0)
    step(f"the guest runs again and got the {QUEUE_LEN} that waited")


def show_books(dptap):
    title("Where the packets went   (telemetry: /dptap/drops)")
    rows = drop_rows(dptap)
    table([("port", "direction", "reason", "cause", "packets"), *rows])
    _, _, reason, cause, _ = rows[0]
    text = dptap.ask(f"/dptap/explain,{cause}")
    title(f"What {reason} / {cause} means   (telemetry: /dptap/explain,{cause})")
    for key, label in (("what", "what happened"), ("culprit", "usual culprit"), ("remedy", "what to do")):
        print(f"  {label + ':':<15}{text[key]}")
    title("Do the books balance?   (telemetry: /dptap/balance)")
    b = dptap.settled(held=0)
    verdict = "exact" if b["difference"] == 0 else f"WRONG by {b['difference']}"
    print(f"  received {b['received']} + created {b['created']} = delivered {b['delivered']} + dropped {b['dropped']} "
          f"+ held {b['held']}: {verdict}", flush=True)


def keep_up(name):
    title("It stays up for you to look around; Ctrl-C ends it")
    print(f"  dpdk-telemetry.py -f {name}                 /dptap/ports, /dptap/drops,vm0, /help,/dptap/drops …")
    print(f"  ip netns exec {name} ping {address_of(0)}", flush=True)
    with contextlib.suppress(Interrupted):
        while True:
            signal.pause()


def show(name, keep, state):
    with contextlib.ExitStack() as stack:
        stack.enter_context(only_one(name))
        directory = stack.enter_context(directory_of(name))

        title("Starting")
        wire = Wire(near=f"{name[:14]}0", namespace=name)
        wire.stop()  # what a demo that was killed may have left
        stack.enter_context(wire)
        step(f"a network namespace {name}: its net0 ({wire.address}) is wired to {wire.near} here")
        dptap = Program(name, directory, wire)
        stack.callback(dptap.kill)
        step(f"dptap runs: {dptap.start()}")
        guest = Qemu("vm0", f"{directory}/vm0.sock", directory, mac=mac_of(0), address=address_of(0))
        stack.callback(guest.kill)
        start = time.monotonic()
        guest.start()
        guest.wait_ready()
        wire.wait_for(guest.address)
        step(f"the guest vm0 ({guest.address}) booted in QEMU in {time.monotonic() - start:.1f} s")

        print()
        picture(("net0", wire.address), "veth", (wire.near, "net_af_packet"), "dptap",
                ("vm0.sock", "vhost-user"), "QEMU", ("eth0", guest.address))

        title("Moving traffic")
        move_traffic(wire, guest)
        title("Stalling the guest")
        stall(dptap, wire, guest)
        show_books(dptap)
        if keep:
            keep_up(name)

        title("Cleaning up")
        state["cleaning"] = True
        guest.kill()
        status, verdict = dptap.stop()
        if status != 0 or ": exact; mbufs " not in verdict:
            raise Failure(f"dptap ended with exit status {status}: {verdict}")
        step("dptap was stopped; its last words:")
        print(f"    {verdict}")
        state["command"] = re.sub(" (--vdev|-- --uplink|--guest)", r" \\\n        \1", shlex.join(dptap.command))
    places = (f"/run/{name}", f"/run/netns/{name}", f"/sys/class/net/{wire.near}", f"/var/run/dpdk/{name}")
    left = [path for path in places if os.path.lexists(path)]
    if left:
        raise Failure(f"still there: {', '.join(left)}")
    step("no process, namespace, link or socket is left")


def what_next(name, command, keep):
    title("What next")
    print(f"""  dptap was run as:
    {command}
  Its logs, and the guest's: {os.path.relpath(logs_kept(name))}""")
    if not keep:
        print("  sudo scripts/demo --keep     stays up, for a look at the telemetry with dpdk-telemetry.py")
    print("  sudo scripts/test            passes every test")
    print("  README.md                    your own NIC and guests: QEMU and libvirt, every option, every reason",
          flush=True)


def main():
    parser = argparse.ArgumentParser(prog="scripts/demo")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--name", default="dptap-demo")
    options = parser.parse_args()
    state = {"cleaning": False}

    def interrupt(*_):
        if not state["cleaning"]:
            state["cleaning"] = True  # once is enough: what follows is quick
            raise Interrupted()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    try:
        show(options.name, options.keep, state)
    except Interrupted:
        step_failed("interrupted; what had been started is stopped and removed")
        return 130
    except (Failure, OSError, subprocess.SubprocessError) as problem:
        step_failed(str(problem))
        print(f"    logs: {logs_kept(options.name)}", file=sys.stderr)
        return 1
    what_next(options.name, state["command"], options.keep)
    return 0


if __name__ == "__main__":
    sys.exit(main())
