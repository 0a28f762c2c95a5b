#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A reboot with pods running: every end has a record, networks are given back with their cached results, records stay.

    reboot_test.py --build build/release [NAME of a test]
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
PODS = 50 if node.full() else 4
WORK = "/root/reboot"
# Several clients at once; one that fails says why, and so does xargs by its status.
MAKE = """seq "$1" | xargs -P 4 -n 1 sh -c 'cd %s; k=$(($1 %% 4)); sed "s/@/$1/g" pod.json >pod-$1.json
sed "s/@/$1/g" "container-$k.json" >c-$1.json; berth run $([ $k = 3 ] && echo --wait) pod-$1.json c-$1.json >out-$1 2>&1
[ $? = $([ $k = 3 ] && echo 9 || echo 0) ] || { cat out-$1; exit 255; }' sh""" % WORK
# Of four: one that does not know SIGTERM, one that ends with 5 at it, one that writes, one that has ended with 9.
KINDS = [["ignore"], ["term", "5"], ["chatter", "2"], ["exit", "9"]]


class Reboot(unittest.TestCase):
    def setUp(self):
        work = tempfile.mkdtemp(prefix="berth-test-vm-")
        self.addCleanup(shutil.rmtree, work)
        self.vm = machine.Machine(work, machine.Payload(node.payload(BUILD, "faults")))
        self.addCleanup(self.vm.close)
        self.vm.boot()
        self.node = node.Node(self.vm, BUILD)
        # At a shutdown systemd waits this long for what does not know SIGTERM, such as our "ignore"; its 90 s prove no more.
        self.node.put("/etc/systemd/system.conf.d/stop.conf", "[Manager]\nDefaultTimeoutStopSec=30s\n")
        self.node.install()
        self.node.start()
        image = self.node.load("faults")
        self.node.put(WORK + "/pod.json", node.pod("p@"))
        for kind, args in enumerate(KINDS):
            self.node.put(f"{WORK}/container-{kind}.json", node.container("c@", image, args))

    def make_pods(self):
        self.node.shell(MAKE, str(PODS), seconds=PODS * 120)
        self.assertEqual(sum(state == "running" for state, *_ in self.node.containers().values()),
                         sum(number % 4 != 3 for number in range(1, PODS + 1)))
        self.assertEqual(len(self.node.addresses()), PODS)
        self.vm.must(["sync"], seconds=600)  # these pods are not of the last moment

    def check(self, ends, message=""):
        """`ends`: what may be on record as the end of each kind; `message`: of those that nobody saw."""
        it = self.node
        it.start()
        pods = it.pods()
        self.assertEqual({pod["state"] for pod in pods}, {"SANDBOX_NOTREADY"})
        self.assertEqual({pod["metadata"]["name"] for pod in pods}, {f"p{n}" for n in range(1, PODS + 1)})
        containers = it.containers()
        self.assertEqual(len(containers), PODS, containers)
        for name, (state, reason, end, _) in containers.items():
            self.assertIn((state, reason, end), ends[int(name[1:]) % 4], name)
        # In each of those its times: begun, then ended, and that before this boot.
        told = it.shell("berth ps -a | awk 'NR > 1 { print $1 }' | xargs -n 1 berth explain; echo boot $(date -u -d @$(("
                        "$(date +%s) - $(cut -d. -f1 /proc/uptime) + 1)) +%FT%TZ)", seconds=4 * node.PATIENCE)
        begun, ended = (re.findall(rf"^{word} +(\S+?),?(?: |$)", told, re.MULTILINE) for word in ("started", "finished"))
        if message:
            self.assertEqual(told.count(f" {message}\n"), sum(end[2] == "137" for end in containers.values()), told)
        boot = re.search(r"^boot (\S+)$", told, re.MULTILINE)[1]
        self.assertEqual(len(ended), PODS, told)
        for number, (first, last) in enumerate(zip(begun, ended, strict=True)):
            self.assertTrue("2" < first <= last <= boot, f"{number}: {first} {last} {boot}")
        it.wait("the addresses to be given back", f"[ -z \"$(find {node.ADDRESSES} -name '10.*')\" ]")
        deleted = it.witnessed("DEL")
        self.assertEqual({pod["id"]: deleted.get(pod["id"]) for pod in pods}, {pod["id"]: True for pod in pods},
                         "DEL came with the cached result")
        self.assertEqual(len(it.pods()), PODS, "records stay until they are removed")
        it.remove_all()
        self.assertEqual(it.left(), [])

    def test_after_a_crash(self):
        self.make_pods()
        self.vm.crash()
        self.vm.boot()
        lost = [("exited", "Error", "137")]
        self.check([lost, lost, lost, [("exited", "Error", "9")]], "node rebooted")

    @unittest.skipUnless(node.full(), "minutes of systemd's patience with what ignores SIGTERM: tools/test --full")
    def test_after_an_orderly_reboot(self):
        self.make_pods()
        self.vm.power_off()
        self.vm.boot()
        # systemd sends SIGTERM to all that is left, and SIGKILL after it. Whether a monitor lives to write the end is its luck:
        # what is on record is the true end or that nobody knows it.
        lost, ended, terminated = (("exited", "Error", code) for code in ("137", "5", "143"))
        self.check([[lost], [lost, ended], [lost, terminated], [("exited", "Error", "9")]])


if __name__ == "__main__":
    BUILD = node.build_of(sys.argv)
    unittest.main(verbosity=2)
