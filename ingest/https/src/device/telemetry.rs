//! `POST /devices/{device}/messages/events`: one message or a batch, answered 204 once all of it is as safe as PUBACK promises.
//! - Limits: [`MESSAGE_BYTES_MAX`] for a message or a batch; [`SUBMISSIONS_MAX`] of a batch on their way at once.
//! - Errors: 429 when the journal takes no more. A batch of which a part was taken is answered the same, and comes again whole: at least once.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest as _, FromRequestParts as _};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use http_body::Body as _;
use millrace_model::HubError;
use millrace_model::batch::MessageSource;
use millrace_model::door::{Full, Submission};
use millrace_model::limits::MESSAGE_BYTES_MAX;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::batch::{self, Message};
use super::{Caller, DeviceApi, properties};
use crate::error::Refusal;
use crate::events;
use crate::limits::{BATCH_BODY_BYTES_MAX, SUBMISSIONS_MAX, SUBMIT_TIME};

/// See the module's documentation.
pub(super) async fn send(State(api): State<DeviceApi>, request: Request) -> Result<StatusCode, Refusal> {
    let (mut parts, body) = request.into_parts();
    // Who first: a stranger's body is not read.
    let caller = Caller::from_request_parts(&mut parts, &api).await?;
    // What claims to be too large is not waited for.
    if usize::try_from(body.size_hint().lower()).is_ok_and(|bytes| bytes > BATCH_BODY_BYTES_MAX) {
        return Err(HubError::TOO_LARGE.into());
    }
    let bag = properties::from_headers(&parts.headers)?;
    let is_batch = batch::is_batch(&parts.headers);
    let body = Bytes::from_request(Request::from_parts(parts, body), &api).await.map_err(unreadable)?;
    let messages = if is_batch {
        batch::read(&body)?
    } else if body.len().saturating_add(bag.len()) > MESSAGE_BYTES_MAX {
        return Err(HubError::TOO_LARGE.into());
    } else {
        vec![Message { bag, body }]
    };
    let count = messages.len();
    submit_all(&api, &caller, messages).await?;
    events::messages_taken(count);
    Ok(StatusCode::NO_CONTENT)
}

/// Hands messages over in their order, some at a time, and waits until all are safe.
async fn submit_all(api: &DeviceApi, caller: &Caller, messages: Vec<Message>) -> Result<(), HubError> {
    let deadline = Instant::now() + SUBMIT_TIME;
    let (sender, mut answers) = mpsc::channel::<Result<(), Full>>(SUBMISSIONS_MAX);
    let sender = Arc::new(sender);
    let mut waiting = 0_usize;
    for message in messages {
        if waiting == SUBMISSIONS_MAX {
            answer(&mut answers, deadline).await?;
            waiting -= 1;
        }
        let submission = Submission {
            identity: caller.0.identity.clone(),
            source: MessageSource::Telemetry,
            bag: message.bag,
            body: message.body,
        };
        let sender = Arc::clone(&sender);
        // There is room for the answer of everything that waits; without a receiver nobody asks any more.
        api.intake.submit(submission, Box::new(move |result| sender.try_send(result).unwrap_or_default()));
        waiting += 1;
    }
    for _ in 0..waiting {
        answer(&mut answers, deadline).await?;
    }
    Ok(())
}

async fn answer(answers: &mut mpsc::Receiver<Result<(), Full>>, deadline: Instant) -> Result<(), HubError> {
    match timeout_at(deadline, answers.recv()).await {
        Ok(Some(Ok(()))) => Ok(()),
        Ok(Some(Err(Full))) => Err(HubError::THROTTLED),
        Ok(None) | Err(_) => Err(HubError::UNAVAILABLE),
    }
}

/// A body that is too large, too slow, or broke off.
fn unreadable(error: BytesRejection) -> HubError {
    match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => HubError::TOO_LARGE,
        _ => HubError::ARGUMENT.because("the body could not be read"),
    }
}
