//! The tasks that make a subscription's attempts, many at a time each.
//!
//! A task for each attempt would cost two wakes per event; one for all of them would keep to one core.

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use crate::fault::{Fault, Result};

/// More are of no use: what is left of the work is the subscription's own task's.
const MOST: usize = 4;

/// The hands of one subscription, which turn `Work` into what came of it. Its concurrency bounds what is
/// under way, and with it what waits in the channels.
pub(super) struct Hands<Work, Done> {
    tasks: JoinSet<()>,
    inlets: Vec<UnboundedSender<Work>>,
    outlet: UnboundedReceiver<Done>,
    /// Whose turn it is.
    turn: usize,
    under_way: usize,
}

impl<Work: Send + 'static, Done: Send + 'static> Hands<Work, Done> {
    /// As many as there are threads, and as there is use for where so many attempts are under way at
    /// the most.
    pub(super) fn new<Make, Making>(concurrency: usize, make: Make) -> Self
    where
        Make: Fn(Work) -> Making + Clone + Send + 'static,
        Making: Future<Output = Done> + Send + 'static,
    {
        let threads = Handle::current().metrics().num_workers();
        let count = concurrency.min(threads).min(MOST);
        let (ended, outlet) = unbounded_channel();
        let mut tasks = JoinSet::new();
        let inlets = (0..count).map(|_| {
            let (inlet, work) = unbounded_channel();
            tasks.spawn(make_all(make.clone(), work, ended.clone()));
            inlet
        });
        Self {
            inlets: inlets.collect(),
            tasks,
            outlet,
            turn: 0,
            under_way: 0,
        }
    }

    /// Begins an attempt.
    pub(super) fn begin(&mut self, work: Work) {
        self.turn = (self.turn + 1) % self.inlets.len().max(1);
        if let Some(hand) = self.inlets.get(self.turn) {
            // One that is gone is told of where the end of attempts is waited for.
            let _gone = hand.send(work);
        }
        self.under_way += 1;
    }

    /// Waits for the end of an attempt; `None` if none is under way.
    pub(super) async fn ended(&mut self) -> Option<Result<Done>> {
        if self.under_way == 0 {
            return None;
        }
        tokio::select! {
            biased;
            Some(done) = self.outlet.recv() => {
                self.under_way -= 1;
                Some(Ok(done))
            }
            Some(gone) = self.tasks.join_next() => {
                let fault = Fault::permanent("a delivery ended in the middle");
                Some(Err(match gone {
                    Err(error) => fault.because(error),
                    Ok(()) => fault,
                }))
            }
        }
    }

    /// Another attempt that has ended already.
    pub(super) fn ended_too(&mut self) -> Option<Done> {
        let done = self.outlet.try_recv().ok()?;
        self.under_way -= 1;
        Some(done)
    }
}

/// Makes attempts until no more can come.
async fn make_all<Work, Done, Making: Future<Output = Done>>(
    make: impl Fn(Work) -> Making,
    mut work: UnboundedReceiver<Work>,
    ended: UnboundedSender<Done>,
) {
    let mut under_way = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            next = work.recv() => match next {
                Some(next) => under_way.push(make(next)),
                None => return,
            },
            Some(done) = under_way.next() => {
                if ended.send(done).is_err() {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot::{Receiver, channel};
    use tokio::time::timeout;

    use super::*;

    async fn wait(told: Receiver<u8>) -> u8 {
        told.await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 3)]
    async fn attempts_end_in_any_order_and_none_is_waited_for_in_vain() {
        let mut hands = Hands::new(100, wait);
        assert_eq!(hands.tasks.len(), 3);
        assert!(hands.ended().await.is_none());
        let ends = (0..9).map(|_| {
            let (end, told) = channel();
            hands.begin(told);
            end
        });
        let ends: Vec<_> = ends.collect();
        for (number, end) in (0..9).zip(ends).rev() {
            assert!(hands.ended_too().is_none());
            end.send(number).unwrap();
            assert_eq!(hands.ended().await.unwrap().unwrap(), number);
        }
        assert!(hands.ended().await.is_none());
    }

    #[tokio::test]
    async fn an_attempt_that_ends_in_the_middle_is_a_fault() {
        let mut hands = Hands::new(1, wait);
        let (end, told) = channel();
        hands.begin(told);
        drop(end);
        let ended = timeout(Duration::from_secs(30), hands.ended()).await;
        let fault = ended.unwrap().unwrap().unwrap_err();
        assert!(fault.to_string().contains("ended in the middle"), "{fault}");
    }
}
