"""One module a stage: each asset names its partitions and hands a partition to one domain function. No domain logic."""
