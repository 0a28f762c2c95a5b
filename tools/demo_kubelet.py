# SPDX-License-Identifier: Apache-2.0
"""A standalone kubelet for tools/demo-run: its files, its process, and the host put back afterwards.

Runs inside the demo's own mount and network namespace. No Go and no program but kubelet is needed.
"""
import errno
import fcntl
import glob
import json
import os
import signal
import subprocess
import time
import urllib.request

CONFIG = os.path.join(os.path.dirname(os.path.realpath(__file__)), "../e2e/kubelet/standalone/config.json")
# kubelet and CNI's library write here whatever the configuration says: in the namespace these are throw-away directories.
HOST_DIRS = ["/var/log/containers", "/var/lib/kubelet", "/usr/libexec/kubernetes", "/var/lib/cni"]
# What kubelet sets at its start; the whole host's, no namespace's.
SYSCTLS = ["vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes"]
ADDRESS, UPLINK, PORT = "192.0.2.1", "uplink", 10255


class Failure(Exception):
    """What went wrong, in words for the one who runs the demo."""


def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read().strip()


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def mount_points():
    return [line.split()[4] for line in read("/proc/self/mountinfo").splitlines()]


def hierarchies(v2):
    """Mount points of the cgroup trees that kubelet looks at: on a hybrid host the v1 trees only."""
    if v2:
        return ["/sys/fs/cgroup"]
    found = {}
    for line in read("/proc/self/mountinfo").splitlines():
        left, right = line.split(" - ")
        if right.split()[0] == "cgroup":
            found.setdefault(left.split()[2], left.split()[4])
    return list(found.values())


def make_cgroup(path, v2):
    """kubelet wants its cgroupRoot in every tree; a new v1 cpuset takes no process before it was given CPUs."""
    for mount in hierarchies(v2):
        os.makedirs(mount + path, exist_ok=True)
        if v2:
            for controller in ("cpu", "cpuset", "io", "memory", "hugetlb", "pids"):
                try:
                    write(f"{mount}/cgroup.subtree_control", "+" + controller)
                except OSError:
                    pass  # this kernel does not have it; kubelet names what it misses
        else:
            for name in ("cpuset.cpus", "cpuset.mems"):
                if os.path.exists(f"{mount}/{name}"):
                    write(f"{mount}{path}/{name}", read(f"{mount}/{name}"))


class Kubelet:
    """One kubelet on `endpoint`, with everything of its own below `root`."""

    def __init__(self, binary, endpoint, root, cgroup_root, v2):
        self.binary, self.endpoint, self.root, self.cgroup_root, self.v2 = binary, endpoint, root, cgroup_root, v2
        self.manifests = f"{root}/manifests"
        self.log = f"{root}/kubelet.log"
        self.process = None
        self.lock = None
        self.sysctls = {}
        self.made = []

    def start(self, manifests):
        """Returns when kubelet answers; `manifests` is name -> pod. Raises Failure."""
        # Two that overlap would each take the other's kernel settings for those of the host.
        self.lock = os.open("/run", os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        self.sysctls = {name: read(f"/proc/sys/{name}") for name in SYSCTLS if os.path.exists(f"/proc/sys/{name}")}
        os.makedirs(self.manifests)
        os.mkdir(f"{self.root}/podlogs")
        for path in HOST_DIRS:
            self.make_host_dir(path)
            os.makedirs(f"{self.root}/host{path}")
            subprocess.run(["mount", "--bind", f"{self.root}/host{path}", path], check=True)
        make_cgroup(self.cgroup_root, self.v2)
        # An address for the node, on a bridge that leads nowhere: without one kubelet asks DNS for its own name again and again.
        for words in (f"link add {UPLINK} type bridge", f"address add {ADDRESS}/24 dev {UPLINK}", f"link set {UPLINK} up",
                      f"route add default via 192.0.2.254 dev {UPLINK}"):
            subprocess.run(["ip", *words.split()], check=True)
        for name, pod in manifests.items():
            write(f"{self.manifests}/{name}.json", json.dumps(pod))
        config = json.loads(read(CONFIG))
        config.update({"containerRuntimeEndpoint": self.endpoint, "staticPodPath": self.manifests, "podLogsDir": f"{self.root}/podlogs",
                       "volumePluginDir": f"{self.root}/volume-plugins", "port": PORT + 1000, "readOnlyPort": PORT, "healthzPort": 10248,
                       "cgroupRoot": self.cgroup_root})
        write(f"{self.root}/kubelet.json", json.dumps(config, indent=1))
        with open(self.log, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [self.binary, f"--config={self.root}/kubelet.json", f"--root-dir={self.root}/root", f"--cert-dir={self.root}/pki",
                 "--hostname-override=node", f"--node-ip={ADDRESS}", "-v=2"], stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + 120
        while self.pods() is None:
            if self.process.poll() is not None:
                raise Failure(f"kubelet ended while starting; its log ends:\n{self.tail()}")
            if time.monotonic() > deadline:
                raise Failure(f"kubelet does not answer after two minutes; its log ends:\n{self.tail()}")
            time.sleep(0.1)

    def make_host_dir(self, path):
        if not os.path.isdir(path):
            self.make_host_dir(os.path.dirname(path))
            os.mkdir(path, 0o755)
            self.made.append(path)

    def pods(self):
        """kubelet's pods as it tells them; None while it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/pods", timeout=5) as answer:
                return json.load(answer).get("items") or []
        except (OSError, ValueError):
            return None

    def check(self):
        if self.process.poll() is not None:
            raise Failure(f"kubelet ended by itself; its log ends:\n{self.tail()}")

    def tail(self):
        return "\n".join(read(self.log).splitlines()[-30:])

    # Steps of the clean-up, in this order; each may fail without harm to the next.
    def drain(self):
        """Takes the manifests away and waits until kubelet has ended their pods."""
        if self.process is None or self.process.poll() is not None:
            return
        for path in glob.glob(f"{self.manifests}/*.json"):
            os.remove(path)
        deadline = time.monotonic() + 30
        while self.pods() != []:
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise Failure("kubelet did not end its pods within 30 s")
            time.sleep(0.1)

    def stop(self):
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(timeout=20)

    def restore_sysctls(self):
        for name, value in self.sysctls.items():
            if read(f"/proc/sys/{name}") != value:
                write(f"/proc/sys/{name}", value)
        changed = [name for name, value in self.sysctls.items() if read(f"/proc/sys/{name}") != value]
        if changed:
            raise Failure("kernel settings that could not be put back: " + ", ".join(changed))

    def remove_host_dirs(self):
        for path in reversed([path for path in mount_points() if path in HOST_DIRS]):
            subprocess.run(["umount", "-R", "-l", path], check=True)
        while self.made:
            try:
                os.rmdir(self.made.pop())
            except OSError as error:
                # Not empty: somebody else put something there meanwhile, and it is theirs now.
                if error.errno != errno.ENOTEMPTY:
                    raise
