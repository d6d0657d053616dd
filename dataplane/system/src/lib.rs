//! system: what both processes ask of the operating system with care, because a local attacker may have been there first.
//!
//! [`folder`] opens a folder once and does everything relative to it, [`account`] changes to the service user, [`capability`] gives up
//! what is not needed. The rules and their reasons stand in `docs/security.md`.
#![forbid(unsafe_code)]

pub mod account;
pub mod capability;
mod error;
pub mod folder;
mod walk;

pub use account::Account;
pub use error::FolderError;
pub use folder::{Draft, Folder, Sharing};
