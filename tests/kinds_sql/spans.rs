//! The spans of the SQL kinds.
