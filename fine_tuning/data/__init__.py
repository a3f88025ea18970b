"""Files of examples: read in any form, checked, prepared, counted in tokens."""
