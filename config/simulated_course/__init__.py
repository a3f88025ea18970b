"""A simulated course: annotators of stated quality judge a project, and what is measured of them beside the truth."""
