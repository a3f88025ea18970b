"""The refusal of a simulation in a home where people live."""


class PeopleLiveHere(Exception):
    code = "people_live_here"

    def __str__(self) -> str:
        return "people have talked or judged in this home: a simulation would train their model; omit --here"
