//! Hearing of what is seldom: futures that a task polls only after one of them has called, however often something else wakes it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Wake, Waker},
};

/// What such futures wake: it passes the call on to their task.
#[derive(Debug, Default)]
pub(super) struct RareWakeups {
    /// `None` before the first poll.
    known: Option<(Arc<Flag>, Waker)>,
}

#[derive(Debug)]
struct Flag {
    is_set: AtomicBool,
    task: Waker,
}

impl RareWakeups {
    /// What they are to be polled with, and whether that is due: at first, when one of them has called, and when the task has moved.
    pub(super) fn listen(&mut self, cx: &Context<'_>) -> (bool, Context<'_>) {
        let known = self.known.take().filter(|(call, _)| call.task.will_wake(cx.waker()));
        // Relaxed: who calls wakes the task afterwards. Acquire: pairs with the Release in `wake_by_ref`.
        let has_called = known.as_ref().is_none_or(|(call, _)| {
            call.is_set.load(Ordering::Relaxed) && call.is_set.swap(false, Ordering::Acquire)
        });
        let (_, waker) = self.known.insert(known.unwrap_or_else(|| {
            let call = Flag { is_set: AtomicBool::new(false), task: cx.waker().clone() };
            let call = Arc::new(call);
            (Arc::clone(&call), Waker::from(call))
        }));
        (has_called, Context::from_waker(waker))
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Release: pairs with the Acquire in `listen`, so that whoever hears the call sees what it is about.
        self.is_set.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}
