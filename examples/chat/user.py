"""A user of the chat."""

from chat import Line, Name, Text

from kernel_py.vat import E, Exo, Nat


class User(Exo):
    def __init__(self, name: str):
        self.name = name
        self.access = {}
        self.lines = []

    def join(self, access: Exo) -> None:
        """Take an own access to the room."""
        self.access[self.name] = access

    def hear(self, line: Line) -> None:
        self.lines.append(line)

    def heard(self) -> list[str]:
        return [f"{line['author']}: {line['text']}" for line in self.lines]

    async def say(self, text: Text) -> Nat:
        return await self.say_as(self.name, text)

    async def say_as(self, name: Name, text: Text) -> Nat:
        """Say something through the access that `name` gave."""
        return await E(self.access[name]).say(text)

    async def share(self, other: Exo) -> None:
        """Let another user speak in this one's name, for as long as that is allowed."""
        await E(other).lend(self.name, self.access[self.name])

    def lend(self, name: Name, access: Exo) -> None:
        self.access[name] = access


def build_root_object(powers, parameters, baggage):
    return User(parameters["name"])
