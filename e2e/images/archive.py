# SPDX-License-Identifier: Apache-2.0
"""Layers, and the two archive formats that images travel in: OCI layout and docker-archive.

Everything is deterministic: entries sorted, time zero, owner root unless said otherwise.
"""
import gzip
import hashlib
import io
import json
import os
import stat
import tarfile

EPOCH = "1970-01-01T00:00:00Z"


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Layer:
    """One tar layer, built entry by entry in the order of the calls."""

    def __init__(self):
        self._buffer = io.BytesIO()
        self._tar = tarfile.open(fileobj=self._buffer, mode="w", format=tarfile.PAX_FORMAT)
        self._dirs = set()

    def add(self, path, kind=tarfile.REGTYPE, data=b"", mode=0o644, uid=0, gid=0, link="", xattrs=None, mtime=0):
        entry = tarfile.TarInfo(path.lstrip("/"))
        entry.type, entry.mode, entry.uid, entry.gid = kind, mode, uid, gid
        entry.linkname, entry.mtime, entry.size = link, mtime, len(data)
        if xattrs:
            entry.pax_headers = {"SCHILY.xattr." + name: value for name, value in xattrs.items()}
        self._tar.addfile(entry, io.BytesIO(data))
        return self

    def dir(self, path, mode=0o755, **more):
        self._dirs.add(path.strip("/"))
        return self.add(path, tarfile.DIRTYPE, mode=mode, **more)

    def file(self, path, text, **more):
        return self.add(path, data=text if isinstance(text, bytes) else text.encode(), **more)

    def symlink(self, path, target):
        return self.add(path, tarfile.SYMTYPE, mode=0o777, link=target)

    def hardlink(self, path, target):
        return self.add(path, tarfile.LNKTYPE, link=target.lstrip("/"))

    def whiteout(self, path):
        head, tail = os.path.split(path)
        return self.file(os.path.join(head, ".wh." + tail), b"")

    def opaque(self, path):
        return self.file(os.path.join(path, ".wh..wh..opq"), b"")

    def tree(self, root):
        """Everything below `root`, as it is on disk, owned by root."""
        for here, dirs, files in os.walk(root):
            dirs.sort()
            links = [d for d in dirs if os.path.islink(os.path.join(here, d))]
            for name in sorted(files + links + [d for d in dirs if d not in links]):
                full = os.path.join(here, name)
                path = os.path.relpath(full, root)
                info = os.lstat(full)
                mode = stat.S_IMODE(info.st_mode)
                if stat.S_ISLNK(info.st_mode):
                    self.symlink(path, os.readlink(full))
                elif stat.S_ISDIR(info.st_mode):
                    self.dir(path, mode=mode)
                else:
                    with open(full, "rb") as source:
                        self.file(path, source.read(), mode=mode)
        return self

    def tar(self):
        self._tar.close()
        return self._buffer.getvalue()


class Image:
    """An image for this host: layers (uncompressed tars) and a configuration."""

    def __init__(self, name, layers, config=None, compress=True, architecture="amd64"):
        self.name, self.layers, self.compress = name, layers, compress
        self.config = json.dumps({
            "created": EPOCH, "architecture": architecture, "os": "linux", "config": config or {},
            "rootfs": {"type": "layers", "diff_ids": [digest(layer) for layer in layers]},
            "history": [{"created": EPOCH, "created_by": "e2e/images/build"} for _ in layers],
        }, sort_keys=True).encode()

    def blobs(self):
        """The blobs of the OCI layout, and the descriptor of the manifest."""
        blobs, layers = {}, []

        def put(data, media_type):
            blobs[digest(data)] = data
            return {"mediaType": media_type, "digest": digest(data), "size": len(data)}

        for layer in self.layers:
            if self.compress:
                layers.append(put(gzip.compress(layer, 6, mtime=0), "application/vnd.oci.image.layer.v1.tar+gzip"))
            else:
                layers.append(put(layer, "application/vnd.oci.image.layer.v1.tar"))
        manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                    "config": put(self.config, "application/vnd.oci.image.config.v1+json"), "layers": layers}
        return blobs, put(json.dumps(manifest, sort_keys=True).encode(), manifest["mediaType"])


def _write(path, files):
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in files:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o644
            archive.addfile(entry, io.BytesIO(data))


def write_oci(path, images, reference):
    """One OCI layout with `reference`: the image, or, for (image, platform) pairs, an index over them."""
    blobs, descriptors = {}, []
    for image, platform in images:
        more, descriptor = image.blobs()
        blobs.update(more)
        descriptors.append({**descriptor, **({"platform": platform} if platform else {})})
    if len(images) > 1:
        index = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
                            "manifests": descriptors}, sort_keys=True).encode()
        blobs[digest(index)] = index
        descriptors = [{"mediaType": "application/vnd.oci.image.index.v1+json", "digest": digest(index),
                        "size": len(index)}]
    descriptors[0]["annotations"] = {"org.opencontainers.image.ref.name": reference,
                                     "io.containerd.image.name": reference}
    files = [("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'),
             ("index.json", json.dumps({"schemaVersion": 2, "manifests": descriptors}, sort_keys=True).encode())]
    files += [("blobs/" + d.replace(":", "/"), data) for d, data in sorted(blobs.items())]
    _write(path, files)


def write_docker(path, image, reference):
    """What `docker save` writes: plain layers, a configuration named by its digest, manifest.json."""
    config_name = digest(image.config).split(":")[1] + ".json"
    files, names = [(config_name, image.config)], []
    for layer in image.layers:
        names.append(digest(layer).split(":")[1] + "/layer.tar")
        files.append((names[-1], layer))
    manifest = [{"Config": config_name, "RepoTags": [reference], "Layers": names}]
    files.append(("manifest.json", json.dumps(manifest).encode()))
    _write(path, files)
