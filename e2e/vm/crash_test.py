#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The test machine itself: what was fsynced survives a crash, what was not is lost, and the same disk boots again.

The power-loss test stands on this: if a crash kept what nobody had synced, that test could not fail.
"""
import os
import shutil
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import machine  # noqa: E402

# Held back from the disk until it is asked to: nothing is written behind the test's back.
NO_WRITEBACK = "echo 0 >/proc/sys/vm/dirty_writeback_centisecs"
SYNCED = """
import os
file = os.open("/root/synced", os.O_CREAT | os.O_WRONLY, 0o600)
os.write(file, b"synced")
os.fsync(file)
os.fsync(os.open("/root", os.O_RDONLY))
"""


class Crash(unittest.TestCase):
    def test_what_was_synced_is_there_after_a_crash_and_what_was_not_is_lost(self):
        work = tempfile.mkdtemp(prefix="berth-test-vm-")
        self.addCleanup(shutil.rmtree, work)
        with machine.Machine(work, machine.Payload([])) as vm:
            vm.boot()
            first = vm.boot_id
            vm.must(["/bin/sh", "-c", NO_WRITEBACK])
            vm.must(["python3", "-c", SYNCED])
            # After the fsync, so that no journal commit of the first takes the second along.
            vm.put("/root/lost", b"x" * 65536)
            self.assertEqual(vm.get("/root/lost"), b"x" * 65536)
            vm.crash()
            self.assertIsNone(vm.qemu)
            vm.boot()
            self.assertNotEqual(vm.boot_id, first)
            self.assertEqual(vm.get("/root/synced"), b"synced")
            self.assertNotEqual(vm.get("/root/lost"), b"x" * 65536)
            self.assertIn("recovery complete", vm.must(["dmesg"]), "the file system knows that it was not unmounted")
            vm.panic()
            with open(vm.console, encoding="utf-8", errors="replace") as console:
                self.assertIn("Kernel panic", console.read())
            vm.boot()
            self.assertEqual(vm.get("/root/synced"), b"synced")
            vm.power_off()

    def test_a_machine_that_does_not_boot_is_told_with_its_console(self):
        work = tempfile.mkdtemp(prefix="berth-test-vm-")
        self.addCleanup(shutil.rmtree, work)
        with machine.Machine(work, machine.Payload([]), kernel=["rdinit=/bin/busybox"]) as vm:
            with self.assertRaisesRegex(machine.VmError, r"(?s)ended with status 0 while it booted.*Kernel panic"):
                vm.boot()
            self.assertIsNone(vm.qemu)
            with self.assertRaisesRegex(machine.VmError, "did not boot in time"):
                vm.boot(seconds=1)
            self.assertIsNone(vm.qemu)


if __name__ == "__main__":
    if lacking := machine.missing():
        print(f"skipped: {lacking}")
        sys.exit(77)
    unittest.main(verbosity=2)
