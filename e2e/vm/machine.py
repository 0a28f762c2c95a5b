# SPDX-License-Identifier: Apache-2.0
"""A throw-away virtual machine with systemd and cgroup v2, driven from the host without a network.

    with machine.Machine(work_dir, payload=machine.Payload(...)) as vm:
        vm.boot()
        vm.run(["systemctl", "is-system-running"]).output
        vm.crash()      # at once, nothing is synced
        vm.boot()       # the same disk again
        vm.power_off()

README.md beside this file says what it can do and what it cannot. Every wait has a deadline; a VmError carries
the console's last lines.
"""
import base64
import itertools
import json
import os
import queue
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.realpath(__file__))
# Emulated, on two cores that others use too: 15 s when idle.
BOOT_SECONDS = int(os.environ.get("BERTH_VM_BOOT_SECONDS", "420"))
FLAVOURS = {
    "v2": ["systemd.unified_cgroup_hierarchy=1"],
    # Controllers on v1 and a v2 tree beside them that owns none of them.
    "hybrid": ["systemd.unified_cgroup_hierarchy=0", "systemd.legacy_systemd_cgroup_controller=0"],
}


# qemu's threaded emulation now and then loses a guest's CPU for good while the kernel patches its own code at boot (seen
# once in some hundred boots, at a jump label, "stuck for 365s"); a busy host delays one by some ten seconds only.
STALLED = re.compile(rb"soft lockup - CPU#\d+ stuck for (\d+)s")
STALLED_SECONDS = 100
STALLS = 2  # at most, of one boot


class VmError(Exception):
    """What the machine did not do, with the last lines of its console."""


class Stalled(Exception):
    """The emulator lost the guest's kernel before its first program ran; the machine is off again."""


class Result:
    """A program that ended in the guest: `status` as subprocess says it, None when it was killed for its time."""

    def __init__(self, status, output, error):
        self.status, self.output, self.error = status, output, error


def missing():
    """What this host lacks to run a machine, as a sentence; empty when it has all."""
    absent = [name for name in ("qemu-system-x86_64", "qemu-img", "mke2fs", "debootstrap") if not shutil.which(name)]
    if absent:
        return f"no {', '.join(absent)} here: tools/deps --install test"
    if os.geteuid() != 0:
        return "making the root disk needs root"
    return ""


def root_disk():
    """The directory with the root disk, kernel and initramfs; made when it is absent (a minute or two)."""
    made = subprocess.run([os.path.join(HERE, "root")], stdout=subprocess.PIPE, text=True, check=False)
    if made.returncode != 0:
        raise VmError("the root disk could not be made; e2e/vm/root said why")
    return made.stdout.split()[-1]


class Payload:
    """The second disk, read-only in the guest: the agent, and host files at the paths they have on the host.

    In the guest the trees named by `paths` appear at their own host paths (bind mounts), so a program that knows where its
    helpers were built finds them.
    """

    def __init__(self, paths):
        self.paths = [os.path.realpath(path) for path in paths]

    def write(self, image):
        with tempfile.TemporaryDirectory(prefix="berth-vm-payload-", dir=os.path.dirname(image)) as tree:
            for name in ("agent.py", "in-leaf"):
                shutil.copy(os.path.join(HERE, "guest", name), tree)
            for path in self.paths:
                place = tree + "/host" + path
                os.makedirs(os.path.dirname(place), exist_ok=True)
                subprocess.run(["cp", "-a", "--reflink=auto", "-l" if self.can_link(path, tree) else "--", path, place],
                               check=True)
            size = sum(max(entry.stat(follow_symlinks=False).st_size, 4096) for entry in walk(tree))
            with open(image, "wb"):
                pass  # mke2fs speaks of a file that it must make
            subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-L", "payload", "-O", "^has_journal", "-m", "0",
                            "-d", tree, image, f"{size * 5 // 4 // 1024 + 8192}k"], check=True)

    @staticmethod
    def can_link(path, tree):
        return os.stat(path).st_dev == os.stat(tree).st_dev


def walk(tree):
    for entry in os.scandir(tree):
        yield entry
        if entry.is_dir(follow_symlinks=False):
            yield from walk(entry.path)


class Machine:
    """One machine and its disk, in `work_dir`. Not thread-safe but for run(), which several threads may call."""

    def __init__(self, work_dir, payload, flavour="v2", memory="3G", cpus=2, kernel=(), log=None):
        self.dir = os.path.realpath(work_dir)
        self.payload, self.flavour, self.memory, self.cpus = payload, flavour, memory, cpus
        self.kernel = list(kernel)  # more words for the kernel's command line
        self.log = log or (lambda text: print(f"vm: {text}", file=sys.stderr, flush=True))
        self.qemu = self.link = self.reader = None
        self.boots = 0
        self.boot_id = ""
        self._answers, self._numbers = {}, itertools.count(1)
        self._hello = queue.Queue()
        self._lock = threading.Lock()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # The machine's life -------------------------------------------------------------------------------------

    def boot(self, seconds=BOOT_SECONDS):
        """Starts the machine with the disk that it had; with a fresh one the first time. Returns when it answers."""
        assert self.qemu is None, "it runs already"
        self._make_disks()
        for again in reversed(range(STALLS + 1)):
            try:
                self._start(seconds, again > 0)
                break
            except Stalled:
                self.log(f"the emulator stalled the kernel as it booted ({self.console}); the machine is started again")
        for path in self.payload.paths:
            self.must(["/bin/sh", "-c", 'set -e; if [ -d "/berth/host$1" ]; then mkdir -p "$1"; else mkdir -p "${1%/*}"; '
                       ': >"$1"; fi; mount --bind "/berth/host$1" "$1"', "sh", path])

    def _start(self, seconds, may_stall):
        begin = time.monotonic()
        self.boots += 1
        self.console = f"{self.dir}/console-{self.boots}.log"
        address = f"{self.dir}/agent.sock"
        root = self.root
        command = ["root=/dev/vda", "rw", "console=ttyS0", "panic=1", "nokaslr", "mitigations=off",
                   "sysrq_always_enabled", "net.ifnames=0"] + FLAVOURS[self.flavour] + self.kernel
        with open(f"{self.dir}/qemu.log", "ab") as words:
            self.qemu = subprocess.Popen(
                ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "Nehalem-v1,+rdrand", "-smp", str(self.cpus), "-m", self.memory,
                 "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-nic", "none",
                 "-kernel", root + "/vmlinuz", "-initrd", root + "/initrd", "-append", " ".join(command),
                 "-drive", f"file={self.dir}/disk.qcow2,if=virtio,format=qcow2,cache=writeback",
                 "-drive", f"file={self.dir}/payload.raw,if=virtio,format=raw,readonly=on",
                 "-serial", f"file:{self.console}", "-device", "virtio-rng-pci", "-device", "virtio-serial",
                 "-chardev", f"socket,id=agent,path={address},server=on,wait=off",
                 "-device", "virtserialport,chardev=agent,name=berth.agent"],
                stdin=subprocess.DEVNULL, stdout=words, stderr=subprocess.STDOUT,
                preexec_fn=die_with_parent, start_new_session=True)
        deadline = begin + seconds
        self._connect(address, deadline)
        self.boot_id = self._wait_hello(deadline, may_stall)
        self.log(f"boot {self.boots} took {time.monotonic() - begin:.0f} s")

    def crash(self, seconds=180):
        """Resets the machine through sysrq: what the guest had not written to its disk is lost."""
        self.log("crash")
        self._send({"id": next(self._numbers), "run": ["/bin/sh", "-c", "echo b >/proc/sysrq-trigger"]})
        self._wait_end(seconds, "did not reset after sysrq b")

    def cut(self):
        """The power goes: also what the guest wrote and had not flushed may be lost, in any order.

        What qemu had not yet put into the image's tables goes with it: clusters written first since the last flush.
        """
        self.log("power cut")
        self.close()

    def panic(self, seconds=180):
        """As crash(), by a kernel panic: the console has its trace."""
        self._send({"id": next(self._numbers), "run": ["/bin/sh", "-c", "echo c >/proc/sysrq-trigger"]})
        self._wait_end(seconds, "did not reset after sysrq c")

    def power_off(self, seconds=BOOT_SECONDS):
        """An orderly shutdown by systemd."""
        self._send({"id": next(self._numbers), "run": ["systemctl", "--no-block", "start", "poweroff.target"]})
        self._wait_end(seconds, "did not power off")

    def close(self):
        """Ends the machine however it is; its disk and logs stay in the work directory."""
        if self.qemu and self.qemu.poll() is None:
            self.qemu.kill()
        self._forget()

    # What runs inside ---------------------------------------------------------------------------------------

    def run(self, argv, seconds=120, scope=None, env=None, cwd="/", on_output=None):
        """Runs a program in the guest, in a delegated systemd scope if one is named. Output is stdout and stderr.

        `on_output` gets the bytes as they come. A program over its time is killed, and status is None.
        """
        number, answers = self._ask({"run": argv, "seconds": seconds, "scope": scope, "env": env or {}, "cwd": cwd})
        # The guest keeps the time; the grace is for a machine that does not answer any more.
        return self._collect(number, answers, seconds + 120, on_output)

    def must(self, argv, **more):
        """run() that fails unless the status is 0; returns the output as text."""
        result = self.run(argv, **more)
        if result.status != 0:
            raise VmError(f"{argv}: status {result.status} {result.error}\n{result.output.decode(errors='replace')}")
        return result.output.decode(errors="replace")

    def get(self, path, seconds=120):
        """The bytes of a guest's file, or None."""
        number, answers = self._ask({"get": path})
        result = self._collect(number, answers, seconds, None)
        return result.output if result.status == 0 else None

    def put(self, path, data, mode=0o644, seconds=120):
        """Writes a guest's file (without fsync)."""
        number, answers = self._ask({"put": path, "mode": mode, "data": base64.b64encode(data).decode()})
        result = self._collect(number, answers, seconds, None)
        if result.status != 0:
            raise VmError(f"cannot write '{path}' in the machine: {result.error}")

    # ---------------------------------------------------------------------------------------------------------

    def _make_disks(self):
        os.makedirs(self.dir, exist_ok=True)
        if self.boots:
            return
        self.root = root_disk()
        begin = time.monotonic()
        self.payload.write(self.dir + "/payload.raw")
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", self.root + "/disk.raw",
                        self.dir + "/disk.qcow2"], check=True)
        self.log(f"disks took {time.monotonic() - begin:.0f} s")

    def _connect(self, address, deadline):
        self.link = socket.socket(socket.AF_UNIX)
        while True:
            try:
                self.link.connect(address)
                break
            except OSError:
                self._check_alive(deadline)
                time.sleep(0.05)
        self._hello = queue.Queue()
        self.reader = threading.Thread(target=self._read, args=(self.link,), daemon=True)
        self.reader.start()

    def _wait_hello(self, deadline, may_stall):
        while True:
            try:
                return self._hello.get(timeout=1)
            except queue.Empty:
                if may_stall and self._stalled():
                    self.close()
                    raise Stalled from None
                self._check_alive(deadline)

    def _stalled(self):
        with open(self.console, "rb") as console:
            return any(int(found) >= STALLED_SECONDS for found in STALLED.findall(console.read()))

    def _check_alive(self, deadline):
        if self.qemu.poll() is not None:
            self._fail(f"ended with status {self.qemu.returncode} while it booted")
        if time.monotonic() > deadline:
            self._fail("did not boot in time")

    def _wait_end(self, seconds, words):
        try:
            self.qemu.wait(seconds)
        except subprocess.TimeoutExpired:
            self._fail(words)
        self._forget()

    def _fail(self, words):
        tail = "".join(f"  | {line}\n" for line in self.console_tail())
        self.close()
        raise VmError(f"the machine {words}; its console ({self.console}):\n{tail}")

    def console_tail(self, lines=120):  # a panic with its trace takes eighty
        """The last lines of the console, and of what qemu itself said."""
        text = b""
        for name in (f"{self.dir}/qemu.log", self.console):
            if os.path.exists(name):
                with open(name, "rb") as file:
                    text += file.read()
        return text.decode(errors="replace").splitlines()[-lines:]

    def _forget(self):
        if self.qemu:
            self.qemu.wait()
        if self.link:
            self.link.close()
        self.qemu = self.link = None

    def _read(self, link):
        rest = b""
        while True:
            try:
                data = link.recv(65536)
            except OSError:
                data = b""
            if not data:
                break
            *whole, rest = (rest + data).split(b"\n")
            for line in whole:
                message = json.loads(line)
                if "hello" in message:
                    self._hello.put(message["hello"])
                elif message["id"] in self._answers:
                    self._answers[message["id"]].put(message)
        for answers in list(self._answers.values()):
            answers.put({"end": None, "error": "the machine is gone"})

    def _ask(self, message):
        number = next(self._numbers)
        self._answers[number] = queue.Queue()
        self._send({"id": number, **message})
        return number, self._answers[number]

    def _send(self, message):
        if self.link is None:
            raise VmError("the machine does not run")
        with self._lock:
            self.link.sendall(json.dumps(message).encode() + b"\n")

    def _collect(self, number, answers, seconds, on_output):
        deadline = time.monotonic() + seconds
        output = []
        try:
            while True:
                message = answers.get(timeout=max(0.01, deadline - time.monotonic()))
                if "end" in message:
                    return Result(message["end"], b"".join(output), message.get("error", ""))
                data = base64.b64decode(message["out"])
                output.append(data)
                if on_output:
                    on_output(data)
        except queue.Empty:
            self._fail(f"does not answer any more ({seconds} s)")
        finally:
            del self._answers[number]


def die_with_parent():
    """In the child: qemu ends with us, however we end."""
    import ctypes
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def drop_disks(work_dir):
    """Removes the disks of a work directory; the consoles stay."""
    for name in ("disk.qcow2", "payload.raw", "agent.sock"):
        if os.path.exists(os.path.join(work_dir, name)):
            os.remove(os.path.join(work_dir, name))
