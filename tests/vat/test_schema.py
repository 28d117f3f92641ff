"""The vat store's schema: names and their parts, and that nothing else is ever written."""

from __future__ import annotations

import re

import pytest

from kernel_py.vat import schema
from tests.vat.driving import Ref
from tests.vat.test_collector import Vat

_PARTS = {
    "<base or o-N>": r"(o\+[dv]\d+/\d+|o-\d+)",
    "<base or o±N>": r"(o\+[dv]\d+/\d+(:\d+)?|o[+-]\d+)",
    "<base>": r"o\+[dv]\d+/\d+",
    "<vref>": r"(o\+[dv]\d+/\d+(:\d+)?|o[+-]\d+)",
    "<K>": r"\d+",
    "<C>": r"\d+",
    "<key>": r"[bfnprsvyz].*",
}


def pattern(key):
    text = re.escape(key).replace(r"\ ", " ").replace(r"\-", "-")
    for part, expression in _PARTS.items():
        text = text.replace(part, expression)
    return text


def test_the_keys_of_a_busy_vat_are_all_in_the_schema_and_each_of_the_schema_occurs():
    vat = Vat()
    source = """
baggage[args[0]] = [Holder(args[0]), Memo([args[1]])._vref_]
baggage['weak'] = DurableWeakMap({args[1]: 1})
heap['x'] = Memo(Local())
heap['v'] = VirtualSet([heap['x'], Local(), 1, 'a', None, True, 1.5])
heap['w'] = VirtualWeakSet([Local()])
watch_promise(make_promise()[0], Watcher())
result = [x for x in baggage[args[0]][:1]]
"""
    assert vat.run(source, Ref("o-50"), Ref("o-51")) == [Ref("o+d10/1")]
    patterns = {key: re.compile(pattern(key)) for key, _ in schema.KEYS}
    assert [key for key in vat.records if not any(each.fullmatch(key) for each in patterns.values())] == []
    assert [key for key, each in patterns.items() if not any(map(each.fullmatch, vat.records))] == []


@pytest.mark.parametrize(
    "vref, parts",
    [
        ("o+d10/1", schema.StoredRef(is_durable=True, kind=10, instance=1, facet=None)),
        ("o+v2/30:4", schema.StoredRef(is_durable=False, kind=2, instance=30, facet=4)),
        ("o+1", None),
        ("o-50", None),
        ("o+d10/1:", None),
        ("p+5", None),
    ],
)
def test_a_reference_is_taken_apart(vref, parts):
    assert schema.find_stored_ref(vref) == parts
    if parts is not None:
        base = schema.make_base(is_durable=parts.is_durable, kind=parts.kind, instance=parts.instance)
        assert vref == (base if parts.facet is None else schema.make_facet(base, parts.facet))
        assert schema.is_stored(vref)


def test_a_start_reads_and_writes_its_records_in_this_order():
    vat = Vat(start=False)
    store = vat.session._supervisor._store
    seen = []

    def note(name):
        original = getattr(store, name)

        def noting(*args):
            seen.append((name, args[0]))
            return original(*args)

        setattr(store, name, noting)

    for name in ("get", "set"):
        note(name)
    vat.go()
    vat.deliver(["startVat", {"body": "#null", "slots": []}])
    assert seen == [
        ("get", "storeKindIDTable"),
        ("set", "storeKindIDTable"),
        ("get", "baggageID"),
        ("set", "vc.1.|schemata"),
        ("get", "vom.rc.o+d6/1"),
        ("set", "baggageID"),
        ("get", "watchedPromiseTableID"),
        ("set", "vc.2.|schemata"),
        ("get", "vom.rc.o+d6/2"),
        ("set", "watchedPromiseTableID"),
        # here runs the vat's code
        ("set", "vc.1.|entryCount"),
        ("set", "vc.2.|entryCount"),
        ("set", "vom.rc.o+d6/1"),
        ("set", "vom.rc.o+d6/2"),
        ("set", "idCounters"),
    ]
