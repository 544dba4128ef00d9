//! A position that only moves forward, written by one thread and watched by others.
//! - Invariants: the value never goes back. Listeners are called after the value is visible, on the writer's thread, and must not block.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::ids::Offset;

/// Called after each advance.
pub type Listener = Box<dyn Fn(Offset) + Send + Sync>;

/// See the module's documentation.
#[derive(Default)]
pub struct Watermark {
    offset: AtomicU64,
    listeners: OnceLock<Vec<Listener>>,
}

impl std::fmt::Debug for Watermark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Watermark").field(&self.offset()).finish()
    }
}

impl Watermark {
    /// A watermark that stands at `offset`.
    #[must_use]
    pub fn new(offset: Offset) -> Self {
        Self { offset: AtomicU64::new(offset.0), listeners: OnceLock::new() }
    }

    /// Where it stands: everything below is done.
    #[must_use]
    pub fn offset(&self) -> Offset {
        Offset(self.offset.load(Ordering::Acquire))
    }

    /// Moves forward to `offset` (a lower one changes nothing) and calls the listeners.
    pub fn advance(&self, offset: Offset) {
        if self.offset.fetch_max(offset.0, Ordering::AcqRel) >= offset.0 {
            return;
        }
        for listener in self.listeners.get().into_iter().flatten() {
            listener(offset);
        }
    }

    /// Sets who is called. Once, while the program is wired; a second call is refused.
    ///
    /// # Errors
    /// Gives the listeners back when others are already set.
    pub fn listen(&self, listeners: Vec<Listener>) -> Result<(), Vec<Listener>> {
        self.listeners.set(listeners)
    }
}
