# SPDX-License-Identifier: Apache-2.0
"""The image `layers`: everything that unpacking can get wrong, one small case per directory.

What a container must see of it stands in /expected, one `path kind content` per line, written beside the case.
"""
import tarfile

import archive

LONG = "/".join(["a-directory-with-a-long-name-%02d" % i for i in range(8)])


def image(busybox):
    first, second, third = archive.Layer(), archive.Layer(), archive.Layer()
    expected = []

    def expect(path, kind, content=""):
        expected.append(f"{path} {kind} {content}".rstrip())

    # A file deleted and another one kept.
    first.dir("gone").file("gone/deleted", "x").file("gone/kept", "kept")
    second.whiteout("gone/deleted")
    expect("/gone/deleted", "absent")
    expect("/gone/kept", "file", "kept")
    # A whole directory deleted, made again with other content: nothing of the old may shine through.
    first.dir("again").file("again/old", "old")
    second.whiteout("again")
    third.dir("again").file("again/new", "new")
    expect("/again/old", "absent")
    expect("/again/new", "file", "new")
    # An opaque directory hides everything below it, but not what its own layer brings, before or after the mark.
    first.dir("opaque").file("opaque/low", "low").dir("opaque/sub").file("opaque/sub/low", "low")
    second.dir("opaque").file("opaque/before", "before").opaque("opaque").file("opaque/after", "after")
    expect("/opaque/low", "absent")
    expect("/opaque/sub", "absent")
    expect("/opaque/before", "file", "before")
    expect("/opaque/after", "file", "after")
    # A whiteout of what never was, and one of a path that a lower layer has as a file.
    second.dir("never").whiteout("never/was")
    expect("/never/was", "absent")
    # A directory replaced by a file and a file by a directory.
    first.dir("swap").dir("swap/d").file("swap/d/x", "x").file("swap/f", "f")
    second.whiteout("swap/d").file("swap/d", "now a file").whiteout("swap/f").dir("swap/f").file("swap/f/y", "y")
    expect("/swap/d", "file", "now a file")
    expect("/swap/f/y", "file", "y")
    # Hard links, also to a name of the same layer that comes with a leading slash, and one overwritten above.
    first.dir("hard").file("hard/one", "same").hardlink("hard/two", "hard/one").hardlink("hard/three", "/hard/one")
    second.file("hard/three", "other")
    expect("/hard/two", "samefile", "/hard/one")
    expect("/hard/three", "file", "other")
    # Symlinks: dangling, absolute, and one that leads out of the root: it stays a link and nothing follows it.
    first.dir("links").symlink("links/dangling", "nowhere").symlink("links/absolute", "/gone/kept")
    first.dir("tmp", mode=0o1777).symlink("links/out", "../../../../../../../tmp")
    first.file("links/out/escaped-from-layer", "inside")
    expect("/tmp/escaped-from-layer", "file", "inside")
    expect("/links/dangling", "link", "nowhere")
    expect("/links/absolute", "link", "/gone/kept")
    # Extended attributes: a capability (7 bytes of header and masks) and a user attribute.
    capability = b"\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    first.dir("xattr").file("xattr/user", "u", xattrs={"user.test": "value"})
    first.file("xattr/capable", "c", mode=0o755,
               xattrs={"security.capability": capability.decode("utf-8", "surrogateescape")})
    # Owners, modes, times; setuid must survive the chown.
    first.dir("modes").file("modes/suid", "s", mode=0o4755, uid=1000, gid=50000).dir("modes/sticky", mode=0o1777)
    first.file("modes/secret", "x", mode=0o000).file("modes/time", "t", mtime=1234567890)
    expect("/modes/suid", "stat", "4755:1000:50000")
    expect("/modes/sticky", "stat", "1777:0:0")
    expect("/modes/secret", "stat", "0:0:0")
    expect("/modes/time", "mtime", "1234567890")
    # Special files, names with odd bytes, long paths, a directory whose entry comes after its content, no entry at all.
    first.dir("special").add("special/fifo", tarfile.FIFOTYPE, mode=0o600)
    expect("/special/fifo", "fifo")
    first.dir("odd").file("odd/with space", "1").file("odd/new\nline", "2").file("odd/ümläut", "3")
    expect("/odd/ümläut", "file", "3")
    first.file(LONG + "/file", "deep")
    expect("/" + LONG + "/file", "file", "deep")
    first.file("late/file", "late").dir("late", mode=0o700)
    expect("/late", "stat", "700:0:0")
    first.file("./dotted/./file", "dotted")
    expect("/dotted/file", "file", "dotted")
    # The same path twice in one layer: the last one counts.
    first.file("twice", "first").file("twice", "second")
    expect("/twice", "file", "second")
    # A read-only directory that a later layer writes into.
    first.dir("readonly", mode=0o555).file("readonly/a", "a")
    second.file("readonly/b", "b")
    expect("/readonly/b", "file", "b")
    third.file("expected", "\n".join(expected) + "\n")
    return archive.Image("layers", [busybox, first.tar(), second.tar(), third.tar(), archive.Layer().tar()],
                         {"Env": ["PATH=/usr/bin"], "Cmd": ["sleep", "100000"]})
