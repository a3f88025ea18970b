"""How dates and times are written, a language a module; what is not here is as Django has it."""
