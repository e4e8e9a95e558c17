//! A repository in this process as the client's backend.

use std::sync::Arc;

use heirloom_api::Backend;
use heirloom_core::{Caller, Timestamp};
use heirloom_repository::{Environment, Repository};

use crate::Result;
use crate::environment::{ClientOptions, Clock, Random};

pub(crate) struct Given {
    clock: Clock,
    random: Random,
}

impl Given {
    pub(crate) fn of(options: &ClientOptions) -> Self {
        Self { clock: Arc::clone(&options.clock), random: Arc::clone(&options.random) }
    }
}

impl Environment for Given {
    fn now(&self) -> Timestamp {
        (self.clock)()
    }

    fn random(&self) -> u64 {
        (self.random)() as u64
    }
}

pub(crate) fn open(options: &ClientOptions) -> Result<Arc<dyn Backend>> {
    let repository = Repository::open(&options.home, Given::of(options))?;
    Ok(Arc::new(repository.as_caller(Caller::owner(options.actor.clone()))))
}
