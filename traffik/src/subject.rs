//! [`Subject`]: the request or the identity that a hit is about.

use std::net::IpAddr;

use crate::Parts;
use crate::identity::{Identity, KindRef, Who};

/// The request or the identity that a hit is about.
#[derive(Debug)]
pub struct Subject<'a>(Repr<'a>);

#[derive(Debug)]
enum Repr<'a> {
    Request(&'a Parts),
    /// Just a string, an address or a number. Borrowed, so that a hit on a `&str` does not allocate.
    Plain(KindRef<'a>),
    Identity(Identity),
}

/// What a subject consists of.
pub(crate) enum View<'a> {
    /// A request, whose client is yet to be identified.
    Request(&'a Parts),
    Client(Who<'a>),
}

impl<'a> Subject<'a> {
    /// The client, if it is just a string, an address or a number.
    #[inline]
    pub(crate) fn into_plain(self) -> Result<KindRef<'a>, Self> {
        match self.0 {
            Repr::Plain(client) => Ok(client),
            Repr::Request(_) | Repr::Identity(_) => Err(self),
        }
    }

    #[inline]
    pub(crate) fn parts(&self) -> Option<&'a Parts> {
        match self.0 {
            Repr::Request(parts) => Some(parts),
            Repr::Plain(_) | Repr::Identity(_) => None,
        }
    }

    /// The request or the client.
    #[inline]
    pub(crate) fn view(&self) -> View<'_> {
        match &self.0 {
            Repr::Request(parts) => View::Request(parts),
            Repr::Plain(kind) => View::Client(Who::of(*kind)),
            Repr::Identity(identity) => View::Client(identity.as_ref()),
        }
    }

    /// The identity, unless it has to be computed from a request.
    #[inline]
    pub(crate) fn who(&self) -> Option<Who<'_>> {
        match &self.0 {
            Repr::Request(_) => None,
            Repr::Plain(kind) => Some(Who::of(*kind)),
            Repr::Identity(identity) => Some(identity.as_ref()),
        }
    }
}

impl<'a> From<KindRef<'a>> for Subject<'a> {
    fn from(client: KindRef<'a>) -> Self {
        Self(Repr::Plain(client))
    }
}

/// A value that can be the subject of a hit: `&Parts`, `&str`, `String`, `IpAddr`, `u64` or [`Identity`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the subject of a hit",
    note = "pass the request as `&traffik::Parts`, or an identity: `&str`, `String`, `IpAddr`, `u64`, `traffik::Identity`"
)]
pub trait IntoSubject<'a> {
    /// Converts the value into a subject.
    fn into_subject(self) -> Subject<'a>;
}

impl<'a> IntoSubject<'a> for Subject<'a> {
    #[inline]
    fn into_subject(self) -> Self {
        self
    }
}

impl<'a> IntoSubject<'a> for &'a Parts {
    #[inline]
    fn into_subject(self) -> Subject<'a> {
        Subject(Repr::Request(self))
    }
}

impl<'a> IntoSubject<'a> for &'a mut Parts {
    #[inline]
    fn into_subject(self) -> Subject<'a> {
        Subject(Repr::Request(self))
    }
}

impl<'a> IntoSubject<'a> for &'a str {
    #[inline]
    fn into_subject(self) -> Subject<'a> {
        Subject(Repr::Plain(KindRef::Key(self)))
    }
}

impl<'a> IntoSubject<'a> for &'a String {
    #[inline]
    fn into_subject(self) -> Subject<'a> {
        Subject(Repr::Plain(KindRef::Key(self)))
    }
}

impl<'a> IntoSubject<'a> for &Identity {
    #[inline]
    fn into_subject(self) -> Subject<'a> {
        Subject(Repr::Identity(self.clone()))
    }
}

impl<'a> IntoSubject<'a> for IpAddr {
    #[inline]
    fn into_subject(self) -> Subject<'a> {
        Subject(Repr::Plain(self.to_canonical().into()))
    }
}

impl<'a> IntoSubject<'a> for u64 {
    #[inline]
    fn into_subject(self) -> Subject<'a> {
        Subject(Repr::Plain(KindRef::Number(self)))
    }
}

macro_rules! identities {
    ($($type:ty),*) => {$(
        impl<'a> IntoSubject<'a> for $type {
            #[inline]
            fn into_subject(self) -> Subject<'a> {
                Subject(Repr::Identity(self.into()))
            }
        }
    )*};
}

identities!(Identity, String);

impl<'a, T: Into<Identity>> IntoSubject<'a> for Option<T> {
    #[inline]
    fn into_subject(self) -> Subject<'a> {
        Subject(Repr::Identity(self.into()))
    }
}

impl Subject<'_> {
    /// Another copy of the subject.
    pub(crate) fn again(&self) -> Self {
        Self(match &self.0 {
            Repr::Request(parts) => Repr::Request(parts),
            Repr::Plain(kind) => Repr::Plain(*kind),
            Repr::Identity(identity) => Repr::Identity(identity.clone()),
        })
    }
}
