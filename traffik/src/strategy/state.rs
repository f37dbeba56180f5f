//! [`State`]: what is remembered of one client.

/// What is remembered of one client under one policy.
///
/// Two words are compact in every store, and take no allocation in memory if the first is an instant in
/// microseconds and the second is below 2^44; a log takes bytes. A key that does not exist is `Empty`. A
/// strategy treats a state that it cannot read in the same way, so that garbage neither refuses anyone
/// forever nor causes a panic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum State {
    /// Nothing: the account is full.
    #[default]
    Empty,
    /// Two integers, below 2^53 if the strategy has a Lua twin.
    Words([u64; 2]),
    /// Anything longer, in the strategy's own layout.
    Bytes(Vec<u8>),
}

impl State {
    /// Returns the two words, or `None` for anything else.
    #[must_use]
    pub fn words(&self) -> Option<[u64; 2]> {
        match self {
            Self::Words(words) => Some(*words),
            Self::Empty | Self::Bytes(_) => None,
        }
    }

    /// Encodes the state for stores that keep bytes. [`State::decode`] reads it back.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Empty => Vec::new(),
            Self::Words([first, second]) => format!("{first} {second}").into_bytes(),
            Self::Bytes(bytes) => [b"=", bytes.as_slice()].concat(),
        }
    }

    /// Decodes what [`State::encode`] wrote; `None` if it could not have written these bytes.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [] => Some(Self::Empty),
            [b'=', rest @ ..] => Some(Self::Bytes(rest.to_vec())),
            digits => {
                let (first, second) = std::str::from_utf8(digits).ok()?.split_once(' ')?;
                Some(Self::Words([first.parse().ok()?, second.parse().ok()?]))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn encoding_round_trips(first: u64, second: u64, bytes: Vec<u8>) {
            for state in [State::Empty, State::Words([first, second]), State::Bytes(bytes)] {
                prop_assert_eq!(State::decode(&state.encode()), Some(state));
            }
        }

        #[test]
        fn garbage_never_panics(bytes: Vec<u8>) {
            let _ = State::decode(&bytes);
        }
    }
}
