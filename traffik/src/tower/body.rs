//! [`ThrottleBody`]: the inner service's body, or that of an answer in its place.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum_core::BoxError;
use axum_core::body::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use pin_project_lite::pin_project;

pin_project! {
    /// The response body of a [`ThrottleService`](super::ThrottleService): the inner service's,
    /// unchanged, or a refusal's.
    pub struct ThrottleBody<B> {
        #[pin]
        body: Either<B>,
    }
}

pin_project! {
    #[project = EitherProjection]
    enum Either<B> {
        Inner { #[pin] body: B },
        Answer { #[pin] body: Body },
    }
}

impl<B> ThrottleBody<B> {
    pub(super) fn inner(body: B) -> Self {
        Self { body: Either::Inner { body } }
    }

    pub(super) fn answer(body: Body) -> Self {
        Self { body: Either::Answer { body } }
    }
}

impl<B> HttpBody for ThrottleBody<B>
where
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project().body.project() {
            EitherProjection::Inner { body } => body.poll_frame(cx).map_err(Into::into),
            EitherProjection::Answer { body } => body.poll_frame(cx).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            Either::Inner { body } => body.is_end_stream(),
            Either::Answer { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Either::Inner { body } => body.size_hint(),
            Either::Answer { body } => body.size_hint(),
        }
    }
}

impl<B: Default> Default for ThrottleBody<B> {
    fn default() -> Self {
        Self::inner(B::default())
    }
}

impl<B> fmt::Debug for ThrottleBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ThrottleBody")
    }
}
