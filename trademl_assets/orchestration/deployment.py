"""What all assets of a deployment are built from."""

from dataclasses import dataclass

import dagster as dg

from trademl_assets.configuration.model import Configuration
from trademl_assets.orchestration.catalog import Space
from trademl_assets.orchestration.lineage import Lineage
from trademl_assets.orchestration.partitions import Spaces, build_spaces
from trademl_assets.orchestration.resources.run_names import RunNames


@dataclass(frozen=True)
class Deployment:
    """A configuration and what follows from it.

    Attributes:
        configuration: The validated configuration.
        spaces: Partition spaces.
        lineage: Provenance of every partition.
        names: Names and tags of tracked runs.
    """

    configuration: Configuration
    spaces: Spaces
    lineage: Lineage
    names: RunNames

    @classmethod
    def of(cls, configuration: Configuration) -> "Deployment":
        """Make the deployment of a configuration."""
        return cls(configuration, build_spaces(configuration), Lineage(configuration), RunNames(configuration))

    def space(self, name: Space) -> dg.PartitionsDefinition[str]:
        """Return a partition space by name."""
        space: dg.PartitionsDefinition[str] = getattr(self.spaces, name)
        return space
