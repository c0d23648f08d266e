//! The line controller: one ClientNumber from apply to Ready, and back.
