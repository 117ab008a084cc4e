"""Side by side with what a user would otherwise write: ratios of times, never times alone. Not part of the package."""
