"""The network families by name. A family is named without importing torch; its module is imported when it is built."""

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, PlainValidator, SerializeAsAny

from trademl_assets.foundation.choice import chosen, known
from trademl_assets.foundation.parameters import Parameters
from trademl_assets.foundation.registry import Registry
from trademl_assets.models.inputs import ModelInputs
from trademl_assets.models.parameters import DualChannelParameters

if TYPE_CHECKING:
    from collections.abc import Callable

    from trademl_assets.models.network import Network


@dataclass(frozen=True)
class ModelFamily:
    """One family of networks.

    Attributes:
        parameters: Its parameter model.
        builder: "module:function" of the function (parameters, inputs) -> Network.
        version: Of the code of another package's family, where it is raised by hand; None counts its sources.
    """

    parameters: type[Parameters]
    builder: str
    version: str | None = None

    @property
    def code_modules(self) -> tuple[str, ...]:
        """Modules that hold its code; the builder's is not imported for that."""
        return self.parameters.__module__, self.builder.split(":")[0]

    def build(self, parameters: Parameters, inputs: ModelInputs) -> "Network":
        """Build a network with fresh weights from torch's global random state.

        Raises:
            ConfigError: The parameters do not fit the inputs.
        """
        module, function = self.builder.split(":")
        build: Callable[[Any, ModelInputs], Network] = getattr(import_module(module), function)
        return build(parameters, inputs)


MODELS: Registry[ModelFamily] = Registry("model family", "trademl_assets.models")
MODELS.register("dual_channel")(
    ModelFamily(DualChannelParameters, "trademl_assets.models.dual_channel:build_dual_channel")
)


class ModelParameters(Parameters):
    """A configured model: its family and that family's parameters."""

    family: Annotated[str, AfterValidator(known(MODELS.get))]
    parameters: Annotated[
        SerializeAsAny[Parameters], PlainValidator(chosen("family", lambda name: MODELS.get(name).parameters))
    ]
