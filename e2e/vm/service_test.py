#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""berthd as a service of systemd, under the unit of the repository: pods notice nothing of what becomes of it.

    [BERTH_OLDER=build/older] service_test.py --build build/release [NAME of a test]

In each test pods write numbered lines all the time; none may be missing, whatever is stopped, started, replaced, hung or killed.
"""
import os
import re
import shutil
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import machine  # noqa: E402
import node  # noqa: E402

BUILD = ""
OLDER = []  # directories with the programs of an older version
PODS = 10 if node.full() else 3
BEATS = 100
RATE = 50  # lines a second
WORK = "/root/service"
LOG = "/var/log/pods/beat-%d/c%d.log"
MONITOR_OF = "/run/berth/pods/%s/monitor.pid"
# Connects again and again until it is told to end, then says how often, and what it was refused with.
KNOCK = """import signal, socket, sys, time
times, refused = 0, []
def end(*_):
    print(times, *sorted(set(refused)))
    sys.exit()
signal.signal(signal.SIGTERM, end)
while True:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect("/run/berth/berth.sock")
        except OSError as error:
            refused.append(type(error).__name__)
    times += 1
    time.sleep(0.1)
"""


class Service(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.work = tempfile.mkdtemp(prefix="berth-test-vm-")
        cls.addClassCleanup(shutil.rmtree, cls.work)
        older = [f"{place}/{name}" for place in OLDER for name in sorted(os.listdir(place))]
        cls.vm = machine.Machine(cls.work, machine.Payload([*node.payload(BUILD, "faults"), *older]))
        cls.addClassCleanup(cls.vm.close)
        cls.vm.boot()
        cls.node = node.Node(cls.vm, BUILD)
        cls.node.install()
        cls.node.start()
        cls.image = cls.node.load("faults")

    def setUp(self):
        self.vm.must(["rm", "-rf", "/var/log/pods"])
        self.running = range(1, PODS + 1)
        for number in self.running:
            self.run_pod(number)
        self.pids = self.init_pids()
        self.beat()

    def tearDown(self):
        self.node.start()
        self.node.remove_all()
        self.assertEqual(self.node.left(), [])

    def run_pod(self, number):
        self.node.put(f"{WORK}/pod.json", node.pod(f"beat-{number}"))
        self.node.put(f"{WORK}/container.json", node.container(f"c{number}", self.image, ["chatter", str(RATE)]))
        self.node.berth("run", f"{WORK}/pod.json", f"{WORK}/container.json")

    def init_pids(self):
        return {n: re.search(r"host pid (\d+)", self.node.berth("explain", self.node.containers()[f"c{n}"][3]))[1]
                for n in self.running}

    def beat(self, which=None):
        """Waits for a hundred more of each, and looks at all that there are: none is missing, none came twice."""
        wanted = {number: len(self.lines(number)) + BEATS for number in which or self.running}
        for number, count in wanted.items():
            self.node.wait(f"{BEATS} more lines of pod {number}", f"[ $(wc -l <{LOG % (number, number)}) -ge {count} ]")
            numbers = [int(re.match(r"\S+ stdout F line (\d+) at", line)[1]) for line in self.lines(number)]
            self.assertEqual(numbers, list(range(len(numbers))), f"heartbeats of pod {number}")

    def lines(self, number):
        # The last one may be just being written.
        return (self.vm.get(LOG % (number, number)) or b"").decode().split("\n")[:-1]

    def all_is_as_before(self):
        self.beat()
        self.assertEqual(self.states(), {"SANDBOX_READY"})
        self.assertEqual(self.init_pids(), self.pids)

    def states(self):
        # JSON of protobuf leaves out what is 0, and that is READY.
        return {pod.get("state", "SANDBOX_READY") for pod in self.node.pods()}

    def knock(self):
        self.node.put(f"{WORK}/knock.py", KNOCK)
        self.node.shell("cd $1; setsid python3 knock.py >knocked 2>&1 </dev/null & echo $! >$1/knock.pid", WORK)

    def nobody_was_refused(self):
        said = self.node.shell("cd $1; pid=$(cat knock.pid); kill $pid; while kill -0 $pid 2>/dev/null; do sleep 0.1; done; "
                               "cat knocked", WORK).split()
        self.assertGreater(int(said[0]), 10)
        self.assertEqual(said[1:], [], "between two berthds the socket stays")

    def property(self, name):
        return self.vm.must(["systemctl", "show", "--value", "-p", name, "berthd"]).strip()

    # ----------------------------------------------------------------------------------------------------------

    def test_stop_start_restart_and_kill(self):
        self.vm.must(["systemctl", "stop", "berthd"], seconds=node.PATIENCE)
        self.assertEqual(self.property("ActiveState"), "inactive")
        self.assertNotEqual(self.vm.run(["berth", "version"]).status, 0)
        self.beat()
        self.node.start()
        self.all_is_as_before()
        self.knock()
        self.vm.must(["systemctl", "restart", "berthd"], seconds=node.PATIENCE)
        self.all_is_as_before()
        killed = self.property("MainPID")
        self.vm.must(["kill", "-9", killed])
        self.node.wait("systemd to start it again",
                       f"p=$(systemctl show --value -p MainPID berthd); [ $p != {killed} ] && berth version >/dev/null 2>&1")
        self.all_is_as_before()
        self.nobody_was_refused()
        self.node.berth("exec", self.node.containers()["c1"][3], "--", "/faults", "say", "exec works")

    def test_a_berthd_that_hangs_is_ended_by_the_watchdog_and_started_again(self):
        hung = self.property("MainPID")
        self.vm.must(["kill", "-STOP", hung])
        self.beat()
        self.node.wait("the watchdog", f"p=$(systemctl show --value -p MainPID berthd); [ $p != {hung} ] && "
                       "berth version >/dev/null 2>&1")
        self.assertIn("Watchdog timeout", self.node.journal())
        self.all_is_as_before()

    def test_systemd_never_gives_up_on_it(self):
        # A package that is broken for a while: each start fails at once. By default the sixth in ten seconds is the last.
        before = int(self.property("NRestarts"))
        self.node.shell("mv /usr/bin/berthd /usr/bin/away; printf '#!/bin/sh\\nexit 1\\n' >/usr/bin/berthd; "
                        "chmod 755 /usr/bin/berthd; kill -9 $(systemctl show --value -p MainPID berthd)")
        self.node.wait("many starts in vain", f"[ $(systemctl show --value -p NRestarts berthd) -ge {before + 12} ]")
        self.vm.must(["mv", "/usr/bin/away", "/usr/bin/berthd"])
        self.node.wait("a start that works", "berth version >/dev/null 2>&1")
        self.all_is_as_before()

    def test_upgrade_and_downgrade_keep_pods_running(self):
        if not OLDER:
            self.skipTest("needs BERTH_OLDER, what e2e/upgrade/build wrote")
        for place in [*OLDER, BUILD + "/bin"]:  # down, and up again, each with its unit
            # Down with stop and start: what systemd keeps of the socket, older ones take for another berthd's.
            today = place.startswith(BUILD)
            verbs = ["restart"] if today else ["stop", "start"]
            self.node.install_programs(place)
            self.node.install_unit(node.UNIT if today else place + "/../berthd.service")
            for verb in verbs:
                self.vm.must(["systemctl", verb, "berthd"], seconds=node.PATIENCE)
            self.node.shell('cmp "$1" /proc/$(systemctl show --value -p MainPID berthd)/exe', place + "/berthd")
            self.all_is_as_before()
        # Not under the older ones: the first protocol's left NOTIFY_SOCKET to crun, which could not start a second container
        # under systemd. What their pods become is looked at on the host (e2e/cri, Upgrade).
        new = max(self.running) + 1
        self.run_pod(new)
        self.running = range(1, new + 1)
        self.pids[new] = self.init_pids()[new]
        self.all_is_as_before()

    def test_a_monitor_that_is_killed_for_memory_takes_only_its_own_pod_along(self):
        victim, others = self.running[0], self.running[1:]
        pod = next(pod["id"] for pod in self.node.pods() if pod["metadata"]["name"] == f"beat-{victim}")
        # In a cgroup of its own whose limit it cannot keep: its next page is one too many.
        self.node.shell("""set -e; cd /sys/fs/cgroup; echo +memory >cgroup.subtree_control; mkdir berth-test-oom
            echo 0 >berth-test-oom/memory.max; pid=$(cat $1); echo $pid >berth-test-oom/cgroup.procs
            until grep -q '^oom_kill [1-9]' berth-test-oom/memory.events; do sleep 0.2; done
            while [ -n "$(cat berth-test-oom/cgroup.procs)" ]; do sleep 0.2; done; rmdir berth-test-oom""", MONITOR_OF % pod)
        self.assertRegex(self.vm.must(["dmesg"]), r"Killed process \d+ \(berth-monitor\)")
        self.node.wait("the end to be told", f"berth ps -a | grep -q '^[0-9a-f]* *c{victim} .*exited'")
        state, reason, end, number = self.node.containers()[f"c{victim}"]
        self.assertEqual((state, reason, end), ("exited", "Error", "137"))
        self.assertIn("monitor lost", self.node.berth("explain", number))
        self.beat(others)
        self.assertEqual(self.states(), {"SANDBOX_READY"}, "its next container gets a new monitor")
        self.running = others
        self.assertEqual(self.init_pids(), {n: self.pids[n] for n in others})


if __name__ == "__main__":
    BUILD = node.build_of(sys.argv)
    if root := os.environ.get("BERTH_OLDER"):
        OLDER = [f"{root}/{name}/bin" for name in sorted(os.listdir(root)) if os.path.isdir(f"{root}/{name}/bin")]
    unittest.main(verbosity=2)
