"""Foundation: errors, clocks, deadlines, identifiers of built files, metrics."""
