"""What scores can show: statistics, comparisons, and scores over phases."""
