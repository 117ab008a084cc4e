"""Lengths of time as a split states them: exact times, or calendar months that are as long as the calendar says."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, GetCoreSchemaHandler, TypeAdapter, ValidationError
from pydantic_core import CoreSchema, core_schema

MONTHS_A_YEAR = 12
DAYS_OF_EVERY_MONTH = 28

_CALENDAR = re.compile(r"P(?:(?P<years>\d{1,3})Y)?(?:(?P<months>\d{1,4})M)?")
_DATE_PART = re.compile(r"P([^T]*)")
_TIMES: TypeAdapter[timedelta] = TypeAdapter(timedelta)


@dataclass(frozen=True)
class CalendarLength:
    """Either whole calendar months (`P12M`, `P1Y`, `P1Y6M`) or an exact time (`P24D`, `PT90M`); never a mixture.

    Attributes:
        months: Calendar months, 0 for an exact time.
        time: The exact time, zero for months.
    """

    months: int
    time: timedelta

    @classmethod
    def parse(cls, text: str) -> "CalendarLength":
        """Read an ISO-8601 duration.

        Raises:
            ValueError: It is none, is negative, or mixes months with days or times.
        """
        calendar = _CALENDAR.fullmatch(text)
        if calendar is not None and (calendar["years"] or calendar["months"]):
            return cls(int(calendar["years"] or 0) * MONTHS_A_YEAR + int(calendar["months"] or 0), timedelta(0))
        date_part = _DATE_PART.match(text)
        if date_part is None:
            raise ValueError("a length is an ISO-8601 duration: P12M (calendar months), P24D or PT90M")
        if re.search("[YM]", date_part[1]):
            raise ValueError("months mix with neither days nor times, since no month is a fixed number of days")
        try:
            time = _TIMES.validate_strings(text)
        except ValidationError as error:
            raise ValueError("a length is an ISO-8601 duration: P12M (calendar months), P24D or PT90M") from error
        return cls(0, time)

    @property
    def is_zero(self) -> bool:
        """Whether it lasts no time at all."""
        return not self.months and not self.time

    def after(self, instant: datetime, times: int = 1) -> datetime:
        """The instant that lies `times` lengths after `instant`, before it where `times` is negative.

        Months are exact: the same day of the month and time of day, so that n months after m months are n + m months.

        Raises:
            ValueError: Months from the 29th, 30th or 31st, which not every month has.
        """
        if not self.months:
            return instant + times * self.time
        if instant.day > DAYS_OF_EVERY_MONTH:
            raise ValueError(
                f"{self} from {instant.isoformat()} may end on a day that its month has not: begin months on one of "
                f"the first {DAYS_OF_EVERY_MONTH} days of a month, or write the length in days"
            )
        year, month = divmod(instant.year * MONTHS_A_YEAR + instant.month - 1 + times * self.months, MONTHS_A_YEAR)
        return instant.replace(year=year, month=month + 1)

    def __str__(self) -> str:
        """The ISO-8601 duration; months stay months (`P1Y6M` is `P18M`)."""
        return f"P{self.months}M" if self.months else str(_TIMES.dump_python(self.time, mode="json"))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        parse = core_schema.no_info_after_validator_function(cls.parse, core_schema.str_schema())
        return core_schema.json_or_python_schema(
            json_schema=parse,
            python_schema=core_schema.union_schema([core_schema.is_instance_schema(cls), parse]),
            serialization=core_schema.to_string_ser_schema(when_used="json"),
        )


def _refuse_zero(length: CalendarLength) -> CalendarLength:
    if length.is_zero:
        raise ValueError("the length must be greater than zero")
    return length


PositiveLength = Annotated[CalendarLength, AfterValidator(_refuse_zero)]
