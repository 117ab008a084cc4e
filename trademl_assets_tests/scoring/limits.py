"""Parameters of calibration that the tests share."""

from trademl_assets.scoring.calibration import CalibrationParameters


def calibration_values(**changes) -> dict:
    return {
        "minimum_effective": {
            "temperature": 100,
            "vector": 2000,
            "isotonic": 2000,
            "dirichlet": 2000,
            "regime_temperature": 2000,
        },
        "folds": 5,
        "lowest_temperature": 0.05,
        "highest_temperature": 20.0,
        "log_temperature_prior_sd": 0.2,
        "scale_prior_sd": 0.2,
        "off_diagonal_prior_sd": 0.05,
        "offset_prior_sd": 0.2,
        "isotonic_pseudo_counts": 20.0,
        "minimum_effective_regime": 100.0,
    } | changes


def calibration_parameters(**changes) -> CalibrationParameters:
    return CalibrationParameters.model_validate(calibration_values(**changes))
