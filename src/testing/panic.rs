//! Panics of the bijector under test, as text.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `body`. A panic is returned as its text, without a report on standard error.
pub(super) fn catch<T>(body: impl FnOnce() -> T) -> Result<T, String> {
    static QUIET: Once = Once::new();
    // The hook belongs to the process, so it stays. It passes all other panics to the hook that was
    // there before.
    QUIET.call_once(|| {
        let report = take_hook();
        set_hook(Box::new(move |info| {
            if !EXPECTED.get() {
                report(info);
            }
        }));
    });
    let outer = EXPECTED.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(body));
    EXPECTED.set(outer);
    outcome.map_err(|payload| {
        let text = match (payload.downcast_ref::<String>(), payload.downcast_ref::<&str>()) {
            (Some(text), _) => text,
            (_, Some(text)) => *text,
            _ => "a panic without text",
        };
        // burn's messages have several lines.
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    })
}
