"""A mistake's line says what was found, but never a secret."""

import pytest
from pydantic import ValidationError

from trademl_assets.configuration.mistakes import explain
from trademl_assets.foundation.parameters import Parameters, SecretReference


class Access(Parameters):
    user: str
    password: SecretReference


class Deployment(Parameters):
    database: Access


@pytest.mark.parametrize("written", ['"hunter2-swordfish"', "20240101", '["hunter2-swordfish"]'])
def test_a_secret_written_as_a_value_is_explained_but_not_repeated(written: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Deployment.model_validate_json(f'{{"database": {{"user": 5, "password": {written}}}}}')
    user, field = (mistake.line() for mistake in explain(caught.value))
    assert user.startswith("database.yaml: user: ")
    assert "(found 5)" in user
    assert field == (
        "database.yaml: password: a secret is written as a reference ${NAME}, never as its value "
        "(found a value that is not shown) -> write ${NAME} and export the variable before starting"
    )
