//! The front end's ears: every event goes to the logs and the terminal; the user's wish to stop goes to the run.

use std::cell::{Cell, RefCell};
use std::path::Path;

use anyhow::{Error, Result, anyhow};
use evenkeel_core::event::{Command, Event};

use crate::event_log::EventLog;
use crate::progress::{Progress, Seen};
use crate::signals;

/// Shared by the run's two callbacks.
pub struct Listener {
    log: RefCell<EventLog>,
    progress: RefCell<Progress>,
    /// The first failure to write a log; it ends the run, since a run without records is worth little.
    broken: RefCell<Option<Error>>,
    told_to_stop: Cell<bool>,
}

impl Listener {
    /// Opens the logs of the run at `run`; `label` names it in the terminal.
    pub fn open(run: &Path, label: &str) -> Result<Self> {
        Ok(Self {
            log: RefCell::new(EventLog::open(run)?),
            progress: RefCell::new(Progress::new(label)),
            broken: RefCell::default(),
            told_to_stop: Cell::default(),
        })
    }

    /// Records and shows one event.
    pub fn hear(&self, event: &Event) {
        if let Err(e) = self.log.borrow_mut().write(event) {
            self.broken.borrow_mut().get_or_insert(e);
        }
        self.progress.borrow_mut().show(event);
    }

    /// Everything heard so far is on the disk when this returns; an error where something was lost.
    pub fn sync(&self) -> Result<()> {
        match &*self.broken.borrow() {
            Some(e) => Err(anyhow!("{e:#}")),
            None => self.log.borrow().sync(),
        }
    }

    /// [`Command::Stop`] once, when the user or a full disk asks for it.
    pub fn command(&self) -> Option<Command> {
        let wanted = signals::stop_requested() || self.broken.borrow().is_some();
        (wanted && !self.told_to_stop.replace(true)).then_some(Command::Stop)
    }

    /// What was seen, and what broke.
    pub fn close(self) -> (Seen, Option<Error>) {
        (self.progress.into_inner().seen, self.broken.into_inner())
    }
}
