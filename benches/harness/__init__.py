"""What the benchmarks share: a Postgres of their own, measuring, contenders, reports."""
