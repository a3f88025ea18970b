"""What a project can ask of its tasks: one module for each kind of question, and how answers are stored."""
