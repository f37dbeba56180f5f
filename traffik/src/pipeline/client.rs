//! Step three: who the client is.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::Parts;
use crate::client_ip::client_ip;
use crate::identity::{Identity, Who};
use crate::key;
use crate::request_fn::RequestFn;
use crate::subject::{Subject, View};

/// The client of one throttle, with its hash; never an exempt one.
pub(super) enum Client<'a> {
    /// The subject itself.
    Told(Who<'a>, u64),
    /// What an identifier returned, which several throttles may share.
    Found(Found),
}

impl Client<'_> {
    pub(super) fn who(&self) -> Who<'_> {
        match self {
            Self::Told(who, _) => *who,
            Self::Found(found) => found.0.as_ref(),
        }
    }

    pub(super) fn hash(&self) -> u64 {
        match self {
            Self::Told(_, hash) => *hash,
            Self::Found(found) => found.1,
        }
    }
}

/// An identity with its hash.
type Found = Arc<(Identity, u64)>;

/// What identifiers have returned so far. Each runs once, however many throttles use it. `None` is an exempt
/// client.
#[derive(Default)]
pub(super) struct Known<'a>(SmallVec<[(By<'a>, Option<Found>); 1]>);

/// An identifier, or `None` for the client's address.
type By<'a> = Option<&'a RequestFn<Identity>>;

impl<'a> Known<'a> {
    /// Returns the client according to this identifier, or `None` if it is exempt.
    pub(super) async fn client(&mut self, by: By<'a>, subject: &'a Subject<'_>) -> Option<Client<'a>> {
        match subject.view() {
            View::Client(who) if who.is_exempted() => None,
            View::Client(who) => Some(Client::Told(who, key::identity(&who))),
            View::Request(parts) => self.found(by, parts).await.map(Client::Found),
        }
    }

    async fn found(&mut self, by: By<'a>, parts: &Parts) -> Option<Found> {
        if let Some((_, found)) = self.0.iter().find(|(other, _)| RequestFn::agree(*other, by)) {
            return found.clone();
        }
        let identity = match by {
            Some(function) => function.call(parts).await,
            None => client_ip(parts),
        };
        let found = (!identity.is_exempted()).then(|| {
            let hash = key::identity(&identity.as_ref());
            Arc::new((identity, hash))
        });
        self.0.push((by, found.clone()));
        found
    }
}
