//! The groups of one relay that others may join.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::super::template::Template;
use super::group::{Group, Member};
use super::{Behind, Bounds};

/// The newest group for each id that is asked behind.
#[derive(Default)]
pub(in super::super) struct Groups {
    open: Mutex<HashMap<Behind, Weak<Group>>>,
}

impl Groups {
    /// Joins the group that asks for this, or makes one, which is to be begun.
    pub(super) fn enter(
        &self,
        behind: &Behind,
        template: &Arc<Template>,
        position: u64,
        bounds: &Bounds,
    ) -> (Member, Option<Arc<Group>>) {
        let mut open = self.lock();
        let found = open.get(behind).and_then(Weak::upgrade);
        if let Some(member) = found.and_then(|group| group.join(template, position)) {
            return (member, None);
        }
        let (member, group) = begin(template, position, bounds);
        if open.len() == open.capacity() {
            // Rather than to grow for those that have gone.
            open.retain(|_, group| group.strong_count() > 0);
        }
        open.insert(behind.clone(), Arc::downgrade(&group));
        (member, Some(group))
    }

    /// What was asked for until now says nothing of what is to come.
    pub(in super::super) fn close(&self) {
        let open = std::mem::take(&mut *self.lock());
        for group in open.values().filter_map(Weak::upgrade) {
            group.close();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Behind, Weak<Group>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A group with one member, which is to be begun, and nobody else finds.
pub(super) fn begin(
    template: &Arc<Template>,
    position: u64,
    bounds: &Bounds,
) -> (Member, Arc<Group>) {
    let group = Arc::new(Group::new(Arc::clone(template), bounds.room.clone()));
    let member = group.join(template, position);
    (member.expect("it is open, and for this request"), group)
}
