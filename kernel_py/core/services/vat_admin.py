"""The service ``vat_admin``: vats that create, upgrade and end others.

    vat_admin.create(bundle, *, name, source, parameters, critical, reap_interval)
                                        {"root", "admin"} of a new vat, once it has started
      .upgrade(bundle, *, source, parameters, message)
                                        of what create gives as admin; {"incarnation"}, once the new one has started
      .terminate(reason)                ends the vat; says whether it lived
      .done()                           settled when the vat ends: with what it said, or rejected with why
      .change_options(*, critical, reap_interval)

A bundle is the name of one of the cluster file's ``bundles``, or source files as ``{path: text}``. A vat made from the
latter is of the confined kind, always: who writes its code does not say where that runs.

A created vat belongs to the cluster of the vat_admin that it was asked of: it ends with that, and its files are kept
like those of other vats. It lives until then whether or not anybody holds its root or its admin node. What fails before
it has started is an answer to `create`, and nothing else.

Owns the table of created vats. A row stays until the vat has ended and nobody can name its admin node any more; the
record of the ended vat goes with it.

Source: SwingSet's vat-vat-admin.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kernel_py.core import jsonschema, kmarshal, schema
from kernel_py.core.bundles import Bundles
from kernel_py.core.cluster_config import (
    DEFAULT_KIND,
    NAME_SCHEMA,
    BundleConfig,
    check_files,
    check_source,
    find_bundle,
)
from kernel_py.core.kmarshal import Ref
from kernel_py.core.promises import Promises
from kernel_py.core.schema import GRANT, CreatedVat, ItemKind, ServiceObject, Vat, VatState
from kernel_py.core.services.service import LATER, LocalCall, Method, shown
from kernel_py.core.shared import Shared
from kernel_py.core.upgrades import NewCode, Upgrades
from kernel_py.core.vats import VatEnd, Vats
from kernel_py.wire.capdata import CapData
from kernel_py.wire.errors import RequestError, cut_middle

ADMIN = "admin"
"""Kind of object; its data is the vat."""

NEVER_REAP = 0


_CONFIG_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "critical": {
            "type": "boolean",
            "description": "Whether vats may be created with which the cluster ends. Default: false.",
        }
    },
}


class VatAdminService:
    """Created vats over one state."""

    name = "vat_admin"
    config_schema: dict[str, Any] = _CONFIG_SCHEMA

    def __init__(self, shared: Shared, promises: Promises, *, vats: Vats, bundles: Bundles, upgrades: Upgrades) -> None:
        self._state = shared.state
        self._references = shared.references
        self._queues = shared.queues
        self._limits = shared.limits
        self._promises = promises
        self._vats = vats
        self._bundles = bundles
        self._upgrades = upgrades
        self._created: Mapping[str, CreatedVat] = shared.state.view(schema.CREATED)
        self.end_vat: Callable[[str, VatEnd], None]
        self.methods: Mapping[str, Mapping[str, Method]] = {
            GRANT: {"create": self.create},
            ADMIN: {
                "upgrade": self.upgrade,
                "terminate": self.terminate,
                "done": self.done,
                "change_options": self.change_options,
            },
        }

    # --- methods of the service -----------------------------------------------------------------

    def create(
        self,
        call: LocalCall,
        /,
        bundle: object,
        *,
        name: object = None,
        source: object = None,
        parameters: object = None,
        critical: object = False,
        reap_interval: object = None,
    ) -> object:
        data = _serialize_parameters(parameters)
        if name is None:
            name = bundle if isinstance(bundle, str) else "vat"
        _check(name, NAME_SCHEMA, "name")
        is_critical = self._parse_critical(critical, call.record.cluster, is_allowed=_may_be_critical(call.record))
        reaps = self._limits.reap_deliveries if reap_interval is None else _parse_interval(reap_interval)
        if call.record.pending >= self._limits.created_vats_max:
            raise RuntimeError(f"{call.record.pending:,} vats live that were created here, which is the limit")
        cluster = self._state.get(schema.CLUSTERS, call.record.cluster)
        used, code = self._use_bundle(cluster, bundle, source)
        sources = ((1, used, code.source),)
        state, cluster_id = VatState.STARTING, call.record.cluster
        record = Vat(str(name), cluster_id, code.kind, state, 0, sources, "", "", is_critical, (), reaps)
        vat, root = self._vats.create(record, data)
        self._bundles.drop(used)  # by now the vat is a user of its own
        self._references.take_hold(root)
        if call.result is not None:
            self._references.take_hold(call.result)
        self._state.set(schema.CREATED, vat, CreatedVat(call.target, call.result or ""))
        self._state.set(schema.SERVICES, call.target, call.record._replace(pending=call.record.pending + 1))
        return LATER

    # --- methods of admin nodes -----------------------------------------------------------------

    def upgrade(
        self,
        call: LocalCall,
        /,
        bundle: object,
        *,
        source: object = None,
        parameters: object = None,
        message: object = "vat upgraded",
    ) -> object:
        vat = self._get_living(call)
        data = _serialize_parameters(parameters)
        _check(message, {"type": "string", "maxLength": self._limits.error_chars_max}, "message")
        try:
            self._upgrades.check(vat)
        except RequestError as error:
            raise RuntimeError(str(error)) from None
        cluster = self._state.get(schema.CLUSTERS, call.record.cluster)
        used, code = self._use_bundle(cluster, bundle, source, self._vats.get(vat).kind)
        request = ""
        if call.result is not None:
            self._references.take_hold(call.result)
            request = schema.awaiting(call.result)
        self._upgrades.request(vat, NewCode(used, code.source, data, str(message)), request)
        return LATER

    def terminate(self, call: LocalCall, /, reason: object = "terminated by its admin") -> bool:
        vat: str = call.record.data
        if not self._vats.is_alive(vat):
            return False
        info = kmarshal.serialize_error(reason) if isinstance(reason, str) else kmarshal.serialize(reason, "reason")
        text = reason if isinstance(reason, str) else kmarshal.render(info)
        self.end_vat(vat, VatEnd(cut_middle(text, self._limits.error_chars_max), info=info))
        return True

    def done(self, call: LocalCall, /) -> object:
        vat: str = call.record.data
        row = self._created[vat]
        if call.result is None:
            return LATER
        if row.body:
            self._promises.settle(call.result, CapData(row.body, row.slots), is_reject=row.is_failure)
            return LATER
        if len(row.waiters) >= self._limits.service_pending_max:
            raise RuntimeError(f"{len(row.waiters):,} wait for the end of {vat}, which is the limit")
        self._references.take_hold(call.result)
        self._state.set(schema.CREATED, vat, row._replace(waiters=(*row.waiters, call.result)))
        return LATER

    def change_options(self, call: LocalCall, /, *, critical: object = None, reap_interval: object = None) -> None:
        vat = self._get_living(call)
        record = self._vats.get(vat)
        is_critical, reaps = record.is_critical, record.reap_interval
        if critical is not None:
            is_allowed = record.is_critical or self._may_make_critical(vat)
            is_critical = self._parse_critical(critical, record.cluster, is_allowed=is_allowed)
        if reap_interval is not None:
            reaps = _parse_interval(reap_interval)
            told = "never" if reaps == NEVER_REAP else reaps
            self._queues.append(vat, ItemKind.OPTIONS, {"reapInterval": told})
        self._state.set(schema.VATS, vat, record._replace(is_critical=is_critical, reap_interval=reaps))

    # --- what they check ------------------------------------------------------------------------

    def _get_living(self, call: LocalCall) -> str:
        vat: str = call.record.data
        if not self._vats.is_alive(vat):
            raise RuntimeError(f"{vat} has ended: {self._vats.get(vat).reason}")
        return vat

    def _use_bundle(
        self, cluster: schema.Cluster, bundle: object, source: object, kind: str | None = None
    ) -> tuple[str, BundleConfig]:
        """The id of a bundle, of which a use is counted for the caller, and what is to be started of it.

        It is the last thing that may raise before the caller changes anything.

        Args:
            kind: the worker kind that it must be of.
        """
        if isinstance(bundle, str):
            if source is not None:
                raise TypeError("source is for a bundle given as files; the cluster file says it of a named one")
            code = find_bundle(cluster.config, bundle)
            _insist_on_kind(code, kind)
            self._bundles.take(cluster.bundle)
            return cluster.bundle, code
        if not isinstance(bundle, dict):
            raise TypeError(f"a bundle is a name, or files as {{path: text}}, not {shown(bundle)}")
        for path, file in bundle.items():
            if not isinstance(file, str):
                raise TypeError(f"the file {path!r:.100} is a text, not {shown(file)}")
        try:
            text = check_files(bundle, "bundle", self._limits)
        except RequestError as error:
            raise ValueError(str(error)) from None
        if source is None:
            if len(bundle) != 1:
                raise TypeError("source is missing: it says which of the files defines build_root_object")
            (source,) = bundle
        if not isinstance(source, str):
            raise TypeError(f"source is the path of a file, not {shown(source)}")
        try:
            check_source(source, DEFAULT_KIND, bundle, "source")
        except RequestError as error:
            raise ValueError(str(error)) from None
        code = BundleConfig(source, DEFAULT_KIND)
        _insist_on_kind(code, kind)
        return self._bundles.add(text), code

    def _parse_critical(self, value: object, cluster: str, *, is_allowed: bool) -> bool:
        if not isinstance(value, bool):
            raise TypeError(f"critical is True or False, not {shown(value)}")
        if value and not is_allowed:
            raise PermissionError(f'only a vat_admin that is granted with {{"critical": true}} may end {cluster} so')
        return value

    def _may_make_critical(self, vat: str) -> bool:
        grant = self._state.get(schema.SERVICES, self._created[vat].grant)
        return grant is not None and _may_be_critical(grant)

    # --- the life of created vats ---------------------------------------------------------------

    def is_created(self, vat: str) -> bool:
        return vat in self._created

    def created_in(self, cluster: str) -> list[str]:
        """The vats of which there is still something, living or not, that were created for a cluster."""
        return [vat for vat in self._state.rows(schema.CREATED) if self._vats.get(vat).cluster == cluster]

    def started(self, vat: str) -> bool:
        """A vat's first delivery went well. Returns whether the vat is a created one."""
        row = self._created.get(vat)
        if row is None:
            return False
        if row.result:
            record = self._vats.get(vat)
            admin = self._references.create_object(schema.service_owner(self.name), f"admin of {record.name}")
            self._state.set(schema.SERVICES, admin, ServiceObject(self.name, ADMIN, record.cluster, 0, vat))
            answer = {
                "admin": Ref(admin, f"Alleged: admin of {record.name}"),
                "root": Ref(record.root, f"Alleged: {record.name}"),
            }
            self._promises.settle(row.result, kmarshal.serialize(answer), is_reject=False)
            self._references.drop_hold(row.result)
            self._state.set(schema.CREATED, vat, row._replace(result="", admin=admin))
        return True

    def ended(self, vat: str, end: VatEnd) -> None:
        """A vat was terminated."""
        row = self._created.get(vat)
        if row is None:
            return
        self._references.drop_hold(self._vats.get(vat).root)
        grant: ServiceObject | None = self._state.get(schema.SERVICES, row.grant)
        if grant is not None:
            self._state.set(schema.SERVICES, row.grant, grant._replace(pending=grant.pending - 1))
        data = end.describe()
        for kpid in row.waiters:
            self._promises.settle(kpid, data, is_reject=end.is_failure)
            self._references.drop_hold(kpid)
        if row.result:
            why = kmarshal.serialize_error(f"the vat was not created: {end.reason}", "RuntimeError")
            self._promises.settle(row.result, why, is_reject=True)
            self._references.drop_hold(row.result)
        if row.admin:
            for kref in data.slots:
                self._references.take_hold(kref)
            ended = CreatedVat(row.grant, "", row.admin, (), end.is_failure, data.body, data.slots)
            self._state.set(schema.CREATED, vat, ended)
        else:
            self._forget(vat)

    def let_go(self, vat: str) -> None:
        """Nobody can name the admin node of a created vat any more."""
        row = self._created[vat]
        if row.body:
            self._drop(vat, row)
        else:
            self._state.set(schema.CREATED, vat, row._replace(admin=""))

    def forget(self, cluster: str) -> None:
        """A cluster has ended, and every vat of it."""
        for vat in self.created_in(cluster):
            self._drop(vat, self._created[vat])

    def _drop(self, vat: str, row: CreatedVat) -> None:
        for kref in row.slots:
            self._references.drop_hold(kref)
        self._forget(vat)

    def _forget(self, vat: str) -> None:
        self._state.delete(schema.CREATED, vat)
        self._vats.forget(vat)


def _may_be_critical(grant: ServiceObject) -> bool:
    return bool(grant.data.get("critical"))


def _insist_on_kind(code: BundleConfig, kind: str | None) -> None:
    if kind not in (None, code.kind):
        raise PermissionError(f"the vat is of kind {kind!r}, and cannot run what is for kind {code.kind!r}")


def _parse_interval(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"reap_interval is an int, not {shown(value)}")
    if not 0 <= value < 2**53:
        raise ValueError(f"reap_interval is a number of deliveries, or 0 for never, not {shown(value)}")
    return value


def _serialize_parameters(value: object) -> CapData:
    """The parameters of build_root_object; they may mention objects and promises."""
    if value is None:
        value = {}
    if not isinstance(value, dict):
        raise TypeError(f"parameters is a dict, not {shown(value)}")
    return kmarshal.serialize(value, "parameters")


def _check(value: object, rule: dict[str, Any], path: str) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{path} is a text, not {shown(value)}")
    try:
        jsonschema.validate(value, rule, path)
    except RequestError as error:
        raise ValueError(str(error)) from None
