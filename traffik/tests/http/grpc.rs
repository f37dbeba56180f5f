//! A tonic server behind a layer, called by a tonic client.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};

use bytes::{Buf, BufMut, Bytes};
use http::uri::PathAndQuery;
use http::{Request, Response};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::NamedService;
use tonic::transport::{Channel, Server, server::TcpIncoming};
use tonic::{Code, Status};
use tower::service_fn;
use traffik::test_kit::FaultyBackend;
use traffik::{Peer, Throttle, ThrottleLayer};

use crate::support::{memory, throttle};

/// A codec for messages as raw bytes, whose contents do not matter to a throttle.
#[derive(Debug, Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(bytes.copy_to_bytes(bytes.remaining())))
    }
}

/// Echoes every message.
#[derive(Debug, Clone, Copy)]
struct Echo;

impl NamedService for Echo {
    const NAME: &'static str = "test.Echo";
}

impl tower::Service<Request<tonic::body::Body>> for Echo {
    type Response = Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        Box::pin(async move {
            let echo = service_fn(async |request: tonic::Request<Bytes>| {
                Ok::<_, Status>(tonic::Response::new(request.into_inner()))
            });
            Ok(tonic::server::Grpc::new(Raw).unary(Unary(echo), request).await)
        })
    }
}

/// Adapts a tower service to tonic's trait for unary calls.
struct Unary<S>(S);

impl<S> tonic::server::UnaryService<Bytes> for Unary<S>
where
    S: tower::Service<tonic::Request<Bytes>, Response = tonic::Response<Bytes>, Error = Status>,
{
    type Response = Bytes;
    type Future = S::Future;

    fn call(&mut self, request: tonic::Request<Bytes>) -> S::Future {
        self.0.call(request)
    }
}

async fn client(throttles: &[Throttle]) -> tonic::client::Grpc<Channel> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let peer = tower::util::MapRequestLayer::new(|mut request: Request<tonic::body::Body>| {
        request.extensions_mut().insert(Peer(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        request
    });
    let server = Server::builder().layer(peer).layer(ThrottleLayer::new(throttles)).add_service(Echo);
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    tonic::client::Grpc::new(channel)
}

async fn call(client: &mut tonic::client::Grpc<Channel>) -> Result<Bytes, Status> {
    client.ready().await.unwrap();
    let path = PathAndQuery::from_static("/test.Echo/Call");
    let request = tonic::Request::new(Bytes::from_static(b"hello"));
    client.unary(request, path, Raw).await.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn a_refusal_is_resource_exhausted_with_the_time_to_wait() {
    let one = throttle("grpc", "2/min").backend(memory().0).build().unwrap();
    let mut client = client(&[one]).await;
    for _ in 0..2 {
        assert_eq!(call(&mut client).await.unwrap(), "hello");
    }
    let status = call(&mut client).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(status.message(), "Too many requests. Retry in 60 s.");
    let text = |name| status.metadata().get(name).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(text("grpc-retry-pushback-ms").as_deref(), Some("60000"));
    assert_eq!(text("retry-after").as_deref(), Some("60"));
    assert_eq!(text("ratelimit").as_deref(), Some(r#""grpc";r=0;t=60"#));
    // A `google.rpc.Status`: code 8, the message, and one `Any` with a `RetryInfo` of `Duration { seconds: 60 }`.
    let mut details = vec![0x08, 8, 0x12, 33];
    details.extend(b"Too many requests. Retry in 60 s.");
    details.extend([0x1a, 48, 0x0a, 40]);
    details.extend(b"type.googleapis.com/google.rpc.RetryInfo");
    details.extend([0x12, 4, 0x0a, 2, 0x08, 60]);
    assert_eq!(status.details(), details);
}

#[tokio::test]
async fn of_several_refusals_the_last_to_yield_says_when() {
    let memory = memory().0;
    let both = [("short", "1/2s"), ("long", "1/hour")]
        .map(|(uid, rate)| throttle(uid, rate).backend(memory.clone()).build().unwrap());
    let mut client = client(&both).await;
    assert_eq!(call(&mut client).await.unwrap(), "hello");
    let status = call(&mut client).await.unwrap_err();
    assert_eq!(status.message(), "Too many requests. Retry in 3600 s.");
    let text = |name| status.metadata().get(name).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(text("grpc-retry-pushback-ms").as_deref(), Some("3600000"));
    assert_eq!(text("retry-after").as_deref(), Some("3600"));
    // `Duration { seconds: 3600 }`, as a varint of two bytes.
    assert!(status.details().ends_with(&[0x12, 5, 0x0a, 3, 0x08, 0x90, 0x1c]), "{:?}", status.details());
}

#[tokio::test]
async fn an_outage_is_unavailable() {
    let backend = FaultyBackend::new(memory().0);
    backend.fail();
    let mut client = client(&[throttle("grpc", "2/min").backend(backend).build().unwrap()]).await;
    let status = call(&mut client).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(!status.message().contains("failed as told"));
    assert_eq!(status.metadata().get("grpc-retry-pushback-ms").unwrap(), "1000");
}
