//! From the state file to a running engine, and back to the first frame of the new file.

use std::path::Path;
use std::sync::Arc;

use millrace_model::Timestamp;

use crate::config::AlertsConfig;
use crate::engine::Engine;
use crate::outlets::Outlets;
use crate::state::{Frame, Image};
use crate::store;

/// Reads the state file and says what was wrong with it.
pub(crate) fn read_state(path: &Path) -> std::io::Result<Image> {
    let opened = store::read(path)?;
    if let Some(aside) = &opened.set_aside {
        tracing::error!(path = %path.display(), aside = %aside.display(), "alert state is unreadable; starting afresh");
    }
    if opened.cut_bytes > 0 {
        tracing::warn!(path = %path.display(), bytes = opened.cut_bytes, "cut the end of the alert state");
    }
    Ok(opened.image)
}

/// An engine with the devices of the earlier run.
pub(crate) fn engine(config: &AlertsConfig, image: &Image, now: Timestamp) -> Engine {
    let mut engine = Engine::new(config);
    if let Some(alive_until) = image.alive_until {
        engine.resume_at(alive_until, now.0);
    }
    let rules: Vec<u64> = engine.rules.iter().map(|rule| rule.fingerprint).collect();
    for device in image.restore(&rules) {
        engine.restore(device);
    }
    engine
}

/// The whole state as it was restored, in the order of today's rules. Events for targets that are gone are left out.
pub(crate) fn base(engine: &Engine, outlets: &Outlets, image: &Image, now: Timestamp) -> Vec<u8> {
    let mut frame = Frame {
        rules: Some(engine.rules.iter().map(|rule| rule.fingerprint).collect()),
        alive_until: now.0,
        shards: image.shards.iter().map(|(&shard, &applied)| (shard, applied)).collect(),
        ..Frame::default()
    };
    for number in (0..).take(engine.devices.len()) {
        if let Some(device) = engine.devices.slot(number) {
            frame.add_device(device);
        }
    }
    let kept = image.waiting.iter().filter(|((queue, _), _)| outlets.holds(queue));
    frame.waiting = kept.map(|((queue, _), event)| (queue.clone(), Arc::clone(event))).collect();
    frame.encode()
}
