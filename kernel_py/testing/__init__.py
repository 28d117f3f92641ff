"""A vat author's tests: vats in memory, driven step by step from an ordinary test function.

    from kernel_py.testing import Vats

    def test_a_purse_keeps_what_is_paid_in(vats: Vats):       # the fixture of `kernel_py.testing.plugin`
        purse = vats.start(Purse)
        assert vats.call(purse).deposit(5) == 5
        with pytest.raises(TypeError, match="expected int"):
            vats.call(purse).deposit("five")

No browser, no threads, no waiting. See `kernel_py.testing.vats`.
"""

from kernel_py.testing.vats import Cluster, Sent, Vats

__all__ = ["Cluster", "Sent", "Vats"]
