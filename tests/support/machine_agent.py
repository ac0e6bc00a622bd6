# SPDX-License-Identifier: BSD-3-Clause
"""Obeys the test that booted this machine: the last thing that tests/support/machine-init starts.

A virtio port takes one request a line, NUMBER BASE64, and gives one answer a line, NUMBER BASE64. Behind the base64 is
a Python literal: (name of a function below, its arguments) one way, ("ok", its result) or ("failed", why) the other.
"""

import ast
import base64
import ctypes
import glob
import os
import shutil
import socket
import subprocess
import sys
import time
import traceback

_children = {}
_telemetry = {}
_guests = {}


def run(*command):
    """Run a program; (exit status, what it printed)."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          check=False)
    return done.returncode, done.stdout.decode(errors="replace")


def begin(command, out, err):
    """Start a program with its output in files; its process id."""
    with open(out, "wb") as out_file, open(err, "wb") as err_file:
        # pylint: disable=consider-using-with
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out_file, stderr=err_file)
    _children[child.pid] = child
    return child.pid


def poll(pid):
    """The exit status of what begin() started, None while it runs."""
    return _children[pid].poll()


def say(pid, data):
    """Write to its standard input."""
    _children[pid].stdin.write(data)
    _children[pid].stdin.flush()


def kill(pid, number):
    """Send it a signal."""
    if _children[pid].poll() is None:
        os.kill(pid, number)


def read(path):
    """What is in a file, in bytes."""
    with open(path, "rb") as file:
        return file.read()


def write(path, text):
    """Overwrite a file, also one of the kernel's."""
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def narrow(directory, names):
    """Leave only these files in a directory of the host's, as far as this machine sees it."""
    few = "/run/" + os.path.basename(directory)
    os.mkdir(few)
    for name in names:
        # links stay links: one that became a file would be loaded a second time
        shutil.copyfile(os.path.join(directory, name), os.path.join(few, name), follow_symlinks=False)
    status, text = run("mount", "--bind", few, directory)
    if status:
        raise OSError(text)


def bind(device, driver):
    """Give a PCI device to a driver."""
    place = f"/sys/bus/pci/devices/{device}"
    if os.path.exists(f"{place}/driver"):
        write(f"{place}/driver/unbind", device)
    write(f"{place}/driver_override", driver)
    write(f"/sys/bus/pci/drivers/{driver}/bind", device)


def ask(path, command, repeatedly=1):
    """A telemetry command's (last) answer; the connection stays."""
    if path not in _telemetry:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.settimeout(30)
        connection.connect(path)
        connection.recv(16384)
        _telemetry[path] = connection
    for _ in range(repeatedly):
        _telemetry[path].send(command)
        answer = _telemetry[path].recv(65536)
    return answer


def forget(path):
    """Close that connection."""
    if path in _telemetry:
        _telemetry.pop(path).close()


def _bind_memory(memory, node):
    """Have the memory of a guest, of which nothing has been used yet, on this NUMA node, whoever uses it first."""
    for region in memory.regions:
        first = ctypes.c_char.from_buffer(region.map)
        ctypes.CDLL("libnuma.so.1").numa_tonode_memory(ctypes.c_void_p(ctypes.addressof(first)),
                                                       ctypes.c_size_t(region.size), ctypes.c_int(node))
        del first  # or the mapping could not be closed


def guest_up(path, features, node=None):
    """Bring a guest of guest.py up on a socket of dptap's, with its memory on a NUMA node; what features it has got."""
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    from guest import Guest  # pylint: disable=import-outside-toplevel
    _guests[path] = Guest(path, features)
    if node is not None:
        _bind_memory(_guests[path].memory, node)
    _guests[path].up()
    _guests[path].keep_given()
    return _guests[path].features


def guest_send(path, header, frame):
    """It sends a frame."""
    _guests[path].send(frame, header)


def guest_poll(path):
    """(header, frame) of each that it has received since the last call."""
    return [(received.header, received.frame) for received in _guests[path].poll()]


def guest_down(path):
    """It goes."""
    _guests.pop(path).close()


def _obey(request):
    name, args = ast.literal_eval(base64.b64decode(request).decode())
    try:
        return "ok", globals()[name](*args)
    except Exception:  # pylint: disable=broad-except
        return "failed", traceback.format_exc()


def _write(port, data):
    """All of it: the port takes 32 KiB at a time."""
    while data:
        data = data[port.write(data):]


def _main():
    while not (ports := glob.glob("/dev/vport*p1")):
        time.sleep(0.05)
    with open(ports[0], "r+b", buffering=0) as port:
        port.write(b"ready\n")
        waiting = b""
        while True:
            data = port.read(65536)
            if not data:  # nobody holds the other end yet
                time.sleep(0.05)
            *lines, waiting = (waiting + data).split(b"\n")
            for line in lines:
                number, request = line.split()
                answer = base64.b64encode(repr(_obey(request)).encode())
                _write(port, number + b" " + answer + b"\n")


if __name__ == "__main__":
    sys.exit(_main())
