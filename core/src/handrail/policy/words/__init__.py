"""The built-in word lists of the signals, a file for each: data, not code."""
