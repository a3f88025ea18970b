"""Rankings, comparisons and thumbs, and the tasks in which annotators make them."""
