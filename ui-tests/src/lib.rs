//! What `#[throttle]` accepts and refuses: one file a case in `{args,rate,signature,stacking}`,
//! under `pass` or `fail`, the latter with the compiler's whole answer beside it.
//!
//! `TRYBUILD=overwrite cargo test -p traffik-ui-tests` writes the answers anew; read them before
//! they are kept.
