"""A bidder in auctions with sealed bids."""

import secrets

from auction import Paddle, seal

from kernel_py.vat import E, Exo, Nat


class Bidder(Exo):
    def __init__(self, name: str):
        self.name = name
        self.paddle = None
        self.amount = 0
        self.secret = ""
        self.cheats = False

    def will_cheat(self) -> None:
        """From now on, reveal ten times what was bid."""
        self.cheats = True

    async def bid(self, paddle: Paddle, amount: Nat) -> None:
        self.paddle, self.amount, self.secret = paddle, amount, secrets.token_hex(16)
        await E(paddle).commit(seal(self.name, amount, self.secret))

    async def reveal(self) -> None:
        amount = self.amount * 10 if self.cheats else self.amount
        await E(self.paddle).reveal(amount, self.secret)


def build_root_object(powers, parameters, baggage):
    return Bidder(parameters["name"])
