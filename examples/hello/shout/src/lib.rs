//! A procedural macro, so that the workspace has a crate that runs while it is built.

use proc_macro::TokenStream;
use quote::quote;

/// The text of a string literal in upper case.
#[proc_macro]
pub fn shout(input: TokenStream) -> TokenStream {
    let text = input.to_string().trim_matches('"').to_uppercase();
    quote!(#text).into()
}
