"""Parameters are read strictly, compared by fingerprint, and never give a secret away."""

import copy
import hashlib
import json
from datetime import date, timedelta

import pytest
from pydantic import SecretStr, ValidationError

from trademl_assets.foundation.errors import ConfigError
from trademl_assets.foundation.parameters import Parameters, SecretReference, combine_fingerprints


class Source(Parameters):
    days: tuple[date, ...]
    wait: timedelta
    levels: int
    threshold: float


class Access(Parameters):
    user: str
    password: SecretReference


TEXT = '{"days": ["2024-01-01", "2024-02-29"], "wait": "PT30M", "levels": 50, "threshold": 1}'


def changed(**values: object) -> str:
    return json.dumps({**json.loads(TEXT), **values})


def test_lists_days_durations_and_whole_numbers_for_floats_are_read_from_json() -> None:
    read = Source.model_validate_json(TEXT)
    assert read.days == (date(2024, 1, 1), date(2024, 2, 29))
    assert (read.wait, read.levels, read.threshold) == (timedelta(minutes=30), 50, 1.0)


@pytest.mark.parametrize(
    ("values", "key", "kind"),
    [
        ({"levels": "50"}, "levels", "int_type"),
        ({"levels": 50.5}, "levels", "int_type"),
        ({"levels": True}, "levels", "int_type"),
        ({"threshold": "1"}, "threshold", "float_type"),
        ({"days": ["2024-02-30"]}, "days", "date_from_datetime_parsing"),
        ({"wait": "soon"}, "wait", "time_delta_parsing"),
        ({"level": 50}, "level", "extra_forbidden"),
    ],
)
def test_what_does_not_fit_is_refused_at_its_key(values: dict[str, object], key: str, kind: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Source.model_validate_json(changed(**values))
    (mistake,) = caught.value.errors()
    assert (mistake["loc"][0], mistake["type"]) in {(key, kind), (key, "date_parsing")}


def test_nothing_has_a_default() -> None:
    with pytest.raises(ValidationError) as caught:
        Source.model_validate_json("{}")
    assert {mistake["type"] for mistake in caught.value.errors()} == {"missing"}
    assert len(caught.value.errors()) == len(Source.model_fields)


def test_parameters_cannot_be_changed_afterwards() -> None:
    read = Source.model_validate_json(TEXT)
    with pytest.raises(ValidationError, match="frozen"):
        read.levels = 20


def test_fingerprint_follows_values_not_the_order_or_form_they_were_written_in() -> None:
    reordered = json.dumps(dict(reversed(json.loads(TEXT).items())), indent=4)
    assert Source.model_validate_json(reordered).fingerprint() == Source.model_validate_json(TEXT).fingerprint()
    assert Source.model_validate_json(changed(threshold=1.0)) == Source.model_validate_json(TEXT)
    assert (
        Source.model_validate_json(changed(threshold=1.0)).fingerprint()
        == Source.model_validate_json(TEXT).fingerprint()
    )


@pytest.mark.parametrize("values", [{"levels": 51}, {"threshold": 1.0000001}, {"wait": "PT31M"}, {"days": []}])
def test_fingerprint_follows_every_value(values: dict[str, object]) -> None:
    assert Source.model_validate_json(changed(**values)).fingerprint() != Source.model_validate_json(TEXT).fingerprint()


def test_fingerprint_is_the_hash_of_the_canonical_text() -> None:
    canonical = '{"days":["2024-01-01","2024-02-29"],"levels":50,"threshold":1.0,"wait":"PT30M"}'
    assert Source.model_validate_json(TEXT).fingerprint() == hashlib.sha256(canonical.encode()).hexdigest()


def test_combined_fingerprints_depend_on_order_and_borders() -> None:
    combined = {combine_fingerprints(*parts) for parts in (("a", "b"), ("b", "a"), ("ab",), ("a", "b", ""))}
    assert len(combined) == 4


def access(reference: str) -> Access:
    return Access.model_validate_json(json.dumps({"user": "reader", "password": reference}))


def test_a_secret_shows_nowhere_but_where_it_is_asked_for() -> None:
    environment = {"DB_PASSWORD": "hunter2-swordfish"}
    parameters = access("${DB_PASSWORD}")
    secret = parameters.password.resolve(environment)
    assert isinstance(secret, SecretStr)
    assert secret.get_secret_value() == environment["DB_PASSWORD"]
    shown = [
        repr(parameters),
        str(parameters),
        repr(parameters.password),
        str(parameters.password),
        parameters.model_dump_json(),
        str(parameters.model_dump()),
        f"{secret} {secret!r}",
        repr(vars(parameters.password)),
    ]
    assert not [text for text in shown if environment["DB_PASSWORD"] in text]
    assert '"${DB_PASSWORD}"' in parameters.model_dump_json()


def test_a_secret_written_into_the_configuration_is_refused_without_repeating_it() -> None:
    with pytest.raises(ValidationError) as caught:
        access("hunter2-swordfish")
    (mistake,) = caught.value.errors()
    assert "reference ${NAME}" in mistake["msg"]
    assert "hunter2" not in mistake["msg"]
    assert "hunter2" not in repr(mistake["input"])
    assert "hunter2" not in str(caught.value)


def test_a_secret_written_as_a_value_does_not_show_in_the_mistakes_of_other_keys() -> None:
    with pytest.raises(ValidationError) as caught:
        Access.model_validate_json('{"password": "hunter2-swordfish"}')
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("reference", ["$DB", "${DB", "${1DB}", "x${DB}", "${DB}x", "${}", "${DB} ", "${DB}\n"])
def test_only_one_whole_reference_is_a_secret(reference: str) -> None:
    with pytest.raises(ValueError, match="reference"):
        SecretReference(reference)


@pytest.mark.parametrize("environment", [{}, {"DB_PASSWORD": ""}, {"db_password": "x"}])
def test_a_secret_that_is_not_set_is_named_when_it_is_used(environment: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"DB_PASSWORD is not set -> export"):
        access("${DB_PASSWORD}").password.resolve(environment)


def test_the_reference_counts_for_equality_and_fingerprint_its_value_does_not() -> None:
    assert access("${A}") == access("${A}")
    assert access("${A}") != access("${B}")
    assert hash(access("${A}").password) == hash(access("${A}").password)
    assert access("${A}").fingerprint() != access("${B}").fingerprint()
    assert copy.deepcopy(access("${A}")) == access("${A}")
    assert Access(user="reader", password=SecretReference("${A}")) == access("${A}")
