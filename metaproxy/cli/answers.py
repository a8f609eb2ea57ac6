"""
What the admin API answers, as far as commands read it.

Lives here: the shapes of its JSON, for type checkers. Does not: checking them; the other end is the same program.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NotRequired, TypedDict

Counts = Mapping[str, int]


class Latency(TypedDict):
    """Milliseconds; None where nothing was measured."""

    p50: float | None
    p99: float | None


# -- status


class ServerInfo(TypedDict):
    """`/server_info`."""

    ready: bool
    state: str
    node: Mapping[str, str]
    uptime_seconds: float
    config_version: int
    workers: WorkerCount | None


class WorkerCount(TypedDict):
    """How many worker processes there are."""

    count: int
    ready: int


class Upgraded(TypedDict):
    """POST `/upgrade`. error: why not; the others are there when it has upgraded."""

    upgraded: bool
    error: str
    pid: int
    seconds: float
    took: list[str]
    bound: list[str]
    closed: list[str]


class Problem(TypedDict):
    """One of `/problems`. lines: more of it, such as the errors of a configuration that was refused."""

    level: str
    what: str
    detail: str
    lines: NotRequired[list[str]]


class Problems(TypedDict):
    """`/problems`. worst: the worst level that there is."""

    worst: str
    problems: list[Problem]


class ListenerInfo(TypedDict):
    """One of `/listeners`."""

    name: str
    protocol: str
    bound: list[str]
    state: str
    counts: Counts


class Listeners(TypedDict):
    """`/listeners`."""

    listeners: list[ListenerInfo]


class Lately(TypedDict):
    """What an endpoint did in the last seconds."""

    tries: int
    failed: int
    seconds: float


class EndpointInfo(TypedDict):
    """An endpoint of one of `/clusters`."""

    address: str
    health: str
    drained: bool
    ejected: bool
    weight: int
    role: str | None
    active: int
    lately: Lately
    latency_ms: Latency
    usual_p99_ms: float | None


class Pause(TypedDict):
    """Why and since when a cluster is paused."""

    waiting: int


class ClusterInfo(TypedDict):
    """One of `/clusters`."""

    name: str
    paused: Pause | None
    endpoints: list[EndpointInfo]


class Clusters(TypedDict):
    """`/clusters`."""

    clusters: list[ClusterInfo]


# -- top


class OpenStreams(TypedDict):
    """The streams of a flow that are open, and what has passed of them."""

    open: int
    request_bytes: int
    response_bytes: int


class Tally(TypedDict):
    """What was counted of a flow, or of several."""

    exchanges: int
    rate: float
    errors: int
    error_rate: float
    latency_ms: Latency
    outcomes: Counts
    streams: OpenStreams


class Flow(Tally):
    """One of `/flows`."""

    caller: str
    operation: str
    route: str
    cluster: str


class Flows(TypedDict):
    """`/flows`. other: the flows that are not listed, together."""

    seconds: float
    flows: list[Flow]
    other: Tally | None
    total: Tally


class StatementFigures(TypedDict):
    """What was counted of a statement, or of several. rows: None where no answer said how many."""

    calls: int
    errors: int
    outcomes: Counts
    rows: int | None
    request_bytes: int
    response_bytes: int
    total_ms: float
    latency_ms: Latency


class SlowestStatement(TypedDict):
    """When a statement took longest, and how long."""

    time: str
    duration_ms: float


class StatementRow(StatementFigures):
    """One of `/statements`."""

    fingerprint: str
    text: str
    user: str
    database: str
    cluster: str
    command: str
    since: str
    slowest: SlowestStatement


class StatementListener(TypedDict):
    """A listener whose statements are counted."""

    name: str
    since: str | None


class Statements(TypedDict):
    """`/statements`. other: the statements that are not listed, together."""

    listeners: list[StatementListener]
    statements: list[StatementRow]
    other: StatementFigures | None
    total: StatementFigures


# -- tap


class PassedOver(TypedDict):
    """A route above the one that was taken."""

    route: str
    why: str


class Why(TypedDict):
    """Why an exchange went where it went."""

    route: str
    cluster: str
    endpoint: str
    passed_over: NotRequired[list[PassedOver]]


class TappedMessage(TypedDict):
    """A request, decoded."""

    bytes: int
    metadata: Mapping[str, str]


class MirrorDifference(TypedDict):
    """How a mirror's answer differs."""

    cluster: str
    differs: str


class TappedHalf(TypedDict):
    """How much of a stream passed in one direction."""

    chunks: int


class TappedStream(TypedDict):
    """What a tap tells of a stream."""

    request: TappedHalf
    response: TappedHalf


class TappedChunk(TypedDict):
    """A line of `/tap` for a piece of a stream. half: 'request' or 'response'."""

    time: str
    source: str
    operation: str
    id: int
    half: str
    kind: str
    bytes: int
    first: NotRequired[Mapping[str, str]]
    trailers: NotRequired[Mapping[str, str]]


class Tapped(TypedDict):
    """
    A line of `/tap`. lost: lines before it that are missing. event: of a stream, what happened to it: its end, or
    'request_head' and 'response_head' before.
    """

    time: str
    event: NotRequired[str]
    stream: NotRequired[TappedStream]
    outcome: str
    duration_ms: float
    source: str
    operation: str
    route: str
    cluster: str
    endpoint: str
    attempts: int
    details: str
    request: TappedMessage
    response_bytes: int
    why: Why
    lost: NotRequired[int]
    mirror: NotRequired[MirrorDifference]


# -- drain, config, record


class Drained(TypedDict):
    """`POST /drain`. connections: by listener."""

    draining: list[str]
    connections: dict[str, int]


class ConfigError(TypedDict):
    """What is wrong with a configuration, and in which line."""

    where: str
    error: str


class ConfigDifference(TypedDict, total=False):
    """What a configuration would change; by 'added', 'changed' and 'removed'."""

    listeners: Mapping[str, list[str]]
    clusters: Mapping[str, list[str]]
    sections: list[str]
    warnings: list[str]


class Checked(TypedDict):
    """`POST /check`."""

    valid: bool
    errors: list[ConfigError]
    difference: ConfigDifference | None


class Recorded(TypedDict):
    """`/record`. left_out: exchanges that are not in the file, by the reason."""

    recording: bool
    file: str
    exchanges: int
    bytes: int
    seconds: float
    ended_by: str | None
    left_out: Counts


# -- xds


class XdsSubscription(TypedDict):
    """One kind of resource of a control plane."""

    update_success: int
    update_rejected: int
    update_failure: int
    resources: int
    version: str


class XdsResource(TypedDict):
    """One resource."""

    kind: str
    name: str
    status: str
    error: str
    skipped: str
    warnings: list[str]


class XdsServer(TypedDict):
    """One control plane."""

    name: str
    connected: bool
    reason: str
    subscriptions: Mapping[str, XdsSubscription]
    resources: list[XdsResource]


class XdsStatus(TypedDict):
    """`/xds`."""

    waiting: list[str]
    problems: Mapping[str, str]
    servers: list[XdsServer]


# -- crds


class MeshObject(TypedDict):
    """One of `/crds`: an object of a mesh, and what became of it."""

    kind: str
    namespace: str
    name: str
    place: str
    state: str
    reasons: list[str]
    warnings: list[str]
    notes: list[str]


class MeshObjects(TypedDict):
    """`/crds`. refused: what could not be put in force."""

    objects: list[MeshObject]
    refused: list[str]


# -- of a control plane


class Refused(TypedDict):
    """What a node refused."""

    type: str
    name: str
    version: str
    error: str


class Node(TypedDict):
    """One of `/fleet`."""

    id: str
    cluster: str
    state: str
    release: str
    version: str
    agent: str
    address: str
    refused: list[Refused]


class Fleet(TypedDict):
    """`/fleet`. refused: lines of what is wrong with the source; lost: why it can't be read."""

    server: str
    source: str
    states: Mapping[str, int]
    refused: list[str]
    lost: str
    nodes: list[Node]


class Rate(TypedDict):
    requests: float
    errors: float
    percent: float


class Rates(TypedDict):
    """Of nodes with the new version, and of the others."""

    new: Rate
    others: Rate


class End(TypedDict):
    at: str
    reason: str


class Rollout(TypedDict):
    """One of `/rollouts`."""

    group: str
    release: str
    before: str
    state: str
    percent: float
    next_step: str | None
    returned: End | None
    rates: Rates


class Rollouts(TypedDict):
    """`/rollouts`."""

    rollouts: list[Rollout]


class Returned(TypedDict):
    """The answer to `/rollouts/return`: the version that is in force again."""

    returned: str


# -- workers


class WorkerInfo(TypedDict):
    """One of `/workers`. started: a time as text; why: how its process ended, while there is none."""

    worker: int
    state: str
    answers: bool
    pid: int
    restarts: int
    lost_connections: int
    connections: int
    handed_connections: int
    why: str
    cpu: int | None
    cpu_seconds: float
    memory_bytes: int


class Workers(TypedDict):
    """`/workers`."""

    workers: list[WorkerInfo]
