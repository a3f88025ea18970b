"""How much judgements are worth: agreement, known answers, habits of not looking, and each person's weight."""
