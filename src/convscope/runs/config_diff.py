"""Which of several runs differ in one thing alone, so that the difference of what came out can be put down to it."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from convscope.runs.reading import Run, value_at

# A run's name, its machine, its pictures, its loggers and its seed: runs that differ in these repeat one experiment.
IRRELEVANT_KEYS = ("name", "seed", "model.name", "evolution.*", "logger.*", "logger", "trainer.accelerator",
                   "trainer.devices", "trainer.strategy", "trainer.num_nodes", "data.workers", "data.cache_*", "ckpt",
                   "run", "resume", "experiment")  # fmt: skip


def differing_keys(one: Mapping[str, Any], other: Mapping[str, Any]) -> set[str]:
    """The keys, dotted, whose values differ between two settings; an absent key, as of an older run, counts as None."""
    flat = flattened(one), flattened(other)
    return {key for key in flat[0].keys() | flat[1].keys() if flat[0].get(key) != flat[1].get(key)}


def differ_only_in(one: Mapping[str, Any], other: Mapping[str, Any], but: Collection[str]) -> bool:
    """Whether two runs' settings differ in nothing but keys of these patterns, and in what is no part of a result."""
    patterns = (*IRRELEVANT_KEYS, *but)
    return all(any(fnmatchcase(key, pattern) for pattern in patterns) for key in differing_keys(one, other))


def flattened(settings: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Nested mappings as one, its keys joined by dots."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        name = f"{above}{key}"
        flat |= flattened(value, f"{name}.") if isinstance(value, Mapping) and value else {name: value}
    return flat


def affects_result(run: Run, key: str) -> bool:
    """Whether a setting may change what comes out; of a net of another maker its name says which net it is."""
    if key == "model.name":
        return value_at(run.settings, "model", "source") != "rows"
    return not any(fnmatchcase(key, pattern) for pattern in IRRELEVANT_KEYS)


def differences_in_words(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Each group's values in words: "conv1 kernel 11, stride 4; renorm 0.1". What most groups have is not said."""
    usual = {key: _usual([own[key] for own in settings]) for key in (settings[0] if settings else ())}
    return [_words({key: value for key, value in own.items() if (repr(value),) != usual[key]}) for own in settings]


def _usual(values: Sequence[Any]) -> tuple[str, ...]:
    """The value of more than half of the groups, if there is one and three or more are compared."""
    value, count = Counter(map(repr, values)).most_common(1)[0]
    return (value,) if count > len(values) / 2 and len(values) > 2 else ()


def _words(values: Mapping[str, Any]) -> str:
    rows: dict[str, dict[str, Any]] = {}
    for key, value in sorted(values.items(), key=lambda item: item[0].startswith(KEY_GROUPS[0])):  # the net's rows last
        group = next((group for group in KEY_GROUPS if key.startswith(group)), "")
        row, _, field = key.removeprefix(group).rpartition(".")
        rows.setdefault(row, {})[field] = value
    parts = [_part(row, fields) for row, fields in rows.items()]
    said: list[str] = []
    for part in parts:
        if said and len("; ".join([*said, part])) > LONGEST_DIFFERENCE:
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


LONGEST_DIFFERENCE = 64  # characters of what a row differs in; what is longer is for the csv of all settings


KEY_GROUPS = ("model.layers.", "model.", "data.", "optim.", "trainer.")
