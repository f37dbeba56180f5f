//! `tower` layers: the pipeline around any service over `http::Request`.

mod backend_layer;
mod traffik_layer;

pub use backend_layer::{BackendFuture, BackendLayer, BackendService};
pub use traffik_layer::{TraffikLayer, TraffikService};
