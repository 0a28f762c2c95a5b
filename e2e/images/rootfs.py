# SPDX-License-Identifier: Apache-2.0
"""Root file systems from Debian's packages and the programs of this host."""
import glob
import os
import shutil
import subprocess

LIBRARIES = "usr/lib/x86_64-linux-gnu"

PASSWD = """root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
tester:x:1000:1000:a user of the tests:/home/tester:/bin/sh
grouped:x:1001:2001:member of other groups:/home/grouped:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""
GROUP = """root:x:0:
daemon:x:1:
www-data:x:33:
tester:x:1000:
primary:x:2001:
first:x:50000:grouped
second:x:50001:grouped,tester
nogroup:x:65534:
"""


def skeleton(root):
    """A merged-/usr tree, with users for the tests."""
    for path in ("etc", "root", "home/tester", "proc", "sys", "dev", "run", "var/tmp", "usr/bin", "usr/sbin", LIBRARIES):
        os.makedirs(os.path.join(root, path), exist_ok=True)
    for link in ("bin", "sbin", "lib"):
        os.symlink("usr/" + link, os.path.join(root, link))
    os.makedirs(os.path.join(root, "usr/lib64"), exist_ok=True)
    os.symlink("usr/lib64", os.path.join(root, "lib64"))
    os.makedirs(os.path.join(root, "tmp"), exist_ok=True)
    os.chmod(os.path.join(root, "tmp"), 0o1777)
    write(root, "etc/passwd", PASSWD)
    write(root, "etc/group", GROUP)
    write(root, "etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n")


def write(root, path, text, mode=0o644):
    full = os.path.join(root, path)
    os.makedirs(os.path.dirname(full), exist_ok=True)
    with open(full, "w", encoding="utf-8") as out:
        out.write(text)
    os.chmod(full, mode)


def add_file(root, source, target=None):
    full = os.path.join(root, (target or source).lstrip("/"))
    os.makedirs(os.path.dirname(full), exist_ok=True)
    shutil.copyfile(source, full)
    os.chmod(full, os.stat(source).st_mode & 0o7777)


def add_program(root, source, target=None):
    """A program with the libraries that ldd names; the loader keeps its path."""
    if not os.path.exists(source):
        raise SystemExit(f"e2e/images: '{source}' is missing on this host: see tools/deps")
    add_file(root, source, target or "usr/bin/" + os.path.basename(source))
    for line in subprocess.run(["ldd", source], check=False, capture_output=True, text=True).stdout.splitlines():
        for word in line.split():
            if not word.startswith("/"):
                continue
            name = os.path.basename(word)
            place = "usr/lib64" if name.startswith("ld-linux") else LIBRARIES
            if not os.path.exists(os.path.join(root, place, name)):
                add_file(root, os.path.realpath(word), os.path.join(place, name))


def busybox(root):
    add_program(root, "/bin/busybox")
    real = {"pgrep", "ipcs", "busybox"}
    for applet in subprocess.run(["/bin/busybox", "--list"], check=True, capture_output=True, text=True).stdout.split():
        if applet not in real:
            os.symlink("busybox", os.path.join(root, "usr/bin", applet))
    add_program(root, "/usr/bin/pgrep")
    add_program(root, "/usr/bin/ipcs")


def python(root):
    """Debian's python3-minimal: the interpreter and the modules that package split calls minimal."""
    add_program(root, os.path.realpath("/usr/bin/python3"))
    name = os.path.basename(os.path.realpath("/usr/bin/python3"))
    os.symlink(name, os.path.join(root, "usr/bin/python3"))
    for package in (f"lib{name}-minimal", f"{name}-minimal"):
        listed = subprocess.run(["dpkg", "-L", package], check=True, capture_output=True, text=True).stdout
        for path in listed.splitlines():
            if path.startswith("/usr/lib/python3") and os.path.isfile(path):
                add_file(root, path)


def nginx(root, cache):
    """Debian's nginx, unpacked without being installed; the packages are kept in `cache`."""
    os.makedirs(cache, exist_ok=True)
    packages = ("nginx", "nginx-common")
    if len(glob.glob(cache + "/nginx*.deb")) < len(packages):
        done = subprocess.run(["apt-get", "download", *packages], cwd=cache, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit("e2e/images: apt-get download nginx failed: " + done.stderr.strip())
    unpacked = os.path.join(cache, "unpacked")
    for package in sorted(glob.glob(cache + "/nginx*.deb")):
        subprocess.run(["dpkg", "-x", package, unpacked], check=True)
    add_program(root, unpacked + "/usr/sbin/nginx", "usr/sbin/nginx")
    add_file(root, unpacked + "/etc/nginx/mime.types", "etc/nginx/mime.types")
    for path in ("var/log/nginx", "var/lib/nginx", "var/www/html"):
        os.makedirs(os.path.join(root, path), exist_ok=True)
    write(root, "var/www/html/index.html", "berth test page\n")
    write(root, "etc/nginx/nginx.conf", """user www-data;
worker_processes 1;
daemon off;
pid /run/nginx.pid;
error_log /dev/stderr notice;
events { worker_connections 64; }
http {
  include /etc/nginx/mime.types;
  access_log /dev/stdout;
  server {
    listen 80;
    listen [::]:80;
    root /var/www/html;
  }
}
""")
