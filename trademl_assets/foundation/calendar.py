"""UTC days and instants in microseconds; intervals are half-open."""

from datetime import UTC, date, datetime, timedelta

MICROSECONDS_PER_SECOND = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def day_start(day: date) -> datetime:
    """Return midnight UTC at which `day` begins."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def day_bounds(day: date) -> tuple[datetime, datetime]:
    """Return the half-open interval of `day` in UTC."""
    start = day_start(day)
    return start, start + timedelta(days=1)


def days_between(first: date, last: date) -> tuple[date, ...]:
    """Return all days from `first` to `last`, both included; empty when `last` lies before `first`."""
    return tuple(first + timedelta(days=offset) for offset in range((last - first).days + 1))


def to_microseconds(instant: datetime) -> int:
    """Return microseconds since the epoch.

    Raises:
        ValueError: The instant has no time zone.
    """
    if instant.tzinfo is None:
        raise ValueError(f"{instant.isoformat()} has no time zone")
    return (instant - _EPOCH) // timedelta(microseconds=1)


def from_microseconds(value: int) -> datetime:
    """Return the UTC instant of `value` microseconds since the epoch."""
    return _EPOCH + timedelta(microseconds=value)
