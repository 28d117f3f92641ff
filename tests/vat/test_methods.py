"""What is callable from outside, and what is not."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import pytest

from kernel_py.vat.exo import Exo, far, find_iface
from kernel_py.vat.methods import get_method
from kernel_py.wire.passable import Undefined


class Base(Exo):
    def inherited(self):
        return "inherited"


class Counter(Base):
    limit = 10
    helper = print
    made = functools.partial(print)

    class Nested:
        pass

    def __init__(self):
        self.count = 0
        self.callback = lambda: "callback"

    def read(self):
        return self.count

    async def later(self):
        return 1

    @property
    def total(self):
        return self.count

    @functools.cached_property
    def cached(self):
        return lambda: "cached"

    @staticmethod
    def static(value):
        return value

    @classmethod
    def of_class(cls):
        return cls.__name__

    @functools.cache  # noqa: B019
    def remembered(self):
        return "remembered"

    with_limit = functools.partialmethod(lambda self, limit: limit, 7)

    def _hidden(self):
        return "hidden"

    def __len__(self):
        return 3


def call(target, method, *args):
    return get_method(target, method)(*args)


@pytest.mark.parametrize(
    "method, args, result",
    [
        ("read", (), 0),
        ("inherited", (), "inherited"),
        ("static", (5,), 5),
        ("of_class", (), "Counter"),
        ("remembered", (), "remembered"),
        ("with_limit", (), 7),
    ],
)
def test_methods_are_callable(method, args, result):
    assert call(Counter(), method, *args) == result


@pytest.mark.parametrize(
    "method",
    [
        "count",
        "callback",
        "limit",
        "helper",
        "made",
        "Nested",
        "total",
        "cached",
        "_hidden",
        "__len__",
        "__init__",
        "__class__",
        "__dict__",
        "_far_iface_",
        "missing",
        "",
        "read ",
    ],
)
def test_nothing_else_is(method):
    counter = Counter()
    with pytest.raises(AttributeError) as raised:
        get_method(counter, method)
    assert str(raised.value) == (
        f"Counter has no method {method!r}; it has: inherited, later, of_class, read, remembered, static, with_limit"
    )


@pytest.mark.parametrize("method", [None, 3, b"read", ["read"], True])
def test_a_method_name_is_text(method):
    with pytest.raises(TypeError, match="a method's name is text"):
        get_method(Counter(), method)


def test_a_method_set_on_the_instance_does_not_stand_for_that_of_the_class():
    counter = Counter()
    counter.read = lambda: "forged"
    assert call(counter, "read") == 0


def test_an_overriding_attribute_of_a_subclass_hides_the_method():
    class Closed(Counter):
        read = None
        inherited = 3

    with pytest.raises(AttributeError):
        get_method(Closed(), "inherited")


def test_the_interface_is_the_name_of_the_class():
    assert find_iface(Counter()) == "Alleged: Counter"
    assert find_iface(Counter) is None


def test_instances_of_any_class_can_be_marked():
    @dataclass
    class Point:
        x: int

        def read(self):
            return self.x

    point, other = Point(1), Point(1)
    assert far(point) is point
    assert (find_iface(point), find_iface(other)) == ("Alleged: Point", None)
    assert call(point, "read") == 1
    assert find_iface(far(other, "Place")) == "Alleged: Place"


def test_a_frozen_instance_can_be_marked():
    @dataclass(frozen=True)
    class Point:
        x: int

    assert find_iface(far(Point(1))) == "Alleged: Point"


def test_functions_can_be_marked_also_as_a_decorator():
    @far
    def double(n):
        return 2 * n

    assert find_iface(double) == "Alleged: double"
    assert call(double, Undefined, 4) == 8
    with pytest.raises(AttributeError, match="to be called itself"):
        get_method(double, "double")


@pytest.mark.parametrize("function", [Counter().read, [].append, functools.partial(max, 1)])
def test_bound_methods_builtins_and_partials_are_far_functions(function):
    marked = far(function, "Reader")
    assert find_iface(marked) == "Alleged: Reader"
    assert callable(get_method(marked, Undefined))
    with pytest.raises(AttributeError):
        get_method(marked, "_function")


def test_an_exo_that_is_callable_is_a_far_function_too():
    class Adder(Exo):
        def __call__(self, a, b):
            return a + b

    assert call(Adder(), Undefined, 1, 2) == 3
    with pytest.raises(AttributeError, match="it has no methods"):
        get_method(Adder(), "__call__")


@pytest.mark.parametrize("target", [3, "text", None, [], {}, Counter, object()])
def test_what_can_carry_no_mark_is_refused(target):
    with pytest.raises(TypeError, match=r"Exo"):
        far(target)


def test_what_looks_like_anything_is_not_taken_for_a_far_object():
    class Mock:
        def __getattr__(self, name):
            return "Alleged: " + name

    assert find_iface(Mock()) is None
