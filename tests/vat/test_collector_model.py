"""Any graph of objects, dropped in any order: only what a model of reachability calls dead is brought out.

Whenever Python's collector ran; and in the end nothing is left but what is reachable.
"""

from __future__ import annotations

import gc

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.vat.driving import Ref
from tests.vat.test_collector import SOURCE, Vat

MAKERS = {"durable": "Holder([])", "virtual": "Memo([])", "local": "Local()", "map": "DurableMap()"}
KINDS = [*MAKERS, "presence"]
_MAY_HOLD = {"durable": ("durable", "map", "presence"), "map": ("durable", "map", "presence")}
PUT = "x = heap[{0}]\nif isinstance(x, DurableMap): x[len(x)] = {1}\nelse: x.what = [*(x.what or ()), {1}]"
CLEAR = "x = heap[{0}]\nif isinstance(x, DurableMap): x.clear()\nelse: x.what = []"


class Graph:
    """A vat, and what is known of it. Nodes are numbers; an edge leads to an older node, so that there are no cycles.

    Weak keys are newer than their values, for the same reason.
    """

    def __init__(self, is_late):
        self.vat = Vat(is_late=is_late)
        self.make_weak()
        self.kinds = []
        self.names = {}
        self.heap = set()
        self.edges = {}
        self.exported = set()
        self.recognized = set()  # exports that the kernel recognizes
        self.imported = set()
        self.unretired = set()  # imports that were dropped and not retired
        self.weak = {}
        self.said = []

    # What the vat's code and the kernel do -----------------------------------------------------

    def make_weak(self):
        """The weak map of this incarnation."""
        vref = self.vat.run("heap['weak'] = VirtualWeakMap(); result = heap['weak']._vref_")
        self.weak_prefix = f"vc.{vref.partition('/')[2]}.|"

    def upgrade(self, *_):
        self.said.append(self.vat.upgrade(SOURCE))
        self.make_weak()
        self.heap.clear()
        self.weak.clear()
        gone = {node for node, kind in enumerate(self.kinds) if kind in ("virtual", "local")}
        self.exported -= gone
        self.recognized -= gone

    def make(self, kind, _):
        node = len(self.kinds)
        self.kinds.append(KINDS[kind % len(KINDS)])
        self.edges[node] = []
        self.heap.add(node)
        if self.kinds[node] == "presence":
            self.names[node] = f"o-{100 + node}"
            self.meet(node)
        else:
            name = f"result = getattr(heap[{node}], '_vref_', '')"
            self.names[node] = self.vat.run(f"heap[{node}] = {MAKERS[self.kinds[node]]}\n{name}")

    def meet(self, node):
        self.vat.run(f"heap[{node}] = args[0]", Ref(self.names[node]))
        self.imported.add(node)
        self.unretired.discard(node)

    def link(self, one, other):
        holders = [node for node in sorted(self.heap) if self.kinds[node] != "presence"]
        if holders:
            holder = holders[one % len(holders)]
            allowed = _MAY_HOLD.get(self.kinds[holder], KINDS)
            held = [node for node in sorted(self.heap) if node < holder and self.kinds[node] in allowed]
            if held:
                node = held[other % len(held)]
                self.vat.run(PUT.format(holder, f"heap[{node}]"))
                self.edges[holder].append(node)

    def clear(self, one, _):
        holders = [node for node in sorted(self.heap) if self.kinds[node] != "presence"]
        if holders:
            holder = holders[one % len(holders)]
            self.vat.run(CLEAR.format(holder))
            self.edges[holder] = []

    def let_go(self, one, _):
        if self.heap:
            node = sorted(self.heap)[one % len(self.heap)]
            self.vat.run(f"del heap[{node}]")
            self.heap.discard(node)

    def export(self, one, _):
        nodes = [node for node in sorted(self.heap) if self.kinds[node] != "presence"]
        if nodes:
            node = nodes[one % len(nodes)]
            self.names[node] = self.vat.run(f"result = heap[{node}]").vref
            self.exported.add(node)
            self.recognized.add(node)

    def come_back(self, one, _):
        nodes = sorted(self.exported | self.imported)
        if nodes:
            node = nodes[one % len(nodes)]
            self.vat.run(f"heap[{node}] = args[0]", Ref(self.names[node]))
            self.heap.add(node)

    def drop_export(self, one, retires):
        if self.exported:
            node = sorted(self.exported)[one % len(self.exported)]
            self.vat.refs("dropExports", self.names[node])
            self.exported.discard(node)
            if retires % 2 and self.kinds[node] != "local":  # a far object of the heap would get another name
                self.vat.refs("retireExports", self.names[node])
                self.recognized.discard(node)

    def recognize(self, one, other):
        keys = sorted(self.heap)
        if keys:
            key = keys[one % len(keys)]
            values = [node for node in keys if node < key]
            value = values[other % len(values)] if values else None
            self.vat.run(f"heap['weak'][heap[{key}]] = {'None' if value is None else f'heap[{value}]'}")
            self.weak[key] = value

    def unrecognize(self, one, _):
        keys = sorted(self.heap & self.weak.keys())
        if keys:
            key = keys[one % len(keys)]
            self.vat.run(f"del heap['weak'][heap[{key}]]")
            del self.weak[key]

    def retire_import(self, one, _):
        if self.unretired:
            node = sorted(self.unretired)[one % len(self.unretired)]
            self.vat.refs("retireImports", self.names[node])
            self.unretired.discard(node)
            self.weak.pop(node, None)

    def collect(self, *_):
        gc.collect()

    # What must be ------------------------------------------------------------------------------

    def reach(self):
        values = [self.weak[key] for key in self.weak if self.kinds[key] == "presence"]
        reached, stack = set(), [*self.heap, *self.exported, *values]
        while stack:
            node = stack.pop()
            if node is not None and node not in reached:
                reached.add(node)
                stack += self.edges[node]
                stack.append(self.weak.get(node))
        return reached

    def bring_out(self, *_):
        reached = self.reach()
        dead = set(range(len(self.kinds))) - reached
        dropped = self.imported & dead
        self.imported -= dropped
        self.unretired |= dropped
        retired = {node for node in self.unretired if node not in self.weak}
        self.unretired -= retired
        gone = self.recognized & dead
        self.recognized -= gone
        for node in dead:
            if self.kinds[node] != "presence":
                self.weak.pop(node, None)
        groups = [("dropImports", dropped), ("retireImports", retired), ("retireExports", gone)]
        expected = [(op, sorted(self.names[node] for node in nodes)) for op, nodes in groups if nodes]
        said = self.vat.bring_out_your_dead()
        assert said == expected
        self.said.append(said)
        stored = {key.removeprefix("vom.") for key in self.vat.records if key.startswith(("vom.o+d", "vom.o+v"))}
        alive = [node for node in reached if self.kinds[node] in ("durable", "virtual")]
        assert stored == {self.names[node] for node in alive}

    def finish(self):
        """Let go of everything, by the vat and the kernel, and see that nothing is left."""
        self.vat.run("weak = heap['weak']; heap.clear(); heap['weak'] = weak")
        self.heap.clear()
        for node in sorted(self.exported):
            self.vat.refs("dropExports", self.names[node])
        self.exported.clear()
        while True:
            self.bring_out()
            if not self.unretired:
                break
            self.retire_import(0, 0)
        self.said.append(self.vat.records)
        left = [key for key in self.vat.records if key.startswith(("vom.o", "vom.rc.", "vom.es.", "vom.ir.", "vc."))]
        assert [key for key in left if not key.startswith(self.weak_prefix)] == [
            *("vc.1.|entryCount", "vc.1.|schemata", "vc.2.|entryCount", "vc.2.|schemata"),
            *("vom.rc.o+d6/1", "vom.rc.o+d6/2"),
        ]  # fmt: skip


STEPS = [
    *[Graph.make] * 4, *[Graph.link] * 4, Graph.clear, *[Graph.let_go] * 3, Graph.export, Graph.come_back,
    Graph.drop_export, Graph.recognize, Graph.unrecognize, Graph.retire_import, Graph.collect,
    *[Graph.bring_out] * 2, Graph.upgrade,
]  # fmt: skip

programs = st.lists(
    st.tuples(st.integers(0, len(STEPS) - 1), st.integers(0, 7), st.integers(0, 7)), min_size=8, max_size=50
)


def carry_out(program, is_late):
    graph = Graph(is_late)
    for step, one, other in program:
        STEPS[step](graph, one, other)
    graph.finish()
    return graph.said


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(programs)
def test_what_is_brought_out_is_what_nothing_reaches_whenever_python_collects(program):
    assert carry_out(program, is_late=False) == carry_out(program, is_late=True)


def test_the_model_can_fail():
    graph = Graph(is_late=False)
    graph.make(KINDS.index("presence"), 0)
    graph.vat.run("heap.clear()")
    try:
        graph.bring_out()
    except AssertionError:
        return
    raise AssertionError("a presence was dropped that the model holds, and nobody noticed")
