"""Typed errors of the platform; a message says what was found, where (instrument, day, file, key) and what to do."""


class TradeMLError(Exception):
    """Everything that the platform raises on purpose."""


class ConfigError(TradeMLError):
    """The configuration or the environment is wrong."""


class SourceError(TradeMLError):
    """A source of market data cannot be read or trusted."""


class SequenceGapError(SourceError):
    """An update stream misses messages, so the book after the gap is unknown."""


class DataQualityError(TradeMLError):
    """Market data was read but is not good enough to build on."""


class StorageError(TradeMLError):
    """An artifact cannot be written or read."""


class MissingPartitionError(StorageError):
    """A partition that is needed was never materialised."""


class CorruptArtifactError(StorageError):
    """Bytes on disk are not those that were committed."""


class EvaluationError(TradeMLError):
    """Predictions cannot be judged."""


class DeepLearningError(TradeMLError):
    """Anything about networks and their training."""


class TrainingError(DeepLearningError):
    """A training failed, for example by a loss that is not a number."""


class TrainingTimeoutError(TrainingError):
    """A training took longer than it may."""
