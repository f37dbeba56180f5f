//! Wrong URLs, wrong servers, wrong passwords.

use traffik::RedisBackend;
use traffik_tests::{RedisServer, timed};

use crate::load::{DEADLINE, throttle};

#[tokio::test]
async fn mistakes_are_named_without_secrets() {
    let builder = RedisBackend::builder("redis://localhost").sentinel(["http://:s3cret@x"], "mymaster");
    let error = builder.connect().await.unwrap_err();
    assert!(error.is_configuration() && !format!("{error} {error:?}").contains("s3cret"), "{error}");
    let builder = RedisBackend::builder("redis://localhost").cluster(["http://:s3cret@x"]);
    let error = builder.connect().await.unwrap_err();
    assert!(error.is_configuration() && !format!("{error} {error:?}").contains("s3cret"), "{error}");
    let none: [&str; 0] = [];
    let error = RedisBackend::builder("redis+unix:///run/s3cret").cluster(none).connect().await.unwrap_err();
    assert!(error.is_configuration(), "a node of a cluster must have a host and a port: {error}");
    let error =
        RedisBackend::builder("redis://localhost").sentinel(none, "mymaster").connect().await.unwrap_err();
    assert!(error.is_configuration(), "{error}");
}

#[tokio::test]
async fn a_server_that_is_no_cluster_says_so() {
    let server = RedisServer::start();
    let none: [&str; 0] = [];
    let error = RedisBackend::builder(server.url()).cluster(none).connect().await.unwrap_err();
    let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    assert!(error.is_backend() && cause.contains("cluster support disabled"), "{error}: {cause}");
}

#[tokio::test]
async fn a_wrong_password_of_a_cluster_is_an_error_that_does_not_tell_it() {
    let server = RedisServer::start_with(&["--requirepass", "s3cret"]);
    let url = format!("redis://:wr0ng@127.0.0.1:{}/", server.port());
    let none: [&str; 0] = [];
    let error = RedisBackend::builder(&url).cluster(none).connect().await.unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(error.is_backend() && !shown.contains("wr0ng") && !shown.contains("s3cret"), "{shown}");
    let lazy = RedisBackend::builder(&url).cluster(none).timeout(DEADLINE).connect_lazy().unwrap();
    let throttle = throttle("wrong", 5, &lazy.into());
    let (result, _) = timed(DEADLINE, throttle.hit(1)).await;
    assert!(result.is_err_and(|error| error.is_backend()));
}
