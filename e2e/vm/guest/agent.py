# SPDX-License-Identifier: Apache-2.0
"""The guest's end of machine.py: runs what the host asks for, several at a time, and sends files.

Speaks JSON lines over a virtio port. The host sends {"id", "run": argv, "env", "cwd", "slice", "seconds"},
{"id", "get": path}, {"id", "put": path, "mode", "data"}; the answers are {"id", "out": base64}* and one
{"id", "end": status or null, "error": text}. A first {"hello": boot id} says that the machine is up.
"""
import base64
import json
import os
import selectors
import signal
import subprocess
import threading
import time

PORT = "/dev/virtio-ports/berth.agent"
CHUNK = 48 * 1024


class Link:
    """The port: one reader, many writers, whole lines."""

    def __init__(self, path):
        self.file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self.lock = threading.Lock()

    def send(self, **message):
        data = json.dumps(message).encode() + b"\n"
        with self.lock:
            while data:
                data = data[os.write(self.file, data):]

    def send_data(self, number, data):
        self.send(id=number, out=base64.b64encode(data).decode())

    def lines(self):
        rest = b""
        while True:
            data = os.read(self.file, 65536)
            if not data:  # the host's end is closed just now
                time.sleep(0.05)
                continue
            *whole, rest = (rest + data).split(b"\n")
            yield from whole


def end_of(process, deadline, link, number):
    """Forwards the output until the program ends, and a moment longer: a daemon may hold the pipe open."""
    ended_at = None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if selector.select(0.2):
                data = os.read(process.stdout.fileno(), CHUNK)
                if not data:
                    break
                link.send_data(number, data)
            elif ended_at and time.monotonic() - ended_at > 1:
                break
            if ended_at is None and process.poll() is not None:
                ended_at = time.monotonic()
            if deadline and ended_at is None and time.monotonic() > deadline:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return None
    return process.wait()


def run(link, number, message):
    argv = message["run"]
    if message.get("scope"):
        # A delegated scope: below it systemd touches nothing. The program sits in a leaf of its own, because
        # a cgroup that gives controllers to its children has no processes itself.
        argv = ["systemd-run", "--scope", "--quiet", "--collect", "--slice=berth-test.slice",
                "--property=Delegate=yes", "--property=OOMPolicy=continue", "--unit=" + message["scope"],
                "/bin/sh", "/berth/in-leaf"] + argv
    environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root",
                   "LANG": "C.UTF-8", **message.get("env", {})}
    with subprocess.Popen(argv, env=environment, cwd=message.get("cwd", "/"), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True) as process:
        seconds = message.get("seconds")
        status = end_of(process, seconds and time.monotonic() + seconds, link, number)
    if status is None:
        link.send(id=number, end=None, error=f"killed after {seconds} s")
    else:
        link.send(id=number, end=status)


def get(link, number, message):
    with open(message["get"], "rb") as file:
        while data := file.read(CHUNK):
            link.send_data(number, data)
    link.send(id=number, end=0)


def put(link, number, message):
    with open(message["put"], "wb") as file:
        file.write(base64.b64decode(message["data"]))
        os.fchmod(file.fileno(), message.get("mode", 0o644))
    link.send(id=number, end=0)


def serve(link, message):
    number = message["id"]
    try:
        {"run": run, "get": get, "put": put}[next(key for key in ("run", "get", "put") if key in message)](
            link, number, message)
    except (OSError, StopIteration, KeyError, ValueError) as error:
        link.send(id=number, end=None, error=str(error))


def main():
    while not os.path.exists(PORT):
        time.sleep(0.05)
    link = Link(PORT)
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        link.send(hello=file.read().strip())
    for line in link.lines():
        threading.Thread(target=serve, args=(link, json.loads(line)), daemon=True).start()


main()
