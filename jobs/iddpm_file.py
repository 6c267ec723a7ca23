"""The checkpoints of iddpm in Python: the format of src/store/checkpoint.h written and read, and the texts in it."""
import json
import os
import re
import zlib

import h5py
import numpy as np
from h5py import h5d, h5f, h5g, h5p, h5s, h5t

FORMAT_VERSION = 1  # src/store/checkpoint.h
TABLE = "checksums"


class Refusal(Exception):
    """What the user is told."""


# ---- texts ---------------------------------------------------------------------------------------------------------


def config_value(text, key, default=None):
    """A value of a configuration as iddpm writes it: groups, and in them a line for each key."""
    group, name = key.split(".")
    found = re.search(rf"^{group}:\n(?:  .*\n)*?  {name}: (.*)$", text, re.M)
    if not found:
        return default
    try:
        return json.loads(found[1])
    except ValueError:
        return found[1]  # a word, which has no quotes


def rate_text(rate):
    """As text_from_number in src/config/text.c: the name of an EMA's group."""
    text = next(text for text in (f"{rate:.{digits}g}" for digits in range(1, 18)) if float(text) == rate)
    return re.sub(r"^(\d+)e", r"\1.0e", text)


# ---- files that are whole or not there -----------------------------------------------------------------------------


def sync(path):
    number = os.open(path, os.O_RDONLY)
    os.fsync(number)
    os.close(number)


def publish(temporary, path):
    os.replace(temporary, path)
    sync(path.parent)


def write_text(path, text):
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text)
    sync(temporary)
    publish(temporary, path)


# ---- checkpoints ---------------------------------------------------------------------------------------------------


class Writer:
    """A checkpoint in the format of src/store/checkpoint.h: the layout first, then each array, then the checksums."""

    TYPES = {"f4": h5t.NATIVE_FLOAT, "f8": h5t.NATIVE_DOUBLE, "i8": h5t.NATIVE_INT64, "u1": h5t.NATIVE_UINT8}

    def __init__(self, path, step, config, arrays):
        """arrays: {path: (type, shape)}"""
        access, create = h5p.create(h5p.FILE_ACCESS), h5p.create(h5p.FILE_CREATE)
        access.set_libver_bounds(h5f.LIBVER_V18, h5f.LIBVER_V18)
        create.set_obj_track_times(False)
        self.path, self.crcs = path, dict.fromkeys(arrays, 0)
        self.file = h5f.create(os.fsencode(path), h5f.ACC_TRUNC, create, access)
        attributes = h5py.File(self.file).attrs
        attributes.create("format_version", np.int64(FORMAT_VERSION))
        for name, text in (("program", "iddpm convert_checkpoint.py"), ("config", config)):
            text = text.encode() + b"\0"
            attributes.create(name, np.bytes_(text), dtype=h5py.string_dtype("utf-8", len(text)))
        attributes.create("step", np.int64(step))
        self.length = max(len(name.encode()) for name in [TABLE, *arrays]) + 1
        self.arrays = {name: self.create(name, self.TYPES[kind], shape) for name, (kind, shape) in arrays.items()}
        self.table = self.create(TABLE, self.row_type(), (len(arrays) + 1,))

    def create(self, name, kind, shape):
        create, folder = h5p.create(h5p.DATASET_CREATE), h5p.create(h5p.GROUP_CREATE)
        create.set_layout(h5d.CONTIGUOUS)
        create.set_alloc_time(h5d.ALLOC_TIME_EARLY)
        create.set_fill_time(h5d.FILL_TIME_NEVER)
        create.set_obj_track_times(False)
        folder.set_obj_track_times(False)
        for at in (i for i, letter in enumerate(name) if letter == "/"):
            if name[:at].encode() not in self.file:
                h5g.create(self.file, name[:at].encode(), gcpl=folder)
        space = h5s.create_simple(shape) if shape else h5s.create(h5s.SCALAR)
        return h5d.create(self.file, name.encode(), kind, space, create)

    def row_type(self):
        text = h5t.C_S1.copy()
        text.set_size(self.length)
        text.set_strpad(h5t.STR_NULLPAD)
        text.set_cset(h5t.CSET_UTF8)
        row = h5t.create(h5t.COMPOUND, self.length + 4)
        row.insert(b"path", 0, text)
        row.insert(b"crc32", self.length, h5t.NATIVE_UINT32)
        return row

    def write(self, name, array):
        array = np.asarray(array, order="C")
        self.arrays[name].write(h5s.ALL, h5s.ALL, array)
        self.crcs[name] = zlib.crc32(array.tobytes())

    def row(self, name, crc):
        return name.encode().ljust(self.length, b"\0") + np.uint32(crc).tobytes()

    def finish(self):
        """The checksums; then the file is on the disk."""
        rows = b"".join(self.row(name, crc) for name, crc in self.crcs.items())
        rows += self.row(TABLE, zlib.crc32(rows))
        self.table.write(h5s.ALL, h5s.ALL, np.frombuffer(rows, np.dtype((np.void, self.length + 4))), self.row_type())
        self.arrays = self.table = None
        self.file.close()
        sync(self.path)


def read_checked(path):
    """step, configuration and {path: array} of a checkpoint; every array's checksum is compared as it is read."""
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise Refusal(f"{path}: cannot be opened as HDF5: {error}") from None
    if file.attrs.get("format_version") != FORMAT_VERSION or TABLE not in file:
        raise Refusal(f"{path}: is no checkpoint of iddpm of format_version {FORMAT_VERSION}")
    config = file.attrs["config"]
    crcs = {row["path"].decode(): int(row["crc32"]) for row in file[TABLE][:-1]}

    def read(name):
        try:
            array = file[name][()]
        except (KeyError, OSError, RuntimeError) as error:
            raise Refusal(f"{path}: damaged: {name} cannot be read: {error}") from None
        if zlib.crc32(np.asarray(array, order="C").tobytes()) != crcs[name]:
            raise Refusal(f"{path}: damaged: the checksum of {name} is wrong")
        return array

    return int(file.attrs["step"]), config if isinstance(config, str) else config.decode(), list(crcs), read
