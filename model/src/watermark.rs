//! A position that only moves forward, written by one thread and watched by others.
//! - Invariants: the value never goes back. Listeners are called after the value is visible, on the writer's thread, and must not block.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use crate::ids::Offset;

/// Called after each advance.
pub type Listener = Box<dyn Fn(Offset) + Send + Sync>;

/// See the module's documentation.
#[derive(Default)]
pub struct Watermark {
    offset: AtomicU64,
    listeners: RwLock<Vec<Listener>>,
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
        Self { offset: AtomicU64::new(offset.0), listeners: RwLock::default() }
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
        for listener in self.listeners.read().unwrap_or_else(PoisonError::into_inner).iter() {
            listener(offset);
        }
    }

    /// Adds one who is called after each advance from now on. For the wiring of a program: listeners are never taken out.
    pub fn listen(&self, listener: Listener) {
        self.listeners.write().unwrap_or_else(PoisonError::into_inner).push(listener);
    }
}
