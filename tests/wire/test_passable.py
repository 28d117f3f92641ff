from __future__ import annotations

import builtins
import copy
import pickle
import re
import traceback

import pytest

from kernel_py.wire.passable import (
    RemoteError,
    Symbol,
    Tagged,
    Undefined,
    UndefinedType,
    find_iface_fault,
    find_symbol_fault,
    make_remote_error,
)

STEERING = [
    *("BaseException", "BaseExceptionGroup", "ExceptionGroup", "GeneratorExit", "KeyboardInterrupt"),
    *("StopAsyncIteration", "StopIteration", "SystemExit"),
]
OTHERS = ["Exception", "Error", "EvalError", "AggregateError", "InsufficientFunds", "", "int", "print", "__name__"]
BUILTINS = sorted(
    name
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, BaseException) and name not in STEERING and name[0] != "_"
)


# Undefined -----------------------------------------------------------------------------------


def test_undefined_is_the_only_one_of_its_type() -> None:
    assert UndefinedType() is Undefined
    assert copy.copy(Undefined) is Undefined
    assert copy.deepcopy([Undefined])[0] is Undefined
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(Undefined, protocol)) is Undefined


def test_undefined_is_falsy_and_named() -> None:
    assert not Undefined
    assert repr(Undefined) == "Undefined"
    assert Undefined is not None


def test_undefined_takes_no_attributes() -> None:
    with pytest.raises(AttributeError):
        Undefined.anything = 1  # type: ignore[attr-defined]


# Tagged and symbols --------------------------------------------------------------------------


def test_tagged_is_equal_and_hashable_by_its_parts() -> None:
    assert Tagged("set", (1, 2)) == Tagged("set", (1, 2))
    assert Tagged("set", (1, 2)) != Tagged("bag", (1, 2))
    assert hash(Tagged("set", (1, 2))) == hash(Tagged("set", (1, 2)))
    with pytest.raises(TypeError, match="unhashable"):
        hash(Tagged("set", [1, 2]))


@pytest.mark.parametrize(
    "name", ["", "foo", "@", "@foo", "@@iterator", "@@asyncIterator", "@@@@", "@@@@foo", "@@@@iterator"]
)
def test_symbol_of_this_name_is_passable(name: str) -> None:
    assert find_symbol_fault(name) is None
    assert Symbol(name) == Symbol(name)


@pytest.mark.parametrize("name", ["@@", "@@foo", "@@@", "@@@foo", "@@Iterator", "@@iterator\n"])
def test_symbol_that_is_not_well_known_says_how_to_name_a_registered_one(name: str) -> None:
    fault = find_symbol_fault(name)
    assert fault is not None
    assert repr("@@" + name) in fault


@pytest.mark.parametrize("iface", ["Remotable", "Alleged: Counter", "Alleged: ", "DebugName: x", "Alleged: a\n\ud800"])
def test_iface_is_alleged(iface: str) -> None:
    assert find_iface_fault(iface) is None


@pytest.mark.parametrize("iface", ["", "Counter", "alleged: Counter", "Alleged:Counter", "remotable", "Remotable "])
def test_iface_that_alleges_nothing_is_at_fault(iface: str) -> None:
    assert find_iface_fault(iface) is not None


# Remote errors -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BUILTINS)
def test_remote_error_is_the_builtin_of_its_name(name: str) -> None:
    error = make_remote_error(name, "the message", "error:v1#1")
    assert isinstance(error, RemoteError)
    assert isinstance(error, getattr(builtins, name))
    assert (error.name, error.message, error.error_id, str(error)) == (name, "the message", "error:v1#1", "the message")
    assert error.args == ("the message",)


@pytest.mark.parametrize("name", BUILTINS)
def test_remote_error_can_be_raised_caught_and_printed(name: str) -> None:
    with pytest.raises(getattr(builtins, name)) as caught:
        raise make_remote_error(name, "the message", None)
    printed = "".join(traceback.format_exception(caught.value))
    assert re.search(r"\.Remote\w*: the message", printed)


@pytest.mark.parametrize("name", [*BUILTINS, *STEERING, "RangeError", "InsufficientFunds"])
def test_remote_error_survives_copying_and_pickling(name: str) -> None:
    error = make_remote_error(name, "the message", "error:v1#1")
    for again in (copy.copy(error), copy.deepcopy(error), pickle.loads(pickle.dumps(error))):
        assert type(again) is type(error)
        assert (again.name, again.message, again.error_id) == (name, "the message", "error:v1#1")


@pytest.mark.parametrize("name", [*STEERING, *OTHERS, "_IncompleteInputError"])
def test_remote_error_of_any_other_name_is_no_builtin(name: str) -> None:
    error = make_remote_error(name, "the message", None)
    assert type(error) is RemoteError
    assert (error.name, str(error)) == (name, "the message")


@pytest.mark.parametrize("name", ["RangeError", "URIError"])
def test_javascripts_range_and_uri_errors_are_value_errors(name: str) -> None:
    error = make_remote_error(name, "the message", None)
    assert isinstance(error, ValueError)
    assert error.name == name


@pytest.mark.parametrize("name", ["IOError", "EnvironmentError"])
def test_alias_of_a_builtin_keeps_its_name(name: str) -> None:
    error = make_remote_error(name, "the message", None)
    assert isinstance(error, OSError)
    assert error.name == name


def test_remote_errors_of_one_name_have_one_class() -> None:
    assert type(make_remote_error("KeyError", "a", None)) is type(make_remote_error("KeyError", "b", None))


def test_remote_error_is_not_swallowed_by_an_await() -> None:
    async def fail() -> None:
        raise make_remote_error("StopIteration", "the message", None)

    with pytest.raises(RemoteError, match="the message"):
        fail().send(None)


def test_remote_error_shows_what_it_is() -> None:
    assert repr(make_remote_error("KeyError", "'x'", None)) == """RemoteError("'x'", name='KeyError')"""
    assert repr(make_remote_error("E", "m", "error:1")) == "RemoteError('m', name='E', error_id='error:1')"


def test_what_a_vat_does_to_the_builtins_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtins, "ArithmeticError", str)
    monkeypatch.setattr(builtins, "Forged", type("Forged", (Exception,), {}), raising=False)
    assert type(make_remote_error("ArithmeticError", "", None)).__name__ == "RemoteArithmeticError"
    assert type(make_remote_error("Forged", "", None)) is RemoteError
