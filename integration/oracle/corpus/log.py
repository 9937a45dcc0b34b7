"""A version of a Delta table, replayed from its log: all commits where none is cleaned,
else the newest checkpoint that the commits after it lead on from."""

import collections
import json
import os
import re
import urllib.parse

import pyarrow.parquet as parquet

import deletion_vector

COMMIT = re.compile(r"^(\d{20})\.json$")
CHECKPOINT = re.compile(r"^(\d{20})\.checkpoint(?:\.(\d{10})\.(\d{10})|\.([0-9a-f-]{36}))?\.(parquet|json)$")
CHECKPOINT_COLUMNS = [
    "metaData", "protocol", "sidecar",
    "add.path", "add.partitionValues", "add.deletionVector",
]
# Reader features that change nothing for who reads all rows, or that are read here.
FEATURES = {
    "columnMapping", "deletionVectors", "timestampNtz", "typeWidening", "typeWidening-preview",
    "v2Checkpoint", "vacuumProtocolCheck", "variantType", "variantType-preview",
    "variantShredding", "variantShredding-preview",
}
ADDRESS = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*:")


class Snapshot:
    """The schema, the column mapping and the live files of a version."""

    def __init__(self, root):
        self.root, self.metadata, self.protocol = root, None, None
        self.files = {}

    def replay(self, actions):
        """Removes go first: the order inside a commit means nothing."""
        actions = list(actions)
        for action in actions:
            remove = action.get("remove")
            if remove:
                self.files.pop(identity(remove), None)
        for action in actions:
            self.metadata = action.get("metaData") or self.metadata
            self.protocol = action.get("protocol") or self.protocol
            add = action.get("add")
            if add and add.get("path") is not None:
                add["partitionValues"] = dict(add.get("partitionValues") or {})
                self.files[identity(add)] = add

    def check(self):
        if not self.metadata or not self.protocol:
            raise ValueError("the log has no metadata or no protocol")
        wanted = set(self.protocol.get("readerFeatures") or [])
        if wanted - FEATURES or self.protocol["minReaderVersion"] > 3:
            raise ValueError(f"not read: {self.protocol}")
        if wanted and self.protocol["minReaderVersion"] < 3:
            raise ValueError("reader features of a protocol that has none")

    def fields(self):
        return json.loads(self.metadata["schemaString"])["fields"]

    def mapping(self):
        return self.configuration().get("delta.columnMapping.mode", "none")

    def widens(self):
        """Whether types of columns may get wider."""
        return self.configuration().get("delta.enableTypeWidening") == "true"

    def configuration(self):
        return dict(self.metadata.get("configuration") or {})

    def path(self, add):
        return local(self.root, add["path"])

    def deletions(self, add):
        """Places of the rows of a file that are deleted."""
        return deletion_vector.places(add.get("deletionVector"), self.root)

    def missing(self):
        vectors = [deletion_vector.path(add.get("deletionVector"), self.root) for add in self.files.values()]
        paths = [self.path(add) for add in self.files.values()] + [path for path in vectors if path]
        return sorted({path for path in paths if not os.path.exists(path)})


def at(root, version=None):
    """The table at a version, or at the newest."""
    for number, snapshot in versions(root):
        if number == version:
            break
    snapshot.check()
    return snapshot


def versions(root):
    """Each version with its number, ascending, by one snapshot that is replayed on and on."""
    folder = os.path.join(root, "_delta_log")
    names = os.listdir(folder)
    commits = {int(found[1]): name for name in names if (found := COMMIT.match(name))}
    snapshot = Snapshot(root)
    after = -1
    if 0 not in commits:
        after, parts = newest_checkpoint(names)
        for part in parts:
            snapshot.replay(checkpoint_actions(folder, part))
        yield after, snapshot
    last = max([after, *commits])
    for version in range(after + 1, last + 1):
        with open(os.path.join(folder, commits[version]), encoding="utf-8") as lines:
            snapshot.replay(json.loads(line) for line in lines if line.strip())
        yield version, snapshot


def stops(root):
    """Versions that a reader can stop at on its way to the newest: of the same table and columns,
    with all their files."""
    head = at(root)
    wanted = [head.metadata[part] for part in ("id", "schemaString", "partitionColumns")]
    found = []
    for number, snapshot in versions(root):
        metadata = snapshot.metadata or {}
        same = [metadata.get(part) for part in ("id", "schemaString", "partitionColumns")] == wanted
        if same and not snapshot.missing():
            found.append(number)
    return found


def newest_checkpoint(names):
    """The newest complete checkpoint: its version and its files."""
    parts = collections.defaultdict(list)
    for name in names:
        if found := CHECKPOINT.match(name):
            version, _, of, uuid, _ = found.groups()
            parts[int(version), int(of or 1), uuid or ""].append(name)
    complete = {key: names for key, names in parts.items() if len(names) == key[1]}
    if not complete:
        raise FileNotFoundError("a log without its first commit and without a checkpoint")
    newest = max(complete)
    return newest[0], complete[newest]


def checkpoint_actions(folder, name):
    path = os.path.join(folder, name)
    if path.endswith(".json"):
        with open(path, encoding="utf-8") as lines:
            actions = [json.loads(line) for line in lines if line.strip()]
    else:
        actions = parquet_actions(path)
    for action in actions:
        yield action
        if sidecar := action.get("sidecar"):
            yield from parquet_actions(local(os.path.join(folder, "_sidecars"), sidecar["path"]))


def parquet_actions(path):
    file = parquet.ParquetFile(path)
    leaves = [file.schema.column(place).path for place in range(len(file.schema))]
    wanted = [leaf for leaf in leaves if any(leaf == name or leaf.startswith(name + ".") for name in CHECKPOINT_COLUMNS)]
    return file.read(columns=wanted).to_pylist()


def identity(action):
    vector = action.get("deletionVector")
    name = vector and (vector["storageType"], vector["pathOrInlineDv"], vector.get("offset"))
    return urllib.parse.unquote(action["path"]), name


def local(root, path):
    """Where a file of the log lies: a path is percent-encoded, relative or absolute."""
    if ADDRESS.match(path):
        path = urllib.parse.urlparse(path).path
    return os.path.join(root, urllib.parse.unquote(path))
