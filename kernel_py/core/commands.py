"""The commands of the control interface that change the life of vats, clusters and objects.

Owns what each of them checks before anything happens; `kernel_py.core.control` owns the interface.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kernel_py.core import kmarshal, schema
from kernel_py.core.bundles import Bundles
from kernel_py.core.cluster_config import (
    VAT_KINDS,
    check_files,
    check_source,
    find_meter,
    parse_cluster,
    reparse_cluster,
)
from kernel_py.core.clusters import Clusters
from kernel_py.core.control import Call, Control
from kernel_py.core.garbage import Garbage
from kernel_py.core.schema import Cluster, ClusterState, VatState
from kernel_py.core.service_objects import ServiceObjects
from kernel_py.core.shared import Shared
from kernel_py.core.upgrades import NewCode, Upgrades
from kernel_py.core.vats import VatEnd, Vats
from kernel_py.wire.errors import MarshalError, RequestError
from kernel_py.wire.refs import InvalidRef, parse_kref

Params = dict[str, Any]

DEFAULT_REASON = "terminated from outside"


class Commands:
    """Carries out commands over one state. Each method raises RequestError if the request is wrong."""

    def __init__(
        self,
        shared: Shared,
        control: Control,
        *,
        vats: Vats,
        clusters: Clusters,
        garbage: Garbage,
        upgrades: Upgrades,
        services: ServiceObjects,
        bundles: Bundles,
    ) -> None:
        self._state = shared.state
        self._references = shared.references
        self._outbox = shared.log.outbox
        self._limits = shared.limits
        self._control = control
        self._vats = vats
        self._clusters = clusters
        self._garbage = garbage
        self._upgrades = upgrades
        self.kinds: tuple[str, ...] = VAT_KINDS
        self._services = services
        self._bundles = bundles
        self._methods: dict[str, Callable[[str, Params], Params | None]] = {
            "launch": self._launch,
            "terminateVat": self._terminate_vat,
            "terminateCluster": self._terminate_cluster,
            "reloadCluster": self._reload_cluster,
            "upgradeVat": self._upgrade_vat,
            "pauseVat": self._pause_vat,
            "resumeVat": self._resume_vat,
            "restartVat": self._restart_vat,
            "revoke": self._revoke,
            "pin": self._pin,
            "unpin": self._unpin,
            "collectGarbage": self._collect_garbage,
        }

    def run(self, call: Call) -> None:
        """Carry out a command; it is answered now or later."""
        result = self._methods[call.method](call.key, call.params)
        if result is not None:
            self._control.answer(call.key, result, "")

    # --- clusters -------------------------------------------------------------------------------

    def _launch(self, key: str, params: Params) -> None:
        services = self._services.config_schemas
        config = parse_cluster(params["config"], params["files"], services, self._limits, kinds=self.kinds)
        try:
            self._clusters.launch(config, key)
        except MarshalError as error:
            raise RequestError(str(error)) from None

    def _terminate_cluster(self, _key: str, params: Params) -> Params:
        record = self._parse_living_cluster(params["cluster"])
        end = self._clusters.abandon if record.state is ClusterState.LAUNCHING else self._clusters.terminate
        end(params["cluster"], params.get("reason", DEFAULT_REASON))
        return {}

    def _reload_cluster(self, key: str, params: Params) -> None:
        cluster = params["cluster"]
        record = self._parse_living_cluster(cluster)
        if record.state is not ClusterState.RUNNING:
            raise RequestError(f"{cluster} is {record.state}: it can be reloaded once it runs", "params.cluster")
        services = self._services.config_schemas
        config = reparse_cluster(record.config, services, self._limits, kinds=self.kinds)
        self._clusters.reload(cluster, config, key)

    # --- vats -----------------------------------------------------------------------------------

    def _terminate_vat(self, _key: str, params: Params) -> Params:
        vat, reason = self._control.parse_living_vat(params["vat"]), params.get("reason", DEFAULT_REASON)
        self._clusters.end_vat(vat, VatEnd(reason))
        return {}

    def _upgrade_vat(self, key: str, params: Params) -> None:
        vat = self._control.parse_living_vat(params["vat"])
        self._upgrades.check(vat)
        self._upgrades.request(vat, self._parse_code(vat, params), key)

    def _pause_vat(self, _key: str, params: Params) -> Params:
        self._vats.pause(self._parse_vat(params["vat"], VatState.RUNNING, "paused"))
        return {}

    def _resume_vat(self, _key: str, params: Params) -> Params:
        self._vats.resume(self._parse_vat(params["vat"], VatState.PAUSED, "resumed"))
        return {}

    def _restart_vat(self, _key: str, params: Params) -> Params:
        self._outbox.restarts.append(self._control.parse_living_vat(params["vat"]))
        return {}

    def _collect_garbage(self, _key: str, params: Params) -> Params:
        vats = [self._control.parse_living_vat(params["vat"])] if "vat" in params else self._vats.living()
        for vat in vats:
            self._garbage.reap(vat)
        return {"vats": vats}

    # --- objects --------------------------------------------------------------------------------

    def _revoke(self, _key: str, params: Params) -> Params:
        kref = self._parse_object(params["object"])
        if not self._references.is_revoked(kref):
            self._state.set(schema.REVOKED, kref, 1)
            self._services.stop(kref)
        return {}

    def _pin(self, _key: str, params: Params) -> Params:
        kref = self._parse_object(params["object"])
        if self._state.get(schema.PINS, kref) is None:
            self._state.set(schema.PINS, kref, 1)
            self._references.take_hold(kref)
        return {}

    def _unpin(self, _key: str, params: Params) -> Params:
        kref = self._parse_object(params["object"])
        if self._state.get(schema.PINS, kref) is not None:
            self._state.delete(schema.PINS, kref)
            self._references.drop_hold(kref)
        return {}

    # --- parameters -----------------------------------------------------------------------------

    def _parse_vat(self, text: str, state: VatState, done: str) -> str:
        vat = self._control.parse_living_vat(text)
        record = self._vats.get(vat)
        if record.state is not state:
            raise RequestError(
                f"{vat} ({record.name}) is {record.state}: only what is {state} can be {done}", "params.vat"
            )
        return vat

    def _parse_living_cluster(self, text: str) -> Cluster:
        record: Cluster | None = self._state.get(schema.CLUSTERS, text)
        if record is None:
            raise RequestError(f"there is no cluster {text!r:.100}", "params.cluster")
        if record.state is ClusterState.TERMINATED:
            raise RequestError(f"{text} was terminated already: {record.reason}", "params.cluster")
        return record

    def _parse_code(self, vat: str, params: dict[str, Any]) -> NewCode:
        record = self._vats.get(vat)
        source = params.get("source", record.sources[-1][2])
        name = record.name
        packages = [
            (name, f"params.packages[{index}]", package) for index, package in enumerate(params.get("packages", ()))
        ]
        cluster: Cluster | None = self._state.get(schema.CLUSTERS, record.cluster)
        meter = None if cluster is None else find_meter(cluster.config, name, record.sources[0][2])
        meters = {} if meter is None else {name: meter}
        files = check_files(params["files"], "params.files", self._limits, packages, meters=meters)
        check_source(source, record.kind, params["files"], "params.source")
        try:
            parameters = kmarshal.serialize(params.get("parameters", {}), "params.parameters")
        except MarshalError as error:
            raise RequestError(str(error)) from None
        return NewCode(self._bundles.add(files), source, parameters, params.get("message", "vat upgraded"))

    def _parse_object(self, text: str) -> str:
        try:
            kref = parse_kref(text)
        except InvalidRef as error:
            raise RequestError(str(error), "params.object") from None
        if self._state.get(schema.OBJECTS, kref) is None:
            raise RequestError(f"there is no object {text!r:.100}; ask `objects` for those there are", "params.object")
        return kref
