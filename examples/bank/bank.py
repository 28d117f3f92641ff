"""A bank: mints money of several currencies, keeps purses, and moves money between them.

A purse is the right to spend what is in it; its owner shows it to nobody. To pay, the owner withdraws a payment and
gives it away: whoever deposits it first has the money. So nobody needs an account number, a password or the bank's
word on who they are: holding the reference is the right.
"""

import asyncio
from collections import Counter, defaultdict

from kernel_py.vat import E, Exo


class Ledger:
    """What the bank knows: for audits, never consulted to decide a payment."""

    def __init__(self):
        self.minted = Counter()
        self.purses = []
        self.in_payments = Counter()
        self.deposits_by_request = Counter()
        self.transfers = 0

    def audit(self):
        in_purses = Counter()
        for purse in self.purses:
            in_purses[purse.currency] += purse.amount
        return {
            "minted": dict(self.minted),
            "in_purses": dict(in_purses),
            "in_payments": dict(+self.in_payments),
            "is_conserved": in_purses + self.in_payments == +self.minted,
            "transfers": self.transfers,
            "requests": len(self.deposits_by_request),
            "repeated": sorted(request for request, count in self.deposits_by_request.items() if count > 1),
        }


class Payment(Exo):
    """Money on its way. Worth something until it is deposited or claimed, once."""

    def __init__(self, ledger, currency, amount):
        self.ledger = ledger
        self.currency = currency
        self.amount = amount
        self.is_spent = False
        ledger.in_payments[currency] += amount

    def describe(self):
        return {"currency": self.currency, "amount": 0 if self.is_spent else self.amount}

    def _spend(self):
        if self.is_spent:
            raise ValueError(f"this payment of {self.amount} {self.currency} has been used already")
        self.is_spent = True
        self.ledger.in_payments[self.currency] -= self.amount
        return self.amount


class Purse(Exo):
    """Money that is somebody's."""

    def __init__(self, ledger, owner, currency, amount):
        self.ledger = ledger
        self.owner = owner
        self.currency = currency
        self.amount = amount
        ledger.purses.append(self)

    def balance(self):
        return self.amount

    def withdraw(self, amount):
        """Take `amount` out, as a payment to be given away."""
        if type(amount) is not int or amount <= 0:
            raise ValueError(f"an amount is a whole number above 0, not {amount!r}")
        if amount > self.amount:
            raise ValueError(f"{self.owner} has {self.amount} {self.currency}, not {amount}")
        self.amount -= amount
        return Payment(self.ledger, self.currency, amount)

    async def deposit(self, payment, request=None):
        """Put a payment, or the promise of one, into this purse; the new balance.

        `request` is the payer's name for the transfer, noted for the audit.
        """
        payment = await E.when(payment)
        if not isinstance(payment, Payment) or payment.currency != self.currency:
            raise TypeError(f"{payment!r} is no payment in {self.currency} of this bank")
        self.amount += payment._spend()
        self.ledger.transfers += 1
        if request is not None:
            self.ledger.deposits_by_request[request] += 1
        return self.amount


class Issuer(Exo):
    """What the public may know of the bank: it tells real money from other things."""

    async def claim(self, payment, currency, amount):
        """Swap a payment, or the promise of one, of exactly this worth for a new one that nobody else has."""
        payment = await E.when(payment)
        if not isinstance(payment, Payment):
            raise TypeError(f"{payment!r} is no payment of this bank")
        if (payment.currency, payment.amount) != (currency, amount):
            raise ValueError(f"this is {payment.amount} {payment.currency}, and agreed were {amount} {currency}")
        payment._spend()
        return Payment(payment.ledger, currency, amount)


class Bank(Exo):
    def __init__(self):
        self.ledger = Ledger()
        self.issuer = Issuer()
        self.users = {}

    def mint(self, owner, currency, amount):
        """A purse with new money."""
        self.ledger.minted[currency] += amount
        return Purse(self.ledger, owner, currency, amount)

    def get_issuer(self):
        return self.issuer

    def audit(self):
        return self.ledger.audit()

    def balances(self):
        """All balances, by owner and currency."""
        balances = defaultdict(Counter)
        for purse in self.ledger.purses:
            balances[purse.owner][purse.currency] += purse.amount
        return {owner: dict(amounts) for owner, amounts in balances.items()}

    def get_user(self, name):
        return self.users[name]

    async def bootstrap(self, vats, services):
        """Open for business: fund two users, and let them pay, overspend, trade, and back out of a trade."""
        alice, bob, escrow = vats["alice"], vats["bob"], vats["escrow"]
        self.users = {"alice": alice, "bob": bob, "escrow": escrow}
        async with asyncio.TaskGroup() as opening:
            for name, currency, amount in [
                ("alice", "dollar", 1000),
                ("alice", "apple", 0),
                ("bob", "dollar", 500),
                ("bob", "apple", 30),
            ]:
                opening.create_task(self._fund(name, currency, amount))
            opening.create_task(_wait(E(escrow).trust(self.issuer)))
        self._show("opened")

        await asyncio.gather(*[E(alice).pay(bob, 10, request=f"opening-{n}") for n in range(5)])
        self._show("alice paid bob 5 times 10 dollar")

        try:
            await E(bob).pay(alice, 10_000)
        except ValueError as error:
            print(f"bob cannot pay 10000: {error}")

        seats = await E(escrow).open([["dollar", 100], ["apple", 20]])
        await asyncio.gather(
            E(alice).trade(seats[0], "dollar", 100, "apple"), E(bob).trade(seats[1], "apple", 20, "dollar")
        )
        self._show("alice bought 20 apple for 100 dollar")

        seats = await E(escrow).open([["dollar", 200], ["apple", 10]])
        buying = E(alice).trade(seats[0], "dollar", 200, "apple")
        await E(bob).back_out(seats[1], "the apples are mine")
        try:
            await buying
        except Exception as error:
            print(f"alice could not buy: {error}")
        self._show("bob backed out, alice has her money back")

        return {"balances": self.balances(), "audit": self.audit()}

    async def _fund(self, name, currency, amount):
        await E(self.users[name]).accept_purse(currency, self.mint(name, currency, amount))

    def _show(self, event):
        amounts = ", ".join(
            f"{owner} {amount} {currency}"
            for owner, purses in self.balances().items()
            for currency, amount in purses.items()
        )
        print(f"{event}: {amounts}")


async def _wait(promise):
    return await promise


def build_root_object(powers, parameters, baggage):
    return Bank()
