"""
Which databases and collections a command is about, besides the ones in the places where most commands have them.

    find, insert, update ...                the first value names the collection
    aggregate, create and collMod of views  stages name others: $lookup, $graphLookup, $unionWith, $out, $merge; viewOn
    moveChunk, dataSize, renameCollection   the first value is database.collection
    ping, serverStatus, createUser ...      none
    all others                              may be about any: applyOps, bulkWrite, what a later server has

Lives here: these lists, `others`. Does not: other metadata (`metadata`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from metaproxy.codecs.mongodb import bson, wire

Values = tuple[str | None, ...]

COLLECTION_COMMANDS: Final = frozenset(
    (
        "aggregate", "analyze", "captrunc", "checkMetadataConsistency", "cleanupStructuredEncryptionData",
        "collMod", "collStats", "compact", "compactStructuredEncryptionData", "convertToCapped", "count",
        "create", "createIndexes", "createSearchIndexes", "dbCheck", "delete", "distinct", "drop",
        "dropIndexes", "dropSearchIndex", "emptycapped", "find", "findAndModify", "geoNear", "geoSearch",
        "godinsert", "indexStats", "insert", "killCursors", "listIndexes", "listSearchIndexes", "mapReduce",
        "parallelCollectionScan", "planCacheClear", "planCacheClearFilters", "planCacheListFilters",
        "planCacheListPlans", "planCacheListQueryShapes", "planCacheSetFilter", "reIndex", "repairCursor",
        "setIndexCommitQuorum", "storageDetails", "text", "touch", "update", "updateSearchIndex", "validate",
    )
)  # fmt: skip
"""Commands whose first value is the name of a collection."""

_WHOLE_NAMES: Final = frozenset(
    (
        "abortReshardCollection", "analyzeShardKey", "balancerCollectionStatus", "checkShardingIndex",
        "cleanupOrphaned", "cleanupReshardCollection", "clearJumboFlag", "commitReshardCollection",
        "configureCollectionBalancing", "configureQueryAnalyzer", "dataSize", "getShardVersion", "medianKey",
        "mergeAllChunksOnShard", "mergeChunks", "moveChunk", "moveCollection", "moveRange", "refineCollectionShardKey",
        "renameCollection", "reshardCollection", "setAllowMigrations", "shardCollection", "split", "splitChunk",
        "splitVector", "unshardCollection", "untrackUnshardedCollection", "updateZoneKeyRange",
    )
)  # fmt: skip
"""Commands whose first value is database.collection."""

_NAME_NONE: Final = frozenset(
    (
        "_isSelf", "abortTransaction", "addShard", "addShardToZone", "appendOplogNote", "authenticate", "autoCompact",
        "availableQueryOptions", "balancerStart", "balancerStatus", "balancerStop", "buildInfo", "commitTransaction",
        "configureFailPoint", "connPoolStats", "connPoolSync", "connectionStatus", "coordinateCommitTransaction",
        "createRole", "createUser", "currentOp", "dbHash", "dbStats", "driverOIDTest", "dropAllRolesFromDatabase",
        "dropAllUsersFromDatabase", "dropConnections", "dropRole", "dropUser", "echo", "enableSharding", "endSessions",
        "features", "flushRouterConfig", "forceerror", "fsync", "fsyncUnlock", "getAuditConfig", "getChangeStreamState",
        "getClusterParameter", "getCmdLineOpts", "getDatabaseVersion", "getDefaultRWConcern", "getDiagnosticData",
        "getFreeMonitoringStatus", "getLastError", "getLog", "getParameter", "getPrevError", "getShardMap", "getnonce",
        "grantPrivilegesToRole", "grantRolesToRole", "grantRolesToUser", "hello", "hostInfo", "invalidateUserCache",
        "isMaster", "isdbgrid", "killAllSessions", "killAllSessionsByPattern", "killOp", "killSessions",
        "listCollections", "listCommands", "listDatabases", "listShards", "lockInfo", "logApplicationMessage",
        "logRotate", "logout", "netstat", "ping", "prepareTransaction", "profile", "refreshSessions", "releaseMemory",
        "removeShard", "removeShardFromZone", "replSetAbortPrimaryCatchUp", "replSetFreeze", "replSetGetConfig",
        "replSetGetRBID", "replSetGetStatus", "replSetHeartbeat", "replSetInitiate", "replSetMaintenance",
        "replSetReconfig", "replSetRequestVotes", "replSetResizeOplog", "replSetStepDown", "replSetStepUp",
        "replSetSyncFrom", "replSetUpdatePosition", "resetError", "revokePrivilegesFromRole", "revokeRolesFromRole",
        "revokeRolesFromUser", "rolesInfo", "rotateCertificates", "saslContinue", "saslStart", "serverStatus",
        "setAuditConfig", "setChangeStreamState", "setClusterParameter", "setDefaultRWConcern",
        "setFeatureCompatibilityVersion", "setFreeMonitoring", "setParameter", "setProfilingFilterGlobally",
        "setUserWriteBlockMode", "shardingState", "shutdown", "sleep", "startRecordingTraffic", "startSession",
        "startTrafficRecording", "stopRecordingTraffic", "stopTrafficRecording", "top", "updateRole", "updateUser",
        "usersInfo", "waitForFailPoint", "whatsmyuri",
    )
)  # fmt: skip
"""Commands that are about no collection's documents."""

_ANY: Final[Mapping[str, Values]] = {"database": (), "collection": ()}
_PIPELINES: Final = frozenset(("aggregate", "collMod", "create"))
_WRITTEN_ANYWHERE: Final = frozenset(("mapReduce", "dropDatabase"))
_OF_ONE: Final = (COLLECTION_COMMANDS | {"getMore"}) - _PIPELINES - _WRITTEN_ANYWHERE
_STAGES: Final = frozenset((b"$graphLookup", b"$lookup", b"$merge", b"$out", b"$unionWith"))
_COLLECTIONLESS: Final = "$cmd.aggregate"
_SPECIAL: Final = ("$", "system.")
_MOST_FIELDS: Final = 4096
_MOST_NAMES: Final = 64
_BUCKETS: Final = "system.buckets."
"""A time series collection's documents are kept in one that is called so, and behind that as itself."""


def others(
    frame: bytes, body: wire.Body, command: str, first: bson.Element, known: Mapping[str, str]
) -> Mapping[str, Values]:
    """
    All values of `database` and `collection` of a command, where there are more of them than `known`; () for a key of
    which nothing can be known. first: where the command's name and first value stand, in an explain that of what is
    explained. Raises FrameError.
    """
    collection = known.get("collection")
    if command in _OF_ONE and collection is not None and not collection.startswith(_SPECIAL):
        return {}
    if command in _NAME_NONE:
        return {}
    by_collection = command in COLLECTION_COMMANDS or command == "getMore"
    if by_collection and (collection is None or collection == _COLLECTIONLESS):  # by UUID; all of a database, or of all
        return _ANY if known.get("database") == "admin" else {"collection": ()}
    if command in _WRITTEN_ANYWHERE:
        return {"collection": ()} if command == "dropDatabase" else _ANY
    found = _Found(frame, known.get("database", ""))
    if command in _WHOLE_NAMES:
        complete = found.whole_names(body, first)
    elif collection is not None:
        complete = found.collection(collection, body, command)
    else:
        complete = False
    return found.values(known) if complete else _ANY


class _Found:
    """Databases and collections, in the order in which they were found."""

    def __init__(self, frame: bytes, database: str) -> None:
        self._frame = frame
        self._databases = {database: None}
        self._collections: dict[str, None] = {}

    def values(self, known: Mapping[str, str]) -> Mapping[str, Values]:
        several = {"database": tuple(self._databases), "collection": tuple(self._collections)}
        if len(self._collections) > _MOST_NAMES or len(self._databases) > _MOST_NAMES:
            return _ANY
        return {key: values for key, values in several.items() if values != (known.get(key),)}

    def whole_names(self, body: wire.Body, first: bson.Element) -> bool:
        """Names with their database. False where one is not clear."""
        target = bson.find(self._frame, body.at, body.end, b"to") if first.name == b"renameCollection" else None
        for element in (first, *([target] if target is not None else [])):
            database, _, collection = (bson.text(self._frame, element) or "").partition(".")
            if not collection:
                return False
            self._add(collection, database)
        return True

    def collection(self, name: str, body: wire.Body, command: str) -> bool:
        """The collection of a command, what a view of it is on, and what its stages name."""
        self._add(name)
        if name.startswith(_BUCKETS):
            self._add(name.removeprefix(_BUCKETS))
        if command not in _PIPELINES:
            return True
        if command in ("create", "collMod"):
            sources = [one for one in bson.elements(self._frame, *body) if one.name == b"viewOn"]
            if len(sources) > 1 or not all(self._place(one) for one in sources):
                return False
        if not any(self._frame.find(stage + b"\0", body.at, body.end) >= 0 for stage in _STAGES):
            return True
        return self._stages(body)

    def _stages(self, body: wire.Body) -> bool:
        """What stages name, however deep they stand."""
        waiting, left = [body], _MOST_FIELDS
        while waiting:
            for element in bson.elements(self._frame, *waiting.pop()):
                left -= 1
                if left < 0 or (element.name in _STAGES and not self._stage(element)):
                    return False
                if element.type in (bson.DOCUMENT, bson.ARRAY):
                    waiting.append(wire.Body(element.at, element.stop))
        return True

    def _stage(self, stage: bson.Element) -> bool:
        if stage.name in (b"$out", b"$unionWith") or stage.type != bson.DOCUMENT:
            return stage.name not in (b"$lookup", b"$graphLookup") and self._place(stage)
        name = b"into" if stage.name == b"$merge" else b"from"
        places = [one for one in bson.elements(self._frame, stage.at, stage.stop) if one.name == name]
        if not places:
            return stage.name == b"$lookup"  # from documents within it
        return len(places) == 1 and self._place(places[0])

    def _place(self, element: bson.Element) -> bool:
        """A collection, or {db, coll}."""
        if element.type != bson.DOCUMENT:
            name = bson.text(self._frame, element)
            if name is not None:
                self._add(name)
            return name is not None
        inner = list(bson.elements(self._frame, element.at, element.stop))
        fields = {one.name: bson.text(self._frame, one) for one in inner if one.name in (b"db", b"coll")}
        if len({one.name for one in inner}) < len(inner) or None in fields.values():
            return False
        if b"coll" not in fields:
            return element.name == b"$unionWith" and b"db" not in fields  # documents within it
        self._add(fields[b"coll"] or "", fields.get(b"db"))
        return True

    def _add(self, collection: str, database: str | None = None) -> None:
        self._collections[collection] = None
        if database is not None:
            self._databases[database] = None
