"""In what the rows of a sweep differ, in few words: kernel, stride and the like by the net's row, no config paths."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from convscope.report.alike import flattened
from convscope.report.collected import Group, counts

MOST = 64  # characters of what a row differs in; what is longer is for the csv of all settings
GROUPS = ("model.layers.", "model.", "data.", "optim.", "trainer.")


def varied(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """Of each group the settings, by their dotted keys, in which any two groups differ; None for one it has not."""
    flat = [flattened(group.settings) for group in groups]
    keys = dict.fromkeys(key for settings in flat for key in settings)
    differing = [key for key in keys if len({repr(settings.get(key)) for settings in flat}) > 1]
    chosen = [key for key in differing if any(counts(group.runs[0].run, key) for group in groups)]
    return [{key: settings.get(key) for key in chosen} for settings in flat]


def in_words(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Each group's values in words: "conv1 kernel 11, stride 4; renorm 0.1". What most groups have is not said."""
    usual = {key: _usual([own[key] for own in settings]) for key in (settings[0] if settings else ())}
    return [_words({key: value for key, value in own.items() if (repr(value),) != usual[key]}) for own in settings]


def speed(group: Group) -> int | None:
    """Training images per second, mean over the runs that count and their epochs."""
    said = [one.run.summary.get("images_per_second") or _mean(one.run.metrics) for one in group.counted]
    found = [float(value) for value in said if value]
    return round(sum(found) / len(found)) if found else None


def _mean(metrics: Mapping[str, Sequence[float | None]]) -> float | None:
    known = [value for value in metrics.get("images_per_second", ()) if value is not None]
    return sum(known) / len(known) if known else None


def _usual(values: Sequence[Any]) -> tuple[str, ...]:
    """The value of more than half of the groups, if there is one and three or more are compared."""
    value, count = Counter(map(repr, values)).most_common(1)[0]
    return (value,) if count > len(values) / 2 and len(values) > 2 else ()


def _words(values: Mapping[str, Any]) -> str:
    rows: dict[str, dict[str, Any]] = {}
    for key, value in sorted(values.items(), key=lambda item: item[0].startswith(GROUPS[0])):  # the net's rows last
        group = next((group for group in GROUPS if key.startswith(group)), "")
        row, _, field = key.removeprefix(group).rpartition(".")
        rows.setdefault(row, {})[field] = value
    parts = [_part(row, fields) for row, fields in rows.items()]
    said: list[str] = []
    for part in parts:
        if said and len("; ".join([*said, part])) > MOST:
            return "; ".join(said) + f"; and {len(parts) - len(said)} more"
        said.append(part)
    return "; ".join(said)


def _part(row: str, fields: Mapping[str, Any]) -> str:
    """A row with all its fields gone was taken out of the net."""
    if row and len(fields) > 1 and all(value is None for value in fields.values()):
        return f"no {row}"
    return f"{row} {', '.join(f'{field} {_plain(value)}' for field, value in fields.items())}".strip()


def _plain(value: Any) -> str:
    return "none" if value is None else str(value)
