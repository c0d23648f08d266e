"""What exceptions.toml excuses: places where a provider's own file is wrong or behind its documentation.

Decides whether a violation is excused. Each line must still be needed: one that excuses nothing in a run is an error, as
is a sixteenth exception.
"""
import fnmatch
import pathlib
import tomllib

MOST = 15
KEYS = {"operation", "direction", "place", "keyword", "values"}


class Excuse:
    def __init__(self, name, line):
        if set(line) != KEYS or not all(line.values()):
            raise SystemExit(f"exceptions.toml: an excuse of `{name}` must have exactly {', '.join(sorted(KEYS))}")
        self.name, self.line, self.hits = name, line, dict.fromkeys(line["values"], 0)

    def covers(self, violation):
        line = self.line
        return (
            line["direction"] == violation.direction
            and line["keyword"] == violation.keyword
            and violation.value in line["values"]
            and fits(violation.place, line["place"])
            and fnmatch.fnmatchcase(violation.operation, line["operation"].replace("[", "[[]"))
        )

    def __str__(self):
        line = self.line
        return f"{self.name}: {line['operation']}, {line['direction']} {line['place']}, {line['keyword']}"


def fits(place, pattern):
    """Step by step: a `*` stands for one step and no more, or an excuse for a field would reach all that is in it."""
    steps, patterns = place.split("/"), pattern.split("/")
    return len(steps) == len(patterns) and all(map(fnmatch.fnmatchcase, steps, patterns))


class Exceptions:
    def __init__(self, path=pathlib.Path(__file__).with_name("exceptions.toml")):
        self.all = tomllib.loads(path.read_text()).get("exception", [])
        for one in self.all:
            if set(one) != {"name", "source", "excuse"} or not one["source"].strip():
                raise SystemExit(f"exceptions.toml: {one.get('name')} must have a name, a source and its excuses")
        self.excuses = [Excuse(one["name"], line) for one in self.all for line in one["excuse"]]

    def remaining(self, violations):
        """Those that nothing excuses; counts what is excused."""
        out = []
        for violation in violations:
            excuse = next((excuse for excuse in self.excuses if excuse.covers(violation)), None)
            if excuse is None:
                out.append(violation)
            else:
                excuse.hits[violation.value] += 1
        return out

    def idle(self):
        """Excuses that excused nothing, value by value."""
        return [f"{excuse}: {value}" for excuse in self.excuses for value, hits in excuse.hits.items() if hits == 0]
