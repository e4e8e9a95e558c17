//! Named steps of a put, a get or a deletion, at which tests let the command
//! fail, end or wait.
//!
//! A step is one line, `heirloom_failpoint::hit("store::sync")?`, before what it
//! names. Without the feature `failpoints`, which only the tests' own binary
//! turns on, it compiles to nothing. With it, the variable `FAILPOINTS` says what
//! happens where, as the crate `fail` has it (`step=action;step=action`), and
//! `return(…)` takes one of
//!
//! | argument | what happens |
//! |---|---|
//! | `error` | the step fails |
//! | `exit` | the process ends at once: no destructor runs, nothing is flushed |
//! | `hold FIFO` | the step waits until the FIFO was opened for writing and closed |
//! | `mark FILE` | a line with the step's name is added to the file |
//!
//! It refuses to be more than a place to stand: what a failure means is for the
//! caller to say, who turns the error into one of its own. Names begin with the
//! crate's; the tests find them in the sources, so there is no list to keep.
//!
//! ```
//! fn publish() -> std::io::Result<()> {
//!     heirloom_failpoint::hit("example::publish")?;
//!     Ok(())
//! }
//! assert!(publish().is_ok());
//! ```

use std::io;

/// Does what `FAILPOINTS` says of this step: usually nothing.
///
/// # Errors
/// When a test wants the step to fail.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn hit(_step: &'static str) -> io::Result<()> {
    Ok(())
}

/// Does what `FAILPOINTS` says of this step: usually nothing.
///
/// # Errors
/// When a test wants the step to fail.
#[cfg(feature = "failpoints")]
pub fn hit(step: &'static str) -> io::Result<()> {
    on::hit(step)
}

#[cfg(feature = "failpoints")]
mod on {
    use std::fs::File;
    use std::io::{self, Read, Write};
    use std::sync::Once;

    use fail::{FailScenario, fail_point};

    pub(crate) fn hit(step: &'static str) -> io::Result<()> {
        static READ: Once = Once::new();
        // Its end would forget what the variable says, so it has none.
        READ.call_once(|| std::mem::forget(FailScenario::setup()));
        fail_point!(step, |what| act(step, &what.unwrap_or_default()));
        Ok(())
    }

    fn act(step: &str, what: &str) -> io::Result<()> {
        match what.split_once(' ').unwrap_or((what, "")) {
            ("exit", _) => std::process::abort(),
            ("hold", fifo) => File::open(fifo)?.read_to_end(&mut Vec::new()).map(drop),
            ("mark", file) => {
                let mut file = File::options().create(true).append(true).open(file)?;
                file.write_all(format!("{step}\n").as_bytes())
            }
            _ => Err(io::Error::other(format!("the test wants {step} to fail"))),
        }
    }
}
