"""An escrow: holds what two parties pay until both have paid, then swaps it; or gives it back if one backs out.

While a party waits, its call is a suspended coroutine. It stays suspended, with other people's money in it, over
restarts and power cuts, for as long as the other party takes.
"""

from kernel_py.vat import E, Exo, make_promise


class Seat(Exo):
    """One party's side of a trade. Whoever holds it is that party."""

    def __init__(self, issuer, trade, currency, amount):
        self.issuer = issuer
        self.trade = trade
        self.currency = currency
        self.amount = amount
        self.is_taken = False
        self.held = None

    def describe(self):
        return {"currency": self.currency, "amount": self.amount, "is_paid": self.held is not None}

    async def pay(self, payment):
        """Pay in what was agreed, and wait for the other party.

        Gives what the other party paid (``is_done``), or this party's own money if one of them backed out. Raises if
        `payment` is not what was agreed; it is the payer's still.
        """
        if self.is_taken:
            raise ValueError("this seat has been paid for")
        self.is_taken = True
        try:
            self.held = await E(self.issuer).claim(payment, self.currency, self.amount)
        except Exception:
            self.is_taken = False
            raise
        self.trade.note_payment()
        reason = await self.trade.outcome
        if reason is None:
            return {"is_done": True, "payment": self.trade.other_than(self).held}
        return {"is_done": False, "payment": self.held, "reason": reason}

    def back_out(self, reason):
        """Call the trade off. False if it is too late."""
        return self.trade.settle(reason)


class Trade:
    """Two seats; over when both have been paid for, or one party has backed out."""

    def __init__(self, issuer, terms):
        self.outcome, self.resolver = make_promise()
        self.is_over = False
        self.seats = [Seat(issuer, self, currency, amount) for currency, amount in terms]

    def other_than(self, seat):
        first, second = self.seats
        return second if seat is first else first

    def note_payment(self):
        if all(seat.held is not None for seat in self.seats):
            self.settle(None)

    def settle(self, reason):
        """Decide the outcome: the reason for which it is off, or None for a swap. False if it is decided."""
        if self.is_over:
            return False
        self.is_over = True
        self.resolver.resolve(reason)
        return True


class Escrow(Exo):
    def __init__(self):
        self.issuer = None
        self.holds = {}

    def trust(self, issuer):
        """Take payments of this issuer's bank."""
        self.issuer = issuer

    def open(self, terms):
        """The two seats of a new trade. `terms` says what each pays: ``[["dollar", 100], ["apple", 20]]``."""
        first, second = terms
        return Trade(self.issuer, [first, second]).seats

    async def await_release(self, name):
        """What `release` is called with under this name, whenever that will be."""
        return await self._hold(name)[0]

    def release(self, name, value=None):
        """Let all who await this name go on, and all who will."""
        self._hold(name)[1].resolve(value)

    def _hold(self, name):
        if name not in self.holds:
            self.holds[name] = make_promise()
        return self.holds[name]


def build_root_object(powers, parameters, baggage):
    return Escrow()
