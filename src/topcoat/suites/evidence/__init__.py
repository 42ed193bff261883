"""What scores show: statistics, comparisons, and scores over phases."""
