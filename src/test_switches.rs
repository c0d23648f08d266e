//! Switches that break a rule on purpose, so that a test can show that it would notice. They exist only in builds with the
//! feature `test-switches`, and there only when the named environment variable is set.

#[cfg(feature = "test-switches")]
fn set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| value == "1")
}

#[cfg(not(feature = "test-switches"))]
fn set(_: &str) -> bool {
    false
}

/// Orders without having recorded the candidate.
pub fn skip_write_ahead() -> bool {
    set("CLIENTNUMBER_TEST_SKIP_WRITE_AHEAD")
}
