//! What belongs to the process is the host's.
