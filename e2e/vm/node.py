# SPDX-License-Identifier: Apache-2.0
"""A node in a machine: berth installed as a package would do it, under the unit that the repository ships.

    with machine.Machine(work, machine.Payload(node.payload(build))) as vm:
        vm.boot()
        it = node.Node(vm, build)
        it.install()                # and enabled: each later boot() starts it
        it.start()                  # returns when systemd was told that it serves
        it.berth("pods")
"""
import json
import os
import signal
import sys

import machine

PROGRAMS = ("berthd", "berth-monitor", "berth-holder", "berth-unpack", "berth")
UNIT = os.path.join(machine.HERE, "../../deploy/berthd.service")
NETWORK = "vm"  # of the conflist; host-local keeps its addresses under this name
ADDRESSES = f"/var/lib/cni/networks/{NETWORK}"
CONFLIST = {"cniVersion": "1.0.0", "name": NETWORK, "plugins": [
    {"type": "bridge", "bridge": "vm0", "isGateway": True,
     "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.90.0.0/16"}]]}},
    {"type": "vm-witness"}]}
# Last of the chain: tells each ADD and DEL, and whether the cached result came along.
WITNESS = """#!/bin/sh
input=$(cat)
case "$CNI_COMMAND" in
  VERSION) echo '{"cniVersion":"1.0.0","supportedVersions":["1.0.0"]}'; exit ;;
  ADD) printf '%s' "$input" | python3 -ISc 'import json, sys; print(json.dumps(json.load(sys.stdin)["prevResult"]))' ;;
esac
case "$input" in *prevResult*10.90.*) with=result ;; *) with=nothing ;; esac
echo "$CNI_COMMAND $CNI_CONTAINERID $with" >>/var/log/vm-witness
"""
CONFIG = '[registry]\nconfig_path = "/etc/berth/certs.d"\n[log]\nlevel = "debug"\n'
# A job of systemd or a call of berth that takes longer hangs: minutes, on a host that others use too.
PATIENCE = 600


def payload(build, *images):
    """What a machine gets of a build: its programs, and test images by name."""
    build = os.path.realpath(build)
    return ([f"{build}/bin/{name}" for name in PROGRAMS] + [f"{build}/e2e-images/{name}.oci.tar" for name in images])


class Node:
    def __init__(self, vm, build):
        self.vm, self.build = vm, os.path.realpath(build)

    def shell(self, script, *arguments, seconds=PATIENCE):
        return self.vm.must(["/bin/sh", "-c", script, "sh", *arguments], seconds=seconds)

    def put(self, path, content):
        self.vm.must(["mkdir", "-p", os.path.dirname(path)])
        self.vm.put(path, (content if isinstance(content, str) else json.dumps(content)).encode())

    def install(self):
        """Programs, configuration, unit: on the disk for good."""
        self.install_programs(self.build + "/bin")
        self.put("/etc/berth/config.toml", CONFIG)
        self.put("/etc/cni/net.d/10-vm.conflist", CONFLIST)
        self.put("/opt/cni/bin/vm-witness", WITNESS)
        self.install_unit(UNIT)
        self.shell("chmod 755 /opt/cni/bin/vm-witness; systemctl enable -q berthd; sync")

    def install_programs(self, source):
        """As dpkg does: a new file takes the name of the old one, which goes on as long as it runs."""
        names = [f"{source}/{name}" for name in PROGRAMS if os.path.exists(f"{source}/{name}")]
        self.shell('set -e; for f in "$@"; do cp "$f" /usr/bin/.new; mv /usr/bin/.new "/usr/bin/${f##*/}"; done', *names)

    def install_unit(self, source):
        with open(source, encoding="utf-8") as unit:
            self.put("/etc/systemd/system/berthd.service", unit.read())
        self.vm.must(["systemctl", "daemon-reload"], seconds=PATIENCE)

    def start(self):
        self.vm.must(["systemctl", "start", "berthd"], seconds=PATIENCE)

    def berth(self, *words, seconds=PATIENCE):
        return self.vm.must(["berth", *words], seconds=seconds)

    def load(self, image):
        self.berth("import", f"{self.build}/e2e-images/{image}.oci.tar")
        return f"test.invalid/{image}:1"

    # What it says, and what is there ------------------------------------------------------------------------

    def pods(self):
        return json.loads(self.berth("pods", "-o", "json") or "{}").get("items", [])

    def images(self):
        listed = json.loads(self.berth("images", "-o", "json") or "{}").get("images", [])
        return {tag for image in listed for tag in image.get("repo_tags", [])}

    def containers(self):
        """By name: state, reason and exit code as `berth ps` says them, and the short id."""
        rows = [line.split()[:6] for line in self.berth("ps", "-a").splitlines()[1:]]
        return {name: (state, reason, end, number) for number, name, _, state, reason, end in rows}

    def addresses(self, which="-size +0"):
        """Those that are taken. host-local syncs nothing: the file that holds an address may be empty after a power loss, and
        then no DEL finds whose it was (containernetworking/plugins, issue 498). Such are told by `which` "-empty"."""
        return self.shell(f"find {ADDRESSES} -name '10.*' {which} 2>/dev/null || :").split()

    def witnessed(self, command):
        """Pod id -> whether the cached result came along, of all calls of the witness so far."""
        lines = (self.vm.get("/var/log/vm-witness") or b"").decode().splitlines()
        return {words[1]: words[2] == "result" for words in map(str.split, lines) if words[0] == command}

    def journal(self):
        return self.vm.must(["journalctl", "-b", "--no-pager", "-o", "cat", "-u", "berthd"], seconds=PATIENCE)

    def wait(self, what, script, seconds=PATIENCE):
        """Until `script` (of /bin/sh) is true."""
        result = self.vm.run(["/bin/sh", "-c", f"until {script}; do sleep 0.2; done"], seconds=seconds)
        if result.status != 0:
            raise machine.VmError(f"waited {seconds} s for {what}; the journal ends:\n" + self.journal()[-4000:])

    def remove_all(self):
        self.shell("berth pods -o json | sed -n 's/.*\"id\": \"\\([0-9a-f]*\\)\".*/\\1/p' | xargs -r -n 1 -P 4 berth rmp",
                   seconds=4 * PATIENCE)

    def left(self):
        """What is there although no pod is: lines, empty when all is well."""
        left = [f"pod {pod['id']}" for pod in self.pods()] + [f"container {name}" for name in self.containers()]
        fsck = self.vm.run(["berth", "fsck"], seconds=PATIENCE)
        if fsck.status != 0:
            left.append("fsck: " + fsck.output.decode(errors="replace"))
        return left + [f"address {address}" for address in self.addresses()]


def pod(name, **more):
    return {"metadata": {"name": name, "namespace": "vm", "uid": name, "attempt": 0},
            "log_directory": f"/var/log/pods/{name}", **more}


def container(name, image, args, **more):
    return {"metadata": {"name": name, "attempt": 0}, "image": {"image": image}, "args": args,
            "log_path": f"{name}.log", **more}


def build_of(words):
    """Takes `--build DIR` off the command line; 77 and a sentence where this host can run no machine."""
    if lacking := machine.missing():
        print(f"skipped: {lacking}")
        sys.exit(77)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # through what cleans up
    place = words.index("--build")
    build = words[place + 1]
    del words[place:place + 2]
    return build


def full():
    """Whether the counts that the issues ask for are wanted, or few enough for every run (tools/test --full)."""
    return int(os.environ.get("BERTH_TEST_COUNT", "3")) >= 100
