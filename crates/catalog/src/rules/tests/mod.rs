//! What deletion, lifetimes and retention promise.

mod deletion;
mod retention;
