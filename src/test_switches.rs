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

/// Makes a call however long ago its intent was recorded.
pub fn skip_order_window() -> bool {
    set("CLIENTNUMBER_TEST_SKIP_ORDER_WINDOW")
}

/// Takes a number that the account lists for this line's, whosever order it was.
pub fn look_up_by_number_only() -> bool {
    set("CLIENTNUMBER_TEST_LOOK_UP_BY_NUMBER_ONLY")
}

/// Orders without having recorded the candidate.
pub fn skip_write_ahead() -> bool {
    set("CLIENTNUMBER_TEST_SKIP_WRITE_AHEAD")
}

/// Writes whether or not the lease is proven: so that what stands behind the lease can be shown to hold by itself.
pub fn skip_lease_check() -> bool {
    set("CLIENTNUMBER_TEST_SKIP_LEASE_CHECK")
}
