//! What `#[throttle]` accepts and rejects: one file per case in `{args,layer,rate,signature,stacking}`,
//! under `pass` or `fail`. Failing cases have the compiler's complete output next to them.
//!
//! `TRYBUILD=overwrite cargo test -p traffik-ui-tests` rewrites the expected output. Review it before you
//! commit it.
