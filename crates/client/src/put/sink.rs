//! Finished nodes on their way from the builder to the sender.

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;

use heirloom_manifest::{NodeId, NodeSink};

/// A finished node.
pub(crate) struct Finished {
    pub(crate) id: NodeId,
    pub(crate) bytes: Vec<u8>,
    pub(crate) level: u8,
}

/// Keeps finished nodes until they are taken, right after each push.
#[derive(Clone, Default)]
pub(crate) struct Tray(Rc<RefCell<Vec<Finished>>>);

impl Tray {
    pub(crate) fn take(&self) -> Vec<Finished> {
        self.0.take()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }
}

impl NodeSink for Tray {
    type Error = Infallible;

    fn put_node(&mut self, id: NodeId, bytes: Vec<u8>, level: u8) -> Result<(), Infallible> {
        self.0.borrow_mut().push(Finished { id, bytes, level });
        Ok(())
    }
}
