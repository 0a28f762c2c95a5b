# SPDX-License-Identifier: Apache-2.0
"""critest in the test machine: the host prepares images and registry, the guest runs them with berthd."""
import os
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "../vm"))
import machine  # noqa: E402

INSIDE = "/var/tmp/critest"  # on the guest's disk: overlayfs wants a file system of its own kind below
REPORTS = ("junit.xml", "berthd.log", "registry.log")


def missing():
    """What the host lacks for a machine, as a sentence. Makes the root disk, while the host's network can be seen."""
    lacking = machine.missing()
    if not lacking:
        machine.root_disk()
    return lacking


def run(options, prepared, work):
    """Status of the run in the guest; critest.log and the reports are in `work` afterwards."""
    payload = machine.Payload([options.bin, prepared, HERE, os.path.join(HERE, "../images")])
    command = [os.path.join(HERE, "run"), "--prepared", os.path.realpath(prepared), "--bin", options.bin, "--out", INSIDE,
               "--patience", "900", "--echo", "--", f"--ginkgo.timeout={options.seconds}s", *options.arguments]
    try:
        with machine.Machine(work + "/machine", payload) as vm, open(work + "/critest.log", "wb") as log:
            def feed(data):
                log.write(data)
                log.flush()
            vm.boot()
            # The grace is for the clean-up of the spec that ran when the time was over.
            result = vm.run(command, seconds=options.seconds + 1800, scope="berth-critest", on_output=feed)
            for name in REPORTS:
                if (text := vm.get(f"{INSIDE}/{name}")) is not None:
                    with open(f"{work}/{name}", "wb") as out:
                        out.write(text)
            with open(work + "/kernel.txt", "wb") as out:
                out.write(vm.run(["dmesg"]).output)
            vm.power_off()
    except machine.VmError as error:
        print(f"FAILED the machine: {error}", file=sys.stderr)
        return 1
    finally:
        machine.drop_disks(work + "/machine")
    if result.status is None:
        print(f"FAILED critest: {result.error}", file=sys.stderr)
        return 1
    return result.status
