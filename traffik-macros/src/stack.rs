//! The stack of attributes on one handler. The outermost absorbs the attributes below it, so that all of them become
//! one gate and one decision.

use proc_macro2::{Span, TokenStream};
use syn::spanned::Spanned;
use syn::{Attribute, Error, Meta, Path};

use crate::args::Args;
use crate::fallback::Errors;

/// All parsed attributes in source order, and the crate path that they agree on.
pub(crate) struct Stack {
    pub(crate) root: Option<Path>,
    pub(crate) attributes: Vec<Args>,
}

impl Stack {
    /// Parses the outermost attribute's arguments, and removes its siblings from the handler's other attributes.
    /// Siblings in a `#[cfg_attr(…)]` are included, because conditions are evaluated before any attribute expands. A
    /// sibling under another name is not recognized here, and extends the gate later.
    pub(crate) fn absorb(outermost: TokenStream, others: &mut Vec<Attribute>, errors: &mut Errors) -> Self {
        let first = Args::read(outermost, Span::call_site(), errors);
        let mut stack = Self { root: first.root.clone(), attributes: vec![first] };
        others.retain(|attribute| {
            let sibling = stack.owns(attribute.path());
            if sibling {
                stack.add(attribute, errors);
            }
            !sibling
        });
        stack
    }

    fn owns(&self, path: &Path) -> bool {
        let written = words(path);
        match written.as_slice() {
            [name] => name == "throttle",
            [root @ .., name] if name == "throttle" => {
                matches!(root, [root] if root == "traffik")
                    || self.root.as_ref().is_some_and(|given| words(given) == root)
            }
            _ => false,
        }
    }

    fn add(&mut self, attribute: &Attribute, errors: &mut Errors) {
        let at = attribute.path().span();
        let tokens = match &attribute.meta {
            Meta::Path(_) => TokenStream::new(),
            Meta::List(list) => list.tokens.clone(),
            Meta::NameValue(_) => {
                let message = "the arguments must be in parentheses: write `#[throttle(\"uid\", …)]`";
                return errors.push(Error::new(at, message));
            }
        };
        let args = Args::read(tokens, at, errors);
        if let Some(root) = &args.root {
            match &self.root {
                None => self.root = Some(root.clone()),
                Some(known) if words(known) == words(root) => {}
                Some(_) => errors.push(Error::new_spanned(
                    root,
                    "all throttles on a handler must use the same `crate`: give the same path in each",
                )),
            }
        }
        self.attributes.push(args);
    }
}

fn words(path: &Path) -> Vec<String> {
    path.segments.iter().map(|segment| segment.ident.to_string()).collect()
}
