"""A user of the bank, who holds purses and knows other users."""

import asyncio

from kernel_py.vat import E, Exo


class User(Exo):
    def __init__(self, name):
        self.name = name
        self.purses = {}

    def accept_purse(self, currency, purse):
        self.purses[currency] = purse

    async def balance(self, currency="dollar"):
        return await E(self.purses[currency]).balance()

    async def pay(self, other, amount, currency="dollar", request=None):
        """Pay `other`; what they have then. Raises if there is not enough.

        Nothing waits for the withdrawal: the promise of a payment goes to the other user, and from there to the bank.
        """
        payment = E(self.purses[currency]).withdraw(amount)
        return await E(other).receive(payment, currency, request)

    async def pay_often(self, other, amount, times, prefix):
        """Pay `other` many times at once, each under a request name of its own; how many were done."""
        balances = await asyncio.gather(*[self.pay(other, amount, request=f"{prefix}-{n}") for n in range(times)])
        return len(balances)

    async def receive(self, payment, currency, request=None):
        return await E(self.purses[currency]).deposit(payment, request)

    async def trade(self, seat, pays, amount, gets):
        """Take part in a trade, and deposit what comes of it: what was bought, or the money back.

        Raises if the trade was called off.
        """
        payment = await E(self.purses[pays]).withdraw(amount)
        try:
            outcome = await E(seat).pay(payment)
        except Exception:
            await E(self.purses[pays]).deposit(payment)
            raise
        await E(self.purses[gets if outcome["is_done"] else pays]).deposit(outcome["payment"])
        if not outcome["is_done"]:
            raise RuntimeError(outcome["reason"])

    async def back_out(self, seat, reason):
        """Call a trade off; False if it was too late."""
        return await E(seat).back_out(f"{self.name} backed out: {reason}")


def build_root_object(powers, parameters, baggage):
    return User(parameters["name"])
