//! The log of one test, at its most talkative. One subscriber for the whole process, sorted by thread: with one of a test's
//! own, what another thread meets first at that moment would count as unwanted for ever and never be written.

use std::cell::RefCell;
use std::io::Write;
use std::sync::Once;

thread_local! {
    static LOG: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// What this thread logs from now on.
pub struct Captured(());

impl Captured {
    /// Begins.
    pub fn begin() -> Self {
        static GLOBAL: Once = Once::new();
        GLOBAL.call_once(|| {
            let subscriber = tracing_subscriber::fmt()
                .with_max_level(tracing::Level::TRACE)
                .with_ansi(false)
                .with_writer(|| Writer)
                .finish();
            tracing::subscriber::set_global_default(subscriber).unwrap();
        });
        LOG.with_borrow_mut(|log| *log = Some(Vec::new()));
        Self(())
    }

    /// Ends; all that was logged.
    pub fn end(self) -> String {
        String::from_utf8(LOG.take().unwrap_or_default()).unwrap()
    }
}

struct Writer;

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.with_borrow_mut(|log| log.as_mut().map(|log| log.extend_from_slice(bytes)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
