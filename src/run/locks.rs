//! The locks of a run on the names that it writes. Taken between plan and build folder.

use crate::error::Result;
use crate::image::name::ImageName;
use crate::system::lock::{Lock, Waiting};

/// The locks that a run holds. All runs take them in the same order: source, lock and versioned name.
#[derive(Debug, Default)]
pub(super) struct Locks(Vec<(ImageName, Lock)>);

/// What may have happened before locks were held, after the plan was made that asks for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Since {
    /// Nothing that matters.
    Nothing,
    /// Another run may have just finished that made the dependencies.
    OthersMayHaveBuilt,
    /// Another run was waited for.
    Waited,
}

impl Locks {
    /// Holds the locks of `names`, and no others.
    ///
    /// # Errors
    /// When a lock cannot be had, or a signal ends the waiting.
    pub(super) fn hold(&mut self, names: &[&ImageName], waiting: Waiting<'_>) -> Result<Since> {
        let kept = self.0.iter().zip(names).take_while(|((held, _), name)| held == **name).count();
        self.0.truncate(kept);
        let mut waited = false;
        for name in &names[kept..] {
            let lock = Lock::of_image(name, waiting)?;
            waited |= lock.waited;
            self.0.push(((*name).clone(), lock));
        }
        let took_others = names.len() > kept.max(1);
        Ok(match (waited, took_others) {
            (true, _) => Since::Waited,
            (false, true) => Since::OthersMayHaveBuilt,
            (false, false) => Since::Nothing,
        })
    }

    /// Lets other runs go on that wait for the dependencies.
    pub(super) fn release_dependencies(&mut self) {
        self.0.truncate(1);
    }
}
