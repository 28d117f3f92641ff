"""Clusters: vats launched together, their bootstrap, and their end.

Owns the cluster table. A launch is several cranks: every vat starts; when all have, the bootstrap
vat's root gets ``bootstrap(vats, services)``; when that settles the launch request is answered. If a vat
does not start, or bootstrap is rejected, the whole cluster is taken back as if it had never been.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kernel_py.core import kmarshal, schema
from kernel_py.core.bundles import Bundles
from kernel_py.core.cluster_config import ClusterConfig
from kernel_py.core.kmarshal import Ref
from kernel_py.core.promises import Promises
from kernel_py.core.schema import Cluster, ClusterState, PromiseState, QueuedMessage, Vat, VatState
from kernel_py.core.service_objects import ServiceObjects
from kernel_py.core.services.vat_admin import VatAdminService
from kernel_py.core.shared import Shared
from kernel_py.core.vats import VatEnd, Vats
from kernel_py.wire.capdata import CapData
from kernel_py.wire.errors import KernelBug
from kernel_py.wire.refs import make_cluster_id

TRANSITIONS: dict[tuple[ClusterState, str], ClusterState] = {
    (ClusterState.LAUNCHING, "launched"): ClusterState.RUNNING,
    (ClusterState.LAUNCHING, "terminate"): ClusterState.TERMINATED,
    (ClusterState.RUNNING, "terminate"): ClusterState.TERMINATED,
}

ENDED_KEPT_MAX = 100
"""Terminated clusters that are still shown, with their vats and reasons; the oldest are forgotten."""

Answer = Callable[[str, dict[str, Any] | None, str], None]
"""``answer(request key, result or None, error)``: finish a launch request."""


class Clusters:
    """The cluster table over one state."""

    def __init__(
        self,
        shared: Shared,
        promises: Promises,
        *,
        vats: Vats,
        bundles: Bundles,
        services: ServiceObjects,
        vat_admin: VatAdminService,
        answer: Answer,
    ) -> None:
        self._state = shared.state
        self._references = shared.references
        self._log = shared.log
        self._promises = promises
        self._vats = vats
        self._bundles = bundles
        self._services = services
        self._vat_admin = vat_admin
        self._answer = answer

    def get(self, cluster: str) -> Cluster:
        record = self._state.get(schema.CLUSTERS, cluster)
        if record is None:
            raise KernelBug(f"no cluster {cluster}")
        assert isinstance(record, Cluster)
        return record

    def launch(self, config: ClusterConfig, request: str) -> str:
        """Create the vats and queue their start. The answer to `request` follows."""
        cluster = make_cluster_id(self._state.next_number(schema.NEXT_CLUSTER))
        bundle = self._bundles.add(config.files)
        return self._launch(cluster, config, bundle, request)

    def reload(self, cluster_id: str, config: ClusterConfig, request: str) -> str:
        """End a running cluster, and launch another from its files. The answer to `request` follows.

        Args:
            config: the cluster's own, parsed; its `files` are not looked at.
        """
        bundle = self.get(cluster_id).bundle
        self._bundles.take(bundle)
        self.terminate(cluster_id, "reloaded")
        cluster = make_cluster_id(self._state.next_number(schema.NEXT_CLUSTER))
        return self._launch(cluster, config, bundle, request)

    def _launch(self, cluster: str, config: ClusterConfig, bundle: str, request: str) -> str:
        vats: list[tuple[str, str]] = []
        for vat in config.vats:
            parameters = kmarshal.serialize(vat.parameters, f"config.vats.{vat.name}.parameters")
            record = Vat(
                vat.name,
                cluster,
                vat.kind,
                VatState.STARTING,
                0,
                ((1, bundle, vat.source),),
                "",
                "",
                vat.is_critical,
                vat.command,
                vat.reap_interval,
                vat.is_pipelining,
            )
            vat_id, root = self._vats.create(record, parameters)
            self._references.take_hold(root)
            vats.append((vat.name, vat_id))
        self._services.grant(cluster, config.services)
        launching = Cluster(
            config.name,
            ClusterState.LAUNCHING,
            tuple(vats),
            config.bootstrap,
            "",
            request,
            bundle,
            config.text,
            "",
        )
        self._state.set(schema.CLUSTERS, cluster, launching)
        self._log.cluster(cluster, config.name, ClusterState.LAUNCHING)
        return cluster

    def vat_started(self, vat: str) -> None:
        """A vat's first delivery went well; the last one of a cluster sets off the bootstrap."""
        self._vats.change(vat, "started")
        if self._vat_admin.started(vat):
            return
        cluster_id = self._vats.get(vat).cluster
        cluster = self.get(cluster_id)
        if any(self._vats.get(member).state is not VatState.RUNNING for _, member in reversed(cluster.vats)):
            return  # found at once in a large cluster, whose vats mostly start in order
        roots = {name: Ref(self._vats.get(member).root, f"Alleged: {name}") for name, member in cluster.vats}
        call = kmarshal.serialize_call("bootstrap", [roots, self._services.find_grants(cluster_id)])
        result = self._references.create_promise(None)
        self._references.take_hold(result)
        self._state.set(schema.CLUSTERS, cluster_id, cluster._replace(result=result))
        self._promises.subscribe(cluster_id, result)
        target = roots[cluster.bootstrap].kref
        self._promises.send(QueuedMessage(target, call.body, call.slots, result))

    def bootstrap_settled(self, cluster_id: str) -> None:
        """The answer of ``bootstrap`` is in: the launch is complete, or is taken back."""
        cluster = self._state.get(schema.CLUSTERS, cluster_id)
        if cluster is None or cluster.state is not ClusterState.LAUNCHING:
            return
        promise = self._references.get_promise(cluster.result)
        value = CapData(promise.body, promise.slots)
        if promise.state is PromiseState.REJECTED:
            self.abandon(cluster_id, f"bootstrap was rejected: {kmarshal.render(value)}")
            return
        self._change(cluster_id, "launched", "")
        result = {
            "cluster": cluster_id,
            "vats": dict(cluster.vats),
            "root": self._vats.get(dict(cluster.vats)[cluster.bootstrap]).root,
            "result": describe_settled(promise.state, value),
        }
        self._answer(cluster.request, result, "")

    def end_vat(self, vat: str, end: VatEnd) -> None:
        """End a living vat. With it goes a cluster that is being launched, or one of which it is a critical vat.

        A vat that another one asked for, and that has not started yet, is only missed by whoever asked.
        """
        record = self._vats.get(vat)
        is_own = not self._vat_admin.is_created(vat)
        self._vats.terminate(vat, end)
        cluster = self._state.get(schema.CLUSTERS, record.cluster)
        if cluster is None or cluster.state is ClusterState.TERMINATED:
            return
        if is_own and cluster.state is ClusterState.LAUNCHING:
            self.abandon(record.cluster, f"vat {record.name!r} ({vat}) failed: {end.reason}")
        elif record.is_critical and (is_own or record.state is not VatState.STARTING):
            self._end_critical(record, cluster, f"its critical vat {record.name!r} ({vat}) ended: {end.reason}")

    def _end_critical(self, record: Vat, cluster: Cluster, reason: str) -> None:
        end = self.abandon if cluster.state is ClusterState.LAUNCHING else self.terminate
        end(record.cluster, reason)

    def abandon(self, cluster_id: str, reason: str) -> None:
        """Take back a launch: no trace stays but the error that answers the request."""
        self.terminate(cluster_id, reason)
        self._forget(cluster_id)

    def _forget(self, cluster_id: str) -> None:
        for _, vat in self.get(cluster_id).vats:
            self._vats.forget(vat)
        self._state.delete(schema.CLUSTERS, cluster_id)

    def terminate(self, cluster_id: str, reason: str) -> None:
        """End every vat of a living cluster, those that its vats created too, and what it was granted."""
        cluster = self.get(cluster_id)
        self._change(cluster_id, "terminate", reason)
        for vat in (*(vat for _, vat in cluster.vats), *self._vat_admin.created_in(cluster_id)):
            if self._vats.is_alive(vat):
                self._vats.terminate(vat, VatEnd(reason))
        self._vat_admin.forget(cluster_id)
        self._services.end(cluster_id)
        for _, vat in cluster.vats:
            self._references.drop_hold(self._vats.get(vat).root)
        if cluster.result:
            self._references.drop_hold(cluster.result)
        others = {other: self.get(other) for other in self._state.rows(schema.CLUSTERS)}
        ended = [other for other, record in others.items() if record.state is ClusterState.TERMINATED]
        self._bundles.drop(cluster.bundle)
        if cluster.request:
            self._answer(cluster.request, None, f"cluster {cluster.name!r} was not launched: {reason}")
        for oldest in sorted(ended, key=lambda other: int(other[1:]))[:-ENDED_KEPT_MAX]:
            self._forget(oldest)

    def _change(self, cluster_id: str, action: str, reason: str) -> None:
        cluster = self.get(cluster_id)
        state = TRANSITIONS.get((cluster.state, action))
        if state is None:
            raise KernelBug(f"cannot {action} {cluster_id}: it is {cluster.state}")
        result = cluster.result if state is ClusterState.RUNNING else ""
        changed = cluster._replace(state=state, request="", reason=reason, result=result)
        self._state.set(schema.CLUSTERS, cluster_id, changed)
        self._log.cluster(cluster_id, cluster.name, state, reason)


def describe_settled(state: PromiseState, data: CapData) -> dict[str, Any]:
    """A settled promise at the control interface: ``{status, value, body, slots}``."""
    return {"status": state.value, "value": kmarshal.render(data), "body": data.body, "slots": list(data.slots)}
