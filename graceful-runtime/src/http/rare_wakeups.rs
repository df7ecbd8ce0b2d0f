//! Polls a group of rarely ready futures only when one of them woke the task, instead of on every wake-up.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Wake, Waker},
};

/// Wakers that remember that they were used.
#[derive(Debug, Default)]
pub(super) struct RareWakeups {
    /// `None` before the first poll.
    waker: Option<(Arc<Flag>, Waker)>,
}

#[derive(Debug)]
struct Flag {
    is_set: AtomicBool,
    task: Waker,
}

impl RareWakeups {
    /// Returns whether the futures are to be polled, and the context to poll them with. They are to be polled the first time, after one of
    /// them has woken the task, and after the task's waker has changed.
    pub(super) fn poll(&mut self, cx: &Context<'_>) -> (bool, Context<'_>) {
        let known = self.waker.take().filter(|(flag, _)| flag.task.will_wake(cx.waker()));
        // Relaxed: a missed store is seen in the next poll, because `wake_by_ref` wakes the task after the store. Acquire: pairs with the
        // Release in `wake_by_ref`.
        let has_woken = known.as_ref().is_none_or(|(flag, _)| {
            flag.is_set.load(Ordering::Relaxed) && flag.is_set.swap(false, Ordering::Acquire)
        });
        let (_, waker) = self.waker.insert(known.unwrap_or_else(|| {
            let flag = Arc::new(Flag { is_set: AtomicBool::new(false), task: cx.waker().clone() });
            (Arc::clone(&flag), Waker::from(flag))
        }));
        (has_woken, Context::from_waker(waker))
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Release: pairs with the Acquire in `poll`, so that the poll sees what the waking thread did before.
        self.is_set.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}
