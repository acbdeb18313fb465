//! Numbers on their way from the device: what a step came to is read while the device works on the next ones.

use std::collections::VecDeque;
use std::future::{Future, ready};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use burn::tensor::{Device, Tensor};

use super::forward::read;
use crate::error::{Error, Result};
use crate::event::Metrics;

/// Steps that a GPU may have before it.
const STEPS: usize = 4;

type Values = Vec<Vec<f32>>;
type Finish = Box<dyn FnOnce(Values) -> Result<Metrics>>;

/// What a step leaves behind: its numbers, still on the device, and what to make of them.
pub struct Pending {
    tensors: Vec<Tensor<1>>,
    finish: Finish,
}

impl Pending {
    /// `finish` makes metrics of the values of `tensors`, or says what is wrong with them.
    pub fn new(tensors: Vec<Tensor<1>>, finish: impl FnOnce(Values) -> Result<Metrics> + 'static) -> Self {
        Self { tensors, finish: Box::new(finish) }
    }

    /// Metrics that are known already.
    pub fn known(metrics: Metrics) -> Self {
        Self::new(vec![], |_| Ok(metrics))
    }

    /// A step that went wrong before it left anything to read.
    pub fn failed(error: Error) -> Self {
        Self::new(vec![], |_| Err(error))
    }

    /// Reads the numbers.
    ///
    /// # Errors
    /// [`crate::Error::NonFinite`], [`crate::Error::Device`].
    pub async fn metrics(self) -> Result<Metrics> {
        (self.finish)(read(self.tensors).await?)
    }
}

/// Steps whose metrics have not been told, oldest first.
pub struct InFlight {
    /// Steps that are read together.
    per_read: usize,
    /// Steps that may be under way when the next one is launched.
    most: usize,
    unread: Vec<(u64, Pending)>,
    reads: VecDeque<Read>,
    known: VecDeque<(u64, Result<Metrics>)>,
}

/// A read that was asked for, and the steps that share it.
struct Read {
    values: Pin<Box<dyn Future<Output = Result<Values>>>>,
    /// Step, number of its tensors, what to make of them.
    steps: Vec<(u64, usize, Finish)>,
}

impl InFlight {
    /// A read takes a browser longer than a small step does, so that on a GPU some steps may be under way, and while a group is read the next
    /// one grows. The CPU backend has nothing to wait for.
    pub fn new(per_read: u64, device: &Device) -> Self {
        let per_read = per_read.max(1) as usize;
        let most = if *device == Device::flex() { per_read - 1 } else { STEPS.max(2 * per_read - 1) };
        Self { per_read, most, unread: vec![], reads: VecDeque::new(), known: VecDeque::new() }
    }

    /// Step `step` is under way.
    pub fn push(&mut self, step: u64, pending: Pending) {
        self.unread.push((step, pending));
        if self.unread.len() == self.per_read {
            self.ask();
        }
    }

    /// What the oldest step came to, once too many steps are under way, or, with `all`, as long as there is one.
    ///
    /// # Errors
    /// [`crate::Error::Device`].
    pub async fn next(&mut self, all: bool) -> Result<Option<(u64, Result<Metrics>)>> {
        if let Some(known) = self.known.pop_front() {
            return Ok(Some(known));
        }
        let under_way = self.unread.len() + self.reads.iter().map(|read| read.steps.len()).sum::<usize>();
        if under_way <= if all { 0 } else { self.most } {
            return Ok(None);
        }
        if self.reads.is_empty() {
            self.ask();
        }
        let Some(Read { values, steps }) = self.reads.pop_front() else { return Ok(None) };
        let mut values = values.await?.into_iter();
        for (step, count, finish) in steps {
            self.known.push_back((step, finish(values.by_ref().take(count).collect())));
        }
        Ok(self.known.pop_front())
    }

    /// Waits for what was asked for, whatever it is, and forgets everything. cubecl 0.11.3 takes the buffer of a read that is dropped on its way
    /// for free while it is still mapped, and the next read in it ends the device.
    pub async fn abandon(&mut self) {
        for read in self.reads.drain(..) {
            drop(read.values.await);
        }
        self.unread.clear();
        self.known.clear();
    }

    /// Asks for the numbers of all steps that were not asked for.
    fn ask(&mut self) {
        let (mut tensors, mut steps) = (Vec::new(), Vec::new());
        for (step, pending) in self.unread.drain(..) {
            steps.push((step, pending.tensors.len(), pending.finish));
            tensors.extend(pending.tensors);
        }
        let mut values: Pin<Box<dyn Future<Output = Result<Values>>>> = Box::pin(read(tensors));
        // The first poll is what asks: without it the numbers would set out when somebody waits for them.
        if let Poll::Ready(known) = values.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            values = Box::pin(ready(known));
        }
        self.reads.push_back(Read { values, steps });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps told after each of ten launches, then those told at the end.
    fn told(per_read: u64, device: &Device, reads: usize) -> Vec<Vec<u64>> {
        let mut in_flight = InFlight::new(per_read, device);
        in_flight.most = in_flight.most.max(reads);
        let mut told = Vec::new();
        for step in 1..=10 {
            in_flight.push(step, Pending::known(Metrics::new()));
            told.push(steps(&mut in_flight, false));
        }
        told.push(steps(&mut in_flight, true));
        told
    }

    fn steps(in_flight: &mut InFlight, all: bool) -> Vec<u64> {
        std::iter::from_fn(|| pollster::block_on(in_flight.next(all)).unwrap()).map(|(step, _)| step).collect()
    }

    #[test]
    fn steps_are_told_in_order_at_once_or_a_few_later_or_in_groups() {
        let at_once = told(1, &Device::flex(), 0);
        assert_eq!(at_once[..3], [vec![1], vec![2], vec![3]]);
        let later = told(1, &Device::flex(), 4);
        assert_eq!((later[3].len(), later[4..10].concat(), later[10].clone()), (0, (1..=6).collect(), vec![7, 8, 9, 10]));
        let groups = told(3, &Device::flex(), 0);
        assert_eq!(groups.concat(), (1..=10).collect::<Vec<_>>());
        assert!(groups.iter().all(|group| [0, 1, 3].contains(&group.len())), "{groups:?}");
    }
}
