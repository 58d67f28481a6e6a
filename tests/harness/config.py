"""A configuration file as operators have it: edited, or a ConfigMap that a kubelet swaps."""

import os
import pathlib
import re

NAME = "doorman.yaml"


class ConfigFile:
    """A plain file, written whole or replaced by rename."""

    def __init__(self, folder, text=""):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.path = self.folder / NAME
        self.path.write_text(text)

    def write(self, text):
        self.path.write_text(text)

    def replace(self, text):
        """As editors and configuration management do: a new file takes the name."""
        fresh = self.folder / f".{NAME}.new"
        fresh.write_text(text)
        os.rename(fresh, self.path)


class ConfigMap:
    """A volume as the kubelet makes it: doorman.yaml -> ..data/doorman.yaml, ..data -> a folder
    that is never changed, swapped by the rename of a link (AtomicWriter)."""

    def __init__(self, folder, text=""):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.path = self.folder / NAME
        self.versions = 0
        self.swap(text)
        os.symlink(f"..data/{NAME}", self.path)

    def swap(self, text):
        self.versions += 1
        fresh = self.folder / f"..2026_01_01_00_00_00.{self.versions:010d}"
        fresh.mkdir()
        (fresh / NAME).write_text(text)
        before = os.readlink(self.folder / "..data") if self.versions > 1 else None
        os.symlink(fresh.name, self.folder / "..data_tmp")
        os.rename(self.folder / "..data_tmp", self.folder / "..data")
        if before is not None:
            (self.folder / before / NAME).unlink()
            (self.folder / before).rmdir()


def generation(program):
    """Of the settings in force."""
    return program.metrics()["doorman_config_generation"]


def reloads(program, result):
    return program.metrics().get(f'doorman_config_reload_total{{result="{result}"}}', 0)


def changes(log):
    """What `Config changed: KEY = old -> new` lines tell, in order."""
    return re.findall(r"Config changed: ([A-Z_0-9]+) = ([^\"\n]*?)(?=\"|\n|$)", log)
