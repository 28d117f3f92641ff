from __future__ import annotations

import math

import pytest

from kernel_py.wire.capdata import CapData
from kernel_py.wire.errors import MarshalError
from kernel_py.wire.limits import Limits
from kernel_py.wire.passable import RemoteError, Symbol, Tagged, Undefined
from kernel_py.wire.smallcaps import Marshal

Call = tuple[str, str | None, bool]


def make_marshal(calls: list[Call] | None = None, **limits: int) -> Marshal:
    """A marshal that decodes a reference to what `slot_to_value` was called with."""

    def slot_to_value(slot: str, iface: str | None, is_promise: bool) -> Call:
        call = (slot, iface, is_promise)
        if calls is not None:
            calls.append(call)
        return call

    return Marshal(value_to_slot=lambda value: None, slot_to_value=slot_to_value, limits=Limits(**limits))


def decode(body: str, *slots: str) -> object:
    return make_marshal().unserialize(CapData(body, slots))


@pytest.mark.parametrize(
    "body, value",
    [
        ("#null", None),
        ("#true", True),
        ("#false", False),
        ("#5", 5.0),
        ("#5.0", 5.0),
        ("#1e400", math.inf),
        ('#"#undefined"', Undefined),
        ('#"#Infinity"', math.inf),
        ('#"#-Infinity"', -math.inf),
        ('#"+5"', 5),
        ('#"-5"', -5),
        ('#"+0"', 0),
        ('#""', ""),
        ('#"abc"', "abc"),
        ('#"!"', ""),
        ('#"!!"', "!"),
        ('#"!#NaN"', "#NaN"),
        ('#"!abc"', "abc"),
        ('#"\\ud83d\\ude00\\ud800"', "😀\ud800"),
        ('#"\\u0021#NaN"', "#NaN"),
        ('#"*"', b""),
        ('#"*00ff"', b"\x00\xff"),
        ('#"%"', Symbol("")),
        ('#"%foo"', Symbol("foo")),
        ('#"%@@iterator"', Symbol("@@iterator")),
        ('#[1,[],"+1"]', [1.0, [], 1]),
        ("# [ 1 , { } ]\n\t\r", [1.0, {}]),
        ('#{"a":"!!","!#tag":"+1","":{}}', {"a": "!", "#tag": 1, "": {}}),
        ('#{"__proto__":1,"constructor":2}', {"__proto__": 1.0, "constructor": 2.0}),
        ('#{"!a":1}', {"a": 1.0}),
        ('#{"#tag":"!#tag","payload":"#undefined"}', Tagged("#tag", Undefined)),
        ('#{"payload":[],"#tag":"t"}', Tagged("t", [])),
    ],
)
def test_body_decodes_to(body: str, value: object) -> None:
    decoded = decode(body)
    assert decoded == value
    assert type(decoded) is type(value)


def test_nan_and_minus_zero_decode() -> None:
    assert math.isnan(decode('#"#NaN"'))  # type: ignore[arg-type]
    assert math.copysign(1, decode("#-0")) == -1  # type: ignore[arg-type]


def test_record_keeps_the_order_of_the_text() -> None:
    assert list(decode('#{"b":1,"2":1,"10":1,"!!":1,"a":1}')) == ["b", "2", "10", "!", "a"]  # type: ignore[call-overload]
    assert list(decode('#{"2":1,"10":1,"!!":1,"a":1}')) == ["2", "10", "!", "a"]  # type: ignore[call-overload]


# References ----------------------------------------------------------------------------------


def test_slot_to_value_is_called_once_for_each_slot_in_order_of_first_mention() -> None:
    calls: list[Call] = []
    data = CapData('#["$1.Alleged: X","&0","$1","&0","$1.Alleged: X","$2"]', ("p-1", "o-1", "o-2", "o-3"))
    value = make_marshal(calls).unserialize(data)
    assert calls == [("o-1", "Alleged: X", False), ("p-1", None, True), ("o-2", None, False)]
    assert value == [calls[0], calls[1], calls[0], calls[1], calls[0], calls[2]]


def test_interface_is_found_where_the_walk_meets_the_reference_first() -> None:
    calls: list[Call] = []
    value = make_marshal(calls).unserialize(
        CapData('#{"2":["$0","$1.Alleged: Y"],"10":"$0.Alleged: X"}', ("o-1", "o-2"))
    )
    assert calls == [("o-1", "Alleged: X", False), ("o-2", "Alleged: Y", False)]
    assert value == {"2": [calls[0], calls[1]], "10": calls[0]}


def test_interface_after_a_mention_without_one_is_let_pass() -> None:
    assert decode('#["$0","$0.Alleged: X"]', "o-1") == [("o-1", None, False)] * 2


def test_slots_of_equal_name_are_slots_of_their_own() -> None:
    calls: list[Call] = []
    make_marshal(calls).unserialize(CapData('#["$0","$1"]', ("o-1", "o-1")))
    assert len(calls) == 2


def test_interface_may_contain_anything() -> None:
    assert decode('#"$0.Alleged: a.b\\n\\ud800"', "o-1") == ("o-1", "Alleged: a.b\n\ud800", False)


def test_reference_to_a_false_value_is_remembered_too() -> None:
    calls: list[str] = []

    def slot_to_value(slot: str, iface: str | None, is_promise: bool) -> None:
        calls.append(slot)

    Marshal(value_to_slot=lambda value: None, slot_to_value=slot_to_value).unserialize(
        CapData('#["$0","$0"]', ("o-1",))
    )
    assert calls == ["o-1"]


def test_what_slot_to_value_raises_passes_through() -> None:
    def fail(slot: str, iface: str | None, is_promise: bool) -> None:
        raise LookupError("not there")

    with pytest.raises(LookupError, match="not there"):
        Marshal(value_to_slot=lambda value: None, slot_to_value=fail).unserialize(CapData('#["$0"]', ("o-1",)))


# Errors --------------------------------------------------------------------------------------


def decode_error(body: str, *slots: str) -> RemoteError:
    error = decode(body, *slots)
    assert isinstance(error, RemoteError)
    return error


def test_error_decodes_with_its_name_message_and_id() -> None:
    error = decode_error('#{"#error":"!#no","errorId":"error:v1#70001","name":"TypeError"}')
    assert isinstance(error, TypeError)
    assert (error.name, error.message, error.error_id) == ("TypeError", "#no", "error:v1#70001")


def test_error_decodes_without_an_id() -> None:
    assert decode_error('#{"#error":"vat terminated","name":"Error"}').error_id is None


def test_cause_of_an_error_is_kept_and_other_extras_are_taken_in() -> None:
    calls: list[Call] = []
    body = '#{"#error":"a","name":"E","cause":{"#error":"b","name":"F"},"errors":["$0"],"extra":"+1"}'
    error = make_marshal(calls).unserialize(CapData(body, ("o-1",)))
    assert isinstance(error, RemoteError)
    assert isinstance(error.__cause__, RemoteError)
    assert error.__cause__.name == "F"
    assert calls == [("o-1", None, False)]


# Refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body, why",
    [
        ("", "not smallcaps"),
        ("null", "not smallcaps"),
        ('{"@qclass":"undefined"}', "not smallcaps"),
        ("#", "not JSON"),
        ("#[", "not JSON"),
        ("#[1,]", "not JSON"),
        ("#[] []", "not JSON"),
        ("#[]#", "not JSON"),
        ("##[]", "not JSON"),
        ("#NaN", "not JSON"),
        ("#[Infinity]", "not JSON"),
        ("#-Infinity", "not JSON"),
        ("#01", "not JSON"),
        ("#+1", "not JSON"),
        ("#.5", "not JSON"),
        ("#٣", "not JSON"),
        ("#'a'", "not JSON"),
        ('#"\n"', "not JSON"),
        ('#"\x00"', "not JSON"),
        ('#"\\x"', "not JSON"),
        ('#"\ud800"', "not JSON"),
        ("#\xa0[]", "not JSON"),
        ("#\ufeff[]", "not JSON"),
        ('#"#"', "not smallcaps"),
        ('#"#nan"', "not smallcaps"),
        ('#"#tag"', "not smallcaps"),
        ('#"\'a"', "not smallcaps"),
        ('#"(a"', "not smallcaps"),
        ('#")"', "not smallcaps"),
        ('#","', "not smallcaps"),
        ('#"\\"a"', "not smallcaps"),
        ('#"*0"', "not smallcaps"),
        ('#"*0F"', "not smallcaps"),
        ('#"*00 "', "not smallcaps"),
        ('#"*zz"', "not smallcaps"),
        ('#"+"', "signed decimal"),
        ('#"-"', "signed decimal"),
        ('#"+05"', "signed decimal"),
        ('#"-0"', "signed decimal"),
        ('#"+ 5"', "signed decimal"),
        ('#"+5\\n"', "signed decimal"),
        ('#"+0x5"', "signed decimal"),
        ('#"+1_0"', "signed decimal"),
        ('#"--5"', "signed decimal"),
        ('#"+٣"', "signed decimal"),
        ('#"%@@foo"', "not a well-known symbol"),
        ('#"%@@"', "not a well-known symbol"),
        ('#"$"', "not a reference"),
        ('#"&"', "not a reference"),
        ('#"$-1"', "not a reference"),
        ('#"$00"', "not a reference"),
        ('#"$1e0"', "not a reference"),
        ('#"$ 0"', "not a reference"),
        ('#"$0 "', "not a reference"),
        ('#"$0\\n"', "not a reference"),
        ('#"$٠"', "not a reference"),
        ('#"$9999999999"', "not a reference"),
        ('#"$0x"', "not a reference"),
        ('#"$2"', "only 2 slots"),
        ('#"&999999999"', "only 2 slots"),
        ('#"$0."', "an interface is"),
        ('#"$0.Counter"', "an interface is"),
        ('#"&0.Alleged: X"', "a promise has no interface"),
        ('#["$0","&0"]', "both a promise and a remotable"),
        ('#["&0","$0"]', "both a promise and a remotable"),
        ('#["$0.Alleged: X","$0.Alleged: Y"]', "another interface"),
        ('#{"#x":1}', "has no meaning"),
        ('#{"a":1,"#undefined":1}', "has no meaning"),
        ('#{"+5":1}', "has no meaning"),
        ('#{"$0":1}', "has no meaning"),
        ('#{"a":1,"!a":2}', "twice"),
        ('#{"!a":1,"a":2}', "twice"),
        ('#{"#tag":"a"}', "'#tag' and 'payload'"),
        ('#{"#tag":"a","payload":1,"x":2}', "'#tag' and 'payload'"),
        ('#{"#tag":"a","#error":1}', "'#tag' and 'payload'"),
        ('#{"#tag":1,"payload":1}', "tag is a string"),
        ('#{"#tag":"+1","payload":1}', "tag is a string"),
        ('#{"#tag":"#undefined","payload":1}', "tag is a string"),
        ('#{"#tag":null,"payload":1}', "tag is a string"),
        ('#{"#error":"a"}', "name is a string"),
        ('#{"#error":"a","name":null}', "name is a string"),
        ('#{"#error":"a","name":"#undefined"}', "name is a string"),
        ('#{"#error":1,"name":"a"}', "message is a string"),
        ('#{"#error":"%a","name":"a"}', "message is a string"),
        ('#{"#error":"a","name":"a","errorId":1}', "id is a string"),
        ('#{"#error":"a","name":"a","errorId":null}', "id is a string"),
        ('#{"#error":"a","name":"a","message":"a"}', "under '#error'"),
        ('#{"#error":"a","name":"a","x":"#x"}', "not smallcaps"),
    ],
)
def test_body_is_refused(body: str, why: str) -> None:
    with pytest.raises(MarshalError) as caught:
        decode(body, "o-1", "o-2")
    assert why in str(caught.value)


@pytest.mark.parametrize(
    "body, path",
    [
        ('#["a",["#x"]]', "[1][0]"),
        ('#{"a":{"!!":"#x"}}', "['a']['!']"),
        ('#{"2":0,"10":["#x"]}', "['10'][0]"),
        ('#[{"#tag":"t","payload":{"a":"#x"}}]', "[0].payload['a']"),
        ('#[{"#error":"t","name":"E","cause":["#x"]}]', "[0].cause[0]"),
        ('#[{"#tag":"#x","payload":0}]', "[0]"),
        ('#"#x"', ""),
    ],
)
def test_path_leads_to_the_culprit(body: str, path: str) -> None:
    with pytest.raises(MarshalError) as caught:
        decode(body)
    assert caught.value.path == path


def test_body_slots_and_integers_over_their_limits_are_refused() -> None:
    with pytest.raises(MarshalError, match="the limit is 100"):
        make_marshal(body_chars_max=100).unserialize(CapData(f'#"{"x" * 98}"'))
    with pytest.raises(MarshalError, match="the limit is 3"):
        make_marshal(slots_max=3).unserialize(CapData("#[]", ("o-1",) * 4))
    with pytest.raises(MarshalError, match="more than 500 digits"):
        make_marshal(bigint_digits_max=500).unserialize(CapData(f'#"+{"1" * 501}"'))


def test_the_body_itself_is_not_changed_by_decoding() -> None:
    marshal = make_marshal()
    data = CapData('#["+1",{"a":["+2"]}]')
    first = marshal.unserialize(data)
    first[1]["a"].append(3)  # type: ignore[index]
    assert marshal.unserialize(data) == [1, {"a": [2]}]
