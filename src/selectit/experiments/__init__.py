"""Which choice was worth it? Methods x budgets x seeds x base models: chosen, tuned on, evaluated, one table."""
