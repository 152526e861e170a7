//! Runs parts of clerk-auth under many schedules of their threads: see `tests/`.
