//! The locks of a run on the names that it writes. Taken between plan and build folder.

use crate::error::Result;
use crate::image::name::ImageName;
use crate::system::lock::{Lock, Waiting};

/// The locks that a run holds. All runs take them in the same order: source, lock and versioned name.
#[derive(Debug, Default)]
pub(super) struct Locks(Vec<(ImageName, Lock)>);

impl Locks {
    /// Holds the locks of `names`, and no others. Tells whether another run may have made an image that the plan does
    /// not know of: one was waited for, or one that made dependencies may just have finished.
    ///
    /// # Errors
    /// When a lock cannot be had, or a signal ends the waiting.
    pub(super) fn hold(&mut self, names: &[&ImageName], waiting: Waiting<'_>) -> Result<bool> {
        let kept = self.0.iter().zip(names).take_while(|((held, _), name)| held == **name).count();
        self.0.truncate(kept);
        let mut waited = false;
        for name in &names[kept..] {
            let lock = Lock::of_image(name, waiting)?;
            waited |= lock.waited;
            self.0.push(((*name).clone(), lock));
        }
        Ok(waited || names.len() > kept.max(1))
    }

    /// Lets other runs go on that wait for the dependencies.
    pub(super) fn release_dependencies(&mut self) {
        self.0.truncate(1);
    }
}
