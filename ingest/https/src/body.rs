//! A request's body that has to come at a pace: so much time, and more for each byte that came.
//! - Invariants: one byte now and then does not hold a connection for longer than a body of that length may take.
//! - Errors: [`TooSlow`], which handlers see as a failed read of the body; the connection is closed behind the answer.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use crate::config::HttpsConfig;

/// The body did not come in time.
#[derive(Debug, thiserror::Error)]
#[error("the body comes too slowly")]
pub(crate) struct TooSlow;

/// See the module's documentation.
pub(crate) struct PacedBody<B = Incoming> {
    body: B,
    started: Instant,
    time: Duration,
    bytes_per_second: u64,
    bytes: u64,
    /// There from the first wait on.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<B> PacedBody<B> {
    pub(crate) fn new(body: B, config: &HttpsConfig) -> Self {
        Self {
            body,
            started: Instant::now(),
            time: Duration::from_secs(config.body_seconds),
            bytes_per_second: config.body_rate_bytes_min.max(1),
            bytes: 0,
            deadline: None,
        }
    }

    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        let earned = Duration::from_secs(self.bytes / self.bytes_per_second);
        // A time too far away for the clock is no limit.
        let Some(until) = self.time.checked_add(earned).and_then(|time| self.started.checked_add(time)) else {
            return false;
        };
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        if deadline.deadline() != until {
            deadline.as_mut().reset(until);
        }
        deadline.as_mut().poll(cx).is_ready()
    }
}

impl<B> Body for PacedBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, |data| u64::try_from(data.len()).unwrap_or(u64::MAX));
                self.bytes = self.bytes.saturating_add(bytes);
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending if self.is_over(cx) => Poll::Ready(Some(Err(TooSlow.into()))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// Gives what it has at once, then nothing, for ever.
    struct Stuck(Option<Bytes>);

    impl Body for Stuck {
        type Data = Bytes;
        type Error = std::io::Error;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
            self.0.take().map_or(Poll::Pending, |data| Poll::Ready(Some(Ok(Frame::data(data)))))
        }
    }

    async fn seconds_until_given_up(bytes: usize) -> u64 {
        let config = HttpsConfig { body_seconds: 30, body_rate_bytes_min: 100, ..HttpsConfig::default() };
        let mut body = PacedBody::new(Stuck((bytes > 0).then(|| vec![0; bytes].into())), &config);
        let started = Instant::now();
        loop {
            match poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await.unwrap() {
                Ok(_) => {}
                Err(error) => {
                    assert!(error.is::<TooSlow>());
                    return started.elapsed().as_secs();
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_earns_time_with_its_bytes() {
        assert_eq!(seconds_until_given_up(0).await, 30);
        assert_eq!(seconds_until_given_up(99).await, 30);
        assert_eq!(seconds_until_given_up(6_000).await, 90);
    }
}
