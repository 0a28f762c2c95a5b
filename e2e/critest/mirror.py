# SPDX-License-Identifier: Apache-2.0
"""A registry on loopback with the images that critest names, made of this host's programs."""
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "../images"))
import archive  # noqa: E402
import rootfs  # noqa: E402

ADDRESS = "127.0.0.1:5005"
HOSTS = ("registry.k8s.io", "gcr.io", "k8s.gcr.io")
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
STAGING = "k8s-staging-cri-tools/"

# "master process" is what critest looks for in the command line, /var/run/nginx.pid what it waits for.
NGINX = """daemon off;
pid /run/nginx.pid;
error_log stderr;
events {}
http {
  access_log /dev/stdout;
  include mime.types;
  server { listen %d; listen [::]:%d ipv6only=on; root /var/www/html; }
}
"""


def layer(fill):
    with tempfile.TemporaryDirectory(prefix="berth-critest-image-") as root:
        fill(root)
        return archive.Layer().tree(root).tar()


def base(root):
    rootfs.skeleton(root)
    rootfs.busybox(root)
    os.symlink("../run", os.path.join(root, "var/run"))
    # critest masks /bin/ls, which must not be busybox itself.
    os.unlink(os.path.join(root, "usr/bin/ls"))
    rootfs.add_file(root, os.path.join(root, "usr/bin/busybox"), "usr/bin/ls")
    with open(os.path.join(root, "etc/passwd"), "a", encoding="utf-8") as out:
        out.write("default-user:x:1000:1000::/home/tester:/bin/sh\n")


def members(root):
    os.makedirs(os.path.join(root, "etc"))
    rootfs.write(root, "etc/passwd", "root:x:0:0:root:/root:/bin/sh\ndefault-user:x:1000:1000::/home/tester:/bin/sh\n")
    rootfs.write(root, "etc/group", "root:x:0:\ndefault-user:x:1000:\ngroup-defined-in-image:x:50000:default-user\n")


def web(port):
    def fill(root):
        rootfs.nginx(root, os.path.join(web.cache, "packages"))
        rootfs.write(root, "etc/nginx/nginx.conf", NGINX % (port, port))
    return layer(fill)


SETUID = """#include <cstdio>
#include <unistd.h>
int main() { std::printf("Effective uid: %d\\n", static_cast<int>(geteuid())); }
"""


def setuid_program():
    """A program that runs as root, whoever starts it, unless no_new_privs is set."""
    with tempfile.TemporaryDirectory(prefix="berth-critest-nnp-") as work:
        with open(work + "/nnp.cc", "w", encoding="utf-8") as out:
            out.write(SETUID)
        subprocess.run(["g++", "-static", "-O1", "-o", work + "/nnp", work + "/nnp.cc"], check=True)
        return archive.Layer().add("nnp", data=open(work + "/nnp", "rb").read(), mode=0o4755).tar()


def images(cache):
    """(repository, tags, image) for every name in critest's constants."""
    web.cache = cache
    tools = layer(base)
    groups = layer(members)

    def one(name, more=(), **config):
        return archive.Image(name, [tools, *more], {"Env": [PATH], "Cmd": ["sh"], **config})

    def distinct(name):
        return one(name, [archive.Layer().file("what", name).tar()])

    yield "e2e-test-images/busybox", ["1.29-2"], one("busybox")
    nginx = {"Cmd": ["nginx"], "ExposedPorts": {"80/tcp": {}}}
    yield "e2e-test-images/nginx", ["1.14-2"], one("nginx", [web(80)], **nginx)
    yield STAGING + "hostnet-nginx-amd64", ["latest"], one("hostnet-nginx", [web(12003)], **nginx)
    yield STAGING + "hostnet-nginx-arm64", ["latest"], one("hostnet-nginx", [web(12003)], **nginx)
    page = archive.Layer().file("srv/index.html", "It works\n").tar()
    httpd = ["sh", "-c", "echo httpd starts; exec httpd -f -v -p 80 -h /srv"]
    yield "e2e-test-images/httpd", ["2.4.39-4"], one("httpd", [page], Cmd=httpd)
    yield "e2e-test-images/nonewprivs", ["1.3"], one("nonewprivs", [setuid_program()], Cmd=["/nnp"])
    yield "pause", ["3.9"], one("pause", Cmd=["sleep", "100000"])
    for suffix, user in (("uid", "1002"), ("username", "www-data"), ("uid-group", "1003:1004"),
                         ("username-group", "www-data:1004")):
        yield STAGING + "test-image-user-" + suffix, ["latest"], one("user-" + suffix, User=user)
    yield STAGING + "test-image-predefined-group", ["latest"], one("predefined", [groups], User="1000")
    for name in ("test-image-latest", "test-image-digest", "test-image-1", "test-image-2", "test-image-3"):
        yield STAGING + name, ["latest"], distinct(name)
    yield STAGING + "test-image-tags", ["1", "2", "3"], distinct("test-image-tags")
    yield STAGING + "test-image-tag", ["test", "all"], distinct("test-image-tag")


def start(prepared, work, seconds=60):
    """The registry over `prepared`/registry, which may be read-only; its log lies in `work`."""
    with open(work + "/registry.yml", "w", encoding="utf-8") as out:
        out.write("version: 0.1\nlog: {level: warn}\nstorage:\n  filesystem: {rootdirectory: " + prepared +
                  "/registry}\nhttp: {addr: '" + ADDRESS + "'}\n")
    log = open(work + "/registry.log", "wb")
    registry = subprocess.Popen(["docker-registry", "serve", work + "/registry.yml"], stdout=log, stderr=log)
    deadline = time.monotonic() + seconds
    while subprocess.run(["curl", "-sf", f"http://{ADDRESS}/v2/"], capture_output=True, check=False).returncode != 0:
        if registry.poll() is not None or time.monotonic() > deadline:
            raise SystemExit("docker-registry did not start: see " + work + "/registry.log")
        time.sleep(0.1)
    return registry


def stop(process):
    if process is not None and process.poll() is None:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def fill(prepared, cache):
    """Pushes the images to the registry, which runs, and writes the mirrors' configuration. The digests of what
    critest names by digest."""
    for host in HOSTS:
        os.makedirs(f"{prepared}/certs.d/{host}", exist_ok=True)
        with open(f"{prepared}/certs.d/{host}/hosts.toml", "w", encoding="utf-8") as out:
            out.write(f'server = "http://{ADDRESS}"\n[host."http://{ADDRESS}"]\n  capabilities = ["pull", "resolve"]\n')
    skopeo = ["skopeo", "--insecure-policy"]
    digests = {}
    for repository, tags, image in images(cache):
        file = prepared + "/image.oci.tar"
        archive.write_oci(file, [(image, None)], "image:latest")
        for tag in tags:
            subprocess.run([*skopeo, "copy", "-q", "--dest-tls-verify=false", "oci-archive:" + file,
                            f"docker://{ADDRESS}/{repository}:{tag}"], check=True)
        os.unlink(file)
        if repository.endswith("test-image-digest"):
            found = subprocess.run([*skopeo, "inspect", "--tls-verify=false", f"docker://{ADDRESS}/{repository}"],
                                   check=True, capture_output=True, text=True).stdout
            digests["gcr.io/" + repository] = json.loads(found)["Digest"].removeprefix("sha256:")
    return digests


def private_copy(critest, target, digests):
    """critest with the digest of our image in place of the one that cannot be had."""
    program = open(critest, "rb").read()
    for name, digest in digests.items():
        found = re.search(re.escape(name.encode()) + rb"@sha256:([0-9a-f]{64})", program)
        if found:
            program = program[:found.start(1)] + digest.encode() + program[found.end(1):]
    with open(target, "wb") as out:
        out.write(program)
    os.chmod(target, 0o755)


def prepare(prepared, work, cache, critest):
    """What a run needs and can be carried elsewhere: the registry's files, the mirrors' configuration, critest's copy."""
    os.makedirs(prepared, exist_ok=True)
    os.makedirs(cache, exist_ok=True)
    registry = start(prepared, work)
    try:
        private_copy(critest, prepared + "/critest", fill(prepared, cache))
    finally:
        stop(registry)


def remove_cgroups(path):
    """The cgroups of a run, in every hierarchy, with what is still in them."""
    mounts = [line.split()[1] for line in open("/proc/self/mounts", encoding="utf-8") if line.split()[2].startswith("cgroup")]
    for mount in mounts:
        top = mount + path
        for directory, _, _ in os.walk(top, topdown=False):
            try:
                for pid in open(directory + "/cgroup.procs", encoding="utf-8").read().split():
                    os.kill(int(pid), 9)
                for _ in range(50):
                    try:
                        os.rmdir(directory)
                        break
                    except OSError:
                        time.sleep(0.1)
            except (OSError, ValueError):
                continue
