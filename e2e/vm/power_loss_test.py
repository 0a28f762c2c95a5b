#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Power loss: the machine is reset, or its power cut, at random moments of pulls and pod creation, and booted again.

    power_loss_test.py --build build/debug [--rounds 2] [--seed N] [--out DIR] [--lanes 2]

Two clients at a time pull an image, run a pod of it and wait for its container's end. Each round ends at a random number of these
and a random part of what one has taken so far. After the boot berthd must serve; every image that was reported
pulled is there, every layer with each file as it was built; every end that was told is told again, no other one is
made up; no record is unreadable; what is left can be removed, and then `berth fsck` finds nothing.
"""
import argparse
import os
import queue
import random
import re
import shutil
import statistics
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path[:0] = [os.path.dirname(os.path.realpath(__file__)), os.path.dirname(os.path.realpath(__file__)) + "/../images"]
import archive  # noqa: E402
import machine  # noqa: E402
import node  # noqa: E402

REGISTRY = "127.0.0.1:5000"
WORK = "/root/power-loss"
PER_ROUND = 6  # images: a round finishes three, what its clients have begun then, and hardly more
REGISTRY_CONFIG = """version: 0.1
log: {level: warn}
storage: {filesystem: {rootdirectory: %s}, maintenance: {readonly: {enabled: true}, uploadpurging: {enabled: false}}}
http: {addr: '127.0.0.1:5000'}
"""
# One client: its pods one after another.
LANE = """cd %s; for n in "$@"; do
  sed "s/@/$n/g" pod.json >pod-$n.json; sed "s/@/$n/g" container.json >container-$n.json
  echo "begin $n"; berth run --wait pod-$n.json container-$n.json >out-$n 2>&1; echo "end $n $? $(tail -n 1 out-$n)"
done
""" % WORK
# Layers that are on disk under their final name, each with the sums of its files.
TORN = """for d in /var/lib/berth/layers/*/fs/data*; do [ -e "$d" ] || continue
(cd "$d" && sha256sum --quiet -c sums 2>&1) || echo "torn: $d"; done"""
BAD_WORDS = re.compile(r"quarantined|moved aside|unreadable|cannot be read|no record can be made")


def make_registry(place, faults, numbers, chooser):
    """The files of a docker-registry with one image a number: the test program, and three layers of random files."""
    store = place + "/docker/registry/v2"

    def write(path, data):
        os.makedirs(os.path.dirname(f"{store}/{path}"), exist_ok=True)
        with open(f"{store}/{path}", "wb") as file:
            file.write(data)

    with open(faults, "rb") as file:
        program = archive.Layer().file("faults", file.read(), mode=0o755).tar()
    for number in numbers:
        layers = [program]
        for part in range(3):
            layer, sums = archive.Layer().dir(f"data{part}"), []
            for i in range(12):
                most = 1_000_000 if number % 4 == 0 and i == 0 else 20_000
                data = chooser.randbytes(chooser.randrange(1, most))
                sums.append(f"{archive.digest(data)[7:]}  f{i}\n")
                layer.file(f"data{part}/f{i}", data)
            layers.append(layer.file(f"data{part}/sums", "".join(sums)).tar())
        blobs, manifest = archive.Image(f"loss-{number}", layers, {"Entrypoint": ["/faults"]}).blobs()
        blobs = {name.removeprefix("sha256:"): data for name, data in blobs.items()}
        head, name = manifest["digest"].removeprefix("sha256:"), f"repositories/loss-{number}"
        for blob, data in blobs.items():
            write(f"blobs/sha256/{blob[:2]}/{blob}/data", data)
            write(f"{name}/_layers/sha256/{blob}/link", b"sha256:" + blob.encode())
        for link in (f"_manifests/revisions/sha256/{head}", "_manifests/tags/1/current", f"_manifests/tags/1/index/sha256/{head}"):
            write(f"{name}/{link}/link", b"sha256:" + head.encode())


class Clients:
    """Several at a time that pull, run and wait; what they report, with the time when it came."""

    def __init__(self, vm, numbers, lanes):
        self.events, self.seen = queue.Queue(), 0
        self.threads = [threading.Thread(target=self._run, args=(vm, numbers[lane::lanes])) for lane in range(lanes)]
        for thread in self.threads:
            thread.start()

    def _run(self, vm, numbers):
        rest = b""

        def feed(data):
            nonlocal rest
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                kind, number, *words = line.decode(errors="replace").split(" ", 3)
                self.events.put((time.monotonic(), kind, int(number), words))
        try:
            vm.run(["/bin/sh", WORK + "/lane", *map(str, numbers)], seconds=3600, on_output=feed)
        except machine.VmError:
            pass  # the machine went away under it

    def next(self):
        try:
            event = self.events.get(timeout=node.PATIENCE)
        except queue.Empty:
            raise machine.VmError(f"the clients say nothing for {node.PATIENCE} s") from None
        self.seen += 1
        return event

    def join(self):
        for thread in self.threads:
            thread.join()


class PowerLoss:
    def __init__(self, vm, it, registry, chooser, lanes):
        self.vm, self.node, self.registry, self.chooser, self.lanes = vm, it, registry, chooser, lanes
        self.pulled = set()  # numbers of the images that were reported pulled
        self.told = {}  # in this round: the ends that were told
        self.begun, self.took = {}, []

    def set_up(self):
        self.node.install()
        self.node.put(f"/etc/berth/certs.d/{REGISTRY}/hosts.toml", f'[host."http://{REGISTRY}"]\n')
        self.node.put("/root/registry.yml", REGISTRY_CONFIG % self.registry)
        self.node.put(WORK + "/pod.json", node.pod("loss-@"))
        self.node.put(WORK + "/container.json", node.container("c@", f"{REGISTRY}/loss-@:1", ["exit", "@"]))
        self.node.put(WORK + "/lane", LANE)
        self.vm.must(["sync"], seconds=600)

    def serve(self):
        self.vm.must(["systemd-run", "--quiet", "--unit=registry", "docker-registry", "serve", "/root/registry.yml"])
        self.node.wait("the registry", f"curl -sf http://{REGISTRY}/v2/")
        self.node.start()

    def take(self, event):
        """Notes an event; returns what is wrong with it."""
        at, kind, number, words = event
        if kind == "begin":
            self.begun[number] = at
            return []
        self.took.append(at - self.begun[number])
        said = re.search(r"exit code (\d+)", " ".join(words))
        if not said or int(said[1]) != number % 256:
            return [f"pod {number} was made in vain: {' '.join(words)}"]
        self.told[number] = said[1]
        self.pulled.add(number)
        return []

    def clients(self, most):
        """Goes on with the numbers that are not done; what was begun and lost is begun anew."""
        return Clients(self.vm, [n for n in range(1, len(self.pulled) + 2 * PER_ROUND) if n not in self.pulled][:most], self.lanes)

    def first(self):
        """Nothing is lost yet: tells how long one takes."""
        clients = self.clients(2 * self.lanes)
        clients.join()
        return [words for _ in range(clients.events.qsize()) for words in self.take(clients.events.get())]

    def lose(self):
        """Clients at work until the moment comes; returns what is wrong, and the moment in words."""
        count, part = self.chooser.randrange(4), self.chooser.random()
        end, how = self.chooser.choice([(self.vm.crash, "reset"), (self.vm.cut, "power cut")])
        wait = part * statistics.median(self.took)
        clients, wrong = self.clients(2 * PER_ROUND), []
        while not wrong and (not clients.seen or len(self.told) < count):
            wrong += self.take(clients.next())
        time.sleep(wait)  # as fast as this machine is: a part of what one pod took
        end()
        clients.join()
        while not clients.events.empty():
            wrong += self.take(clients.next())
        return wrong, f"{how} {wait:.1f} s ({part:.0%}) after pod {count}, {len(self.told)} were told"

    def check(self):
        """After the boot; returns what is wrong, and what there was in words."""
        it = self.node
        images, containers, pods = it.images(), it.containers(), it.pods()
        wrong = [f"image loss-{n} was reported pulled and is gone" for n in sorted(self.pulled)
                 if f"{REGISTRY}/loss-{n}:1" not in images]
        wrong += [f"the end of c{n} was told and its record is gone" for n in self.told if f"c{n}" not in containers]
        for name, (state, reason, end, _) in containers.items():
            number = int(name[1:])
            ends = [("Error" if number % 256 else "Completed", str(number % 256))]
            if number not in self.told:  # nobody was told anything
                ends += [("Error", "137"), ("-", "-")]
            if state == "running" or (reason, end) not in ends:
                wrong.append(f"container {name} is {state} {reason} {end}; true is one of {ends}")
        wrong += [f"pod {pod['id']} is ready after a reboot" for pod in pods if pod.get("state") != "SANDBOX_NOTREADY"]
        if torn := it.shell(TORN, seconds=1200).strip():
            wrong.append("files of layers are torn: " + torn)
        if (words := it.shell("sqlite3 -readonly /var/lib/berth/berth.db 'pragma integrity_check'").strip()) != "ok":
            wrong.append("the database is torn: " + words)
        wrong += [line for line in it.journal().splitlines() if BAD_WORDS.search(line)]
        it.remove_all()
        wrong += it.left()
        self.told.clear()
        return wrong, (f"{len(pods)} pods, {len(containers)} containers, {len(images)} images on record, "
                       f"{len(it.addresses('-empty'))} addresses lost by host-local")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=25 if node.full() else 2)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    parser.add_argument("--out", help="where the consoles and journals go (default: BUILD/vm/power-loss)")
    parser.add_argument("--lanes", type=int, default=2, help="clients at a time")
    build = os.path.realpath(node.build_of(sys.argv))
    options = parser.parse_args()
    out = os.path.realpath(options.out or build + "/vm/power-loss")
    print(f"seed {options.seed}", flush=True)
    chooser, failed = random.Random(options.seed), 0
    shutil.rmtree(out, ignore_errors=True)
    make_registry(out + "/registry", build + "/e2e-images/faults", range(1, PER_ROUND * (options.rounds + 2)), chooser)
    try:
        with machine.Machine(out, machine.Payload([*node.payload(build), out + "/registry"])) as vm:
            vm.boot()
            loss = PowerLoss(vm, node.Node(vm, build), out + "/registry", chooser, options.lanes)
            loss.set_up()
            loss.serve()
            before = loss.first()
            for number in range(1, options.rounds + 1):
                wrong, moment = loss.lose()
                vm.boot()
                loss.serve()
                found, there = loss.check()
                wrong = before + wrong + found
                before = []
                print(f"round {number}: {moment}; {there}: {'WRONG' if wrong else 'as it should be'}", flush=True)
                for line in wrong:
                    print("  " + line, flush=True)
                if wrong:
                    with open(f"{out}/journal-{number}.txt", "w", encoding="utf-8") as file:
                        file.write(loss.node.journal())
                failed += bool(wrong)
            last = loss.first()
            print("at last it serves: " + ("; ".join(last) or "yes"))
            failed += bool(last)
            vm.power_off()
    finally:
        machine.drop_disks(out)
        shutil.rmtree(out + "/registry", ignore_errors=True)
    print(f"{options.rounds} rounds, {failed} wrong (seed {options.seed})")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
