//! What is tracked: what counts as in flight, what the drain waits for, and what the books say of it. On a paused clock inside of the test's
//! own process; the books are counted in real programs as well.

mod books;
mod layer;
mod work;
