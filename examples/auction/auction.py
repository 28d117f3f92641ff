"""An auction with sealed bids: nobody, not even the house, learns a bid before the bidding is closed.

Each bidder first commits: hands in a digest of the bid and a secret. When the bidding is closed they reveal bid and
secret, and the house checks them against the digest. Who does not reveal, or reveals something else, is out. The
highest bid wins, and pays what the second highest bid: so it is best to bid what the thing is worth to you.

Auctions and paddles are durable: the house can get new code in the middle of the bidding, and nobody has to know.
"""

import hashlib
from typing import Annotated, Literal, TypedDict

from kernel_py.vat import Durable, DurableMap, E, Exo, Facet, M, Nat, Presence, facet, field

Digest = Annotated[str, M.matches("[0-9a-f]{64}")]
Name = Annotated[str, M.length(1, 40)]
Phase = Literal["bidding", "revealing", "closed"]


class Outcome(TypedDict):
    thing: str
    winner: str | None
    price: Nat
    bids: dict[str, Nat]
    out: list[str]


def seal(name: str, amount: int, secret: str) -> str:
    """The digest of a bid. The bidder's name is in it, so that nobody can hand in a copy of another's."""
    return hashlib.sha256(f"{name}|{amount}|{secret}".encode()).hexdigest()


class Board(Facet):
    """What the public may see of an auction."""

    def describe(self) -> dict[str, str | int]:
        return {"thing": self.of.thing, "reserve": self.of.reserve, "phase": self.of.phase}

    def get_outcome(self) -> Outcome:
        return self.of.get_outcome()


class Auction(Durable):
    """One thing to be sold. Who holds the auction itself leads it; bidders get paddles, the public the board."""

    thing: str
    reserve: int
    phase: Phase = "bidding"
    paddles: DurableMap = field(default_factory=DurableMap)
    board = facet(Board)

    def register(self, name: Name) -> "Paddle":
        """A paddle for a bidder; one for each name."""
        self._insist("bidding")
        if name in self.paddles:
            raise ValueError(f"{name} has a paddle")
        self.paddles[name] = Paddle(self, name)
        return self.paddles[name]

    def close_bidding(self) -> list[str]:
        """No more bids; those who have committed, by name, may reveal them."""
        self._insist("bidding")
        self.phase = "revealing"
        return [name for name, paddle in self.paddles.items() if paddle.digest is not None]

    def close(self) -> Outcome:
        """Who has not revealed by now is out."""
        self._insist("revealing")
        self.phase = "closed"
        return self.get_outcome()

    def get_outcome(self) -> Outcome:
        self._insist("closed")
        bids = {name: paddle.amount for name, paddle in self.paddles.items() if paddle.amount is not None}
        ranking = sorted(((-amount, name) for name, amount in bids.items() if amount >= self.reserve))
        return {
            "thing": self.thing,
            "winner": ranking[0][1] if ranking else None,
            "price": -ranking[1][0] if len(ranking) > 1 else self.reserve if ranking else 0,
            "bids": bids,
            "out": [name for name, paddle in self.paddles.items() if paddle.digest and paddle.amount is None],
        }

    def _insist(self, phase: Phase) -> None:
        if self.phase != phase:
            raise RuntimeError(f"the auction of {self.thing} is {self.phase}, not {phase}")


class Paddle(Durable):
    """The right to bid once, under one name."""

    auction: Auction
    name: str
    digest: str | None = None
    amount: int | None = None

    def commit(self, digest: Digest) -> None:
        """Hand in the digest of a bid; a later one takes its place."""
        self.auction._insist("bidding")
        self.digest = digest

    def reveal(self, amount: Nat, secret: Annotated[str, M.length(8)]) -> None:
        self.auction._insist("revealing")
        if self.digest is None:
            raise ValueError(f"{self.name} has handed in no bid")
        if seal(self.name, amount, secret) != self.digest:
            raise ValueError("this is not the bid that was handed in")
        self.amount = amount


class House(Exo):
    def __init__(self, bidders, auctions):
        self.bidders = bidders
        self.auctions = auctions

    def open_auction(self, thing: Name, reserve: Nat = 0) -> Auction:
        if thing in self.auctions:
            raise ValueError(f"{thing} is in an auction")
        self.auctions[thing] = Auction(thing, reserve)
        return self.auctions[thing]

    def find_board(self, thing: Name) -> Presence:
        """What the public may see of an auction."""
        return self.auctions[thing].board

    async def run_auction(self, thing: Name, reserve: Nat, bids: dict[str, Nat]) -> Outcome:
        """An auction from its opening to its end, among the bidders of this cluster."""
        auction = self.open_auction(thing, reserve)
        for name, amount in bids.items():
            await E(self.bidders[name]).bid(auction.register(name), amount)
        for name in auction.close_bidding():
            try:
                await E(self.bidders[name]).reveal()
            except ValueError as error:
                print(f"{name} is out: {error}")
        return auction.close()

    async def bootstrap(self, vats, services):
        """Sell a painting, for which carol bids one thing and then says another."""
        self.bidders.update({name: bidder for name, bidder in vats.items() if name != "house"})
        await E(self.bidders["carol"]).will_cheat()
        outcome = await self.run_auction("a painting", 100, {"alice": 120, "bob": 150, "carol": 110})
        print(f"{outcome['thing']} goes to {outcome['winner']} for {outcome['price']}")
        return outcome


def build_root_object(powers, parameters, baggage):
    return House(baggage.setdefault("bidders", DurableMap()), baggage.setdefault("auctions", DurableMap()))
