"""External series from files, such as an index or a news score: each value with the instant it was published."""
