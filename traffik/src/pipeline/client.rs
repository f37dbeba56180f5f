//! Step three: who the client is.

use std::sync::Arc;

use crate::Parts;
use crate::app::client_ip;
use crate::identity::{Identity, Who};
use crate::key;
use crate::request_fn::RequestFn;
use crate::subject::{Subject, View};

/// The client of one throttle, with its hash; never an exempt one.
pub(super) enum HashedClient<'a> {
    /// The subject itself.
    Given(Who<'a>, u64),
    /// What an identifier returned, which several throttles may share.
    Resolved(HashedIdentity),
}

impl HashedClient<'_> {
    pub(super) fn who(&self) -> Who<'_> {
        match self {
            Self::Given(who, _) => *who,
            Self::Resolved(resolved) => resolved.0.as_ref(),
        }
    }

    pub(super) fn hash(&self) -> u64 {
        match self {
            Self::Given(_, hash) => *hash,
            Self::Resolved(resolved) => resolved.1,
        }
    }
}

/// An identity with its hash.
type HashedIdentity = Arc<(Identity, u64)>;

/// What identifiers have returned so far. Each runs once, however many throttles use it. `None` is an exempt
/// client.
#[derive(Default)]
pub(super) struct IdentityCache<'a>(Vec<(IdentifierKey<'a>, Option<HashedIdentity>)>);

/// An identifier, or `None` for the client's address.
type IdentifierKey<'a> = Option<&'a RequestFn<Identity>>;

impl<'a> IdentityCache<'a> {
    /// Returns the client according to this identifier, or `None` if it is exempt.
    pub(super) async fn client(
        &mut self,
        identifier: IdentifierKey<'a>,
        subject: &'a Subject<'_>,
    ) -> Option<HashedClient<'a>> {
        match subject.view() {
            View::Client(who) if who.is_exempted() => None,
            View::Client(who) => Some(HashedClient::Given(who, key::identity(&who))),
            View::Request(parts) => self.resolve(identifier, parts).await.map(HashedClient::Resolved),
        }
    }

    async fn resolve(&mut self, identifier: IdentifierKey<'a>, parts: &Parts) -> Option<HashedIdentity> {
        if let Some((_, resolved)) = self.0.iter().find(|(other, _)| RequestFn::agree(*other, identifier)) {
            return resolved.clone();
        }
        let identity = match identifier {
            Some(function) => function.call(parts).await,
            None => client_ip(parts),
        };
        let resolved = (!identity.is_exempted()).then(|| {
            let hash = key::identity(&identity.as_ref());
            Arc::new((identity, hash))
        });
        self.0.push((identifier, resolved.clone()));
        resolved
    }
}
