//! Who is it? Judgements are remembered for a moment, so that a device that asks all the time costs next to nothing.
//! - Invariants: a judgement is remembered under a digest of the whole proof. A change that this node makes counts at once, one of
//!   another node after [`STANDING_MS`] at the latest. Failures of the store are not remembered.
//! - Limits: [`STANDINGS_MAX`] judgements; [`GROUPS_MAX`] groups, read again after [`GROUPS_MS`].

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use millrace_control_store::clock;
use millrace_model::door::Registrant;

use super::{Shared, lock};
use crate::attestation::{Denied, Grounds, Groups, Standing};
use crate::enrollment::{Enrollment, EnrollmentGroup};
use crate::error::Refused;
use crate::limits::{GROUPS_MAX, GROUPS_MS, STANDING_MS, STANDINGS_MAX};
use crate::recent::Recent;

type Verdict = Result<Arc<Standing>, Denied>;

/// Judgements of the last moments.
pub(super) struct Judgements(Recent<[u8; 32], (Instant, Verdict)>);

/// The groups as they were last read.
#[derive(Default)]
pub(super) struct GroupCache {
    read: Option<(Instant, u64)>,
    /// Etag of each, and the revision of the hub's certificates: what `ready` was made from.
    from: (Vec<Option<String>>, u64),
    ready: Arc<Groups>,
}

impl Judgements {
    pub(super) fn new() -> Self {
        Self(Recent::new(STANDINGS_MAX))
    }

    pub(super) fn forget(&mut self) {
        self.0.clear();
    }

    fn find(&self, proof: &[u8; 32], now: Instant) -> Option<Verdict> {
        let (judged, verdict) = self.0.find(proof)?;
        let is_good = now.saturating_duration_since(*judged) < Duration::from_millis(STANDING_MS);
        is_good.then(|| verdict.clone())
    }
}

impl Shared {
    /// Judges a device.
    pub(super) async fn judge(&self, who: &Registrant) -> Result<Arc<Standing>, Refused> {
        let (proof, now) = (digest_of(who), Instant::now());
        if let Some(verdict) = lock(&self.judgements).find(&proof, now) {
            return Ok(verdict?);
        }
        let changes = self.changes.load(Ordering::Acquire);
        let verdict = self.judge_anew(who).await?;
        let mut judgements = lock(&self.judgements);
        if self.changes.load(Ordering::Acquire) == changes {
            judgements.0.put(proof, (now, verdict.clone()));
        }
        Ok(verdict?)
    }

    async fn judge_anew(&self, who: &Registrant) -> Result<Verdict, Refused> {
        if !who.id_scope.eq_ignore_ascii_case(&self.id_scope) {
            return Ok(Err(Denied::Unknown));
        }
        let found = self.enrollments.read::<Enrollment>(&who.registration_id).await?;
        let enrollment = found.map(|(enrollment, _)| Arc::new(enrollment));
        let groups = self.groups().await?;
        let grounds = Grounds {
            id_scope: &self.id_scope,
            groups: &groups,
            book: self.book.as_ref(),
            secret: &self.secret,
            now_unix_seconds: now_unix_seconds(),
            skew_seconds: self.config.token_skew_seconds,
        };
        Ok(grounds.judge(who, enrollment.as_ref()).map(Arc::new))
    }

    /// The groups, read again when they are not from this moment.
    pub(super) async fn groups(&self) -> Result<Arc<Groups>, Refused> {
        let mut cache = self.groups.lock().await;
        let now = Instant::now();
        let changes = self.changes.load(Ordering::Acquire);
        let is_fresh = |&(read, at): &(Instant, u64)| {
            at == changes && now.saturating_duration_since(read) < Duration::from_millis(GROUPS_MS)
        };
        if cache.read.as_ref().is_some_and(is_fresh) {
            return Ok(Arc::clone(&cache.ready));
        }
        let groups = self.enrollments.page::<EnrollmentGroup>(None, GROUPS_MAX).await?;
        let from = (groups.iter().map(|group| group.terms.etag.clone()).collect(), self.book.revision());
        // Reading certificates takes longer than reading groups, so it is done only for what has changed.
        if cache.read.is_none() || cache.from != from {
            cache.ready = Arc::new(Groups::new(groups, self.book.as_ref()));
            cache.from = from;
        }
        cache.read = Some((now, changes));
        Ok(Arc::clone(&cache.ready))
    }
}

/// The time as tokens and certificates count it.
pub(super) fn now_unix_seconds() -> u64 {
    u64::try_from(clock::now().unix_seconds()).unwrap_or_default()
}

/// Digest of all that a device has shown.
fn digest_of(who: &Registrant) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    let mut part = |bytes: &[u8]| {
        context.update(&u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(bytes);
    };
    part(who.id_scope.as_bytes());
    part(who.registration_id.as_bytes());
    part(who.token.as_deref().unwrap_or_default().as_bytes());
    who.certificates.iter().for_each(|certificate| part(certificate));
    let digest = context.finish();
    digest.as_ref().first_chunk().copied().unwrap_or([0; 32])
}
