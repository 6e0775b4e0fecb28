//! serve: the shell. Sockets, clocks, files and signals; it carries out what the pure rooms decide, on one thread.

pub mod activation;
pub mod audit;
pub mod deadline;
mod facts;
pub mod files;
pub mod gateway;
pub mod http;
mod hub;
mod line;
pub mod listen;
pub mod log;
pub mod notify;
pub mod pool;
pub mod pulse;
mod quota;
pub mod reactor;
pub mod reload;
pub mod report;
pub mod socket;
mod tailnet;
mod visitor;
mod whois;

use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use async_io::Timer;
use async_signal::{Signal, Signals};
use smol::channel::Receiver;
use smol::{LocalExecutor, Task, future, stream::StreamExt};

use crate::limits::{SHUTDOWN_SECS, SHUTDOWN_STEP};
use crate::tool;
use http::{Bounds, Service, Shared};
use listen::{Door, Listener, Move, Place, Seats};
use reactor::Reactor;

/// The wall clock since 1970, zero before. For display only: every decision is taken on the monotonic clock.
pub fn wall_clock() -> Duration {
    Duration::from_millis(u64::try_from(tool::wall_ms()).unwrap_or_default())
}

/// Random bytes. The kernel makes us wait for them only in the first seconds after a boot without entropy.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // It fails only on kernels that do not have the call, older than any we run on.
    _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    bytes
}

/// How many connections there may be.
#[derive(Debug, Clone, Copy)]
pub struct Crowd {
    /// In all.
    pub most: usize,
    /// Of one peer.
    pub most_per_peer: usize,
}

/// What a task does. Those of which there are few are boxed, so that they share one copy of the road.
type Job = Pin<Box<dyn Future<Output = ()>>>;

/// What accepts the connections of one listener.
type Accepting = (Door, Task<()>);

/// Serves `listeners` until SIGTERM or SIGINT, then lets calls in flight finish for [`SHUTDOWN_SECS`] at most. Calls
/// `ready` when signals are caught and connections accepted, and `hangup` at each SIGHUP until it stops.
///
/// # Errors
/// When signals cannot be caught, or the kernel has no descriptors left.
pub fn run<S: Service>(
    service: S,
    bounds: Bounds,
    crowd: Crowd,
    listeners: Vec<Listener>,
    ready: impl FnOnce() + 'static,
    hangup: impl Fn(&S) + 'static,
) -> std::io::Result<()> {
    let executor = Rc::new(LocalExecutor::new());
    let mut signals = Signals::new([Signal::Hup, Signal::Int, Signal::Term])?;
    let reactor = Reactor::new()?;
    let shared = Shared::new(service, bounds);
    let seats = Seats::new(listen::fit_to_descriptors(crowd.most), crowd.most_per_peer);
    shared.service.seated(&seats, &shared.deadlines);
    let accept = {
        let (reactor, shared, seats, executor) =
            (Rc::clone(&reactor), Rc::clone(&shared), Rc::clone(&seats), Rc::clone(&executor));
        move |listener: Listener| -> std::io::Result<Accepting> {
            let Listener { socket, door, .. } = listener;
            let listener = reactor.watch(socket)?;
            let (reactor, shared, seats) = (Rc::clone(&reactor), Rc::clone(&shared), Rc::clone(&seats));
            let job: Job = Box::pin(listen::accept(listener, door, reactor, shared, seats, Rc::clone(&executor)));
            Ok((door, executor.spawn(job)))
        }
    };
    let base = listeners.into_iter().map(&accept).collect::<std::io::Result<Vec<_>>>()?;
    let listening: Job = Box::pin(keep(base, shared.service.moves(), accept));
    let listening = executor.spawn(listening);
    reactor::enter(&reactor, &shared.deadlines);
    let live: Job = Box::pin(shared.service.live());
    if let Some(pulse) = notify::watchdog(&shared.deadlines) {
        executor.spawn(pulse).detach();
    }
    let at_work = Rc::clone(&shared);
    // A task of its own: what is given to `run` is polled at every turn of the loop, and looking for signals costs a
    // system call.
    let supervisor: Job = Box::pin(async move {
        ready();
        let signal = next(&mut signals, || hangup(&shared.service)).await;
        ::log::info!("stop signal={} connections={}", name(signal), seats.taken());
        notify::stopping();
        // Listeners close first, so that whoever comes now goes elsewhere.
        drop(listening);
        finish(&shared, &seats, &mut signals).await;
    });
    let supervisor = executor.spawn(supervisor);
    // After it: whatever comes later is told of after what there is from the start.
    executor.spawn(live).detach();
    reactor.run(executor.run(supervisor), &at_work.deadlines, |late| at_work.service.late(late));
    reactor::leave();
    Ok(())
}

/// Holds the listeners' tasks; dropped with them when the gateway stops. A listener that closes keeps its connections.
async fn keep(
    mut base: Vec<Accepting>,
    moves: Receiver<Move>,
    accept: impl Fn(Listener) -> std::io::Result<Accepting>,
) {
    let mut tailnet: Vec<(Place, Accepting)> = Vec::new();
    let failed = |error| ::log::error!("move_failed error=\"{error}\"");
    while let Ok(change) = moves.recv().await {
        match change {
            Move::Base(listeners) => match listeners.into_iter().map(&accept).collect::<std::io::Result<Vec<_>>>() {
                Ok(tasks) => {
                    base.retain(|(door, _)| *door == Door::Serve);
                    base.extend(tasks);
                }
                Err(error) => failed(error),
            },
            Move::Tailnet { keep, open } => {
                tailnet.retain(|(place, _)| keep.contains(place));
                for (place, listener) in open {
                    match accept(listener) {
                        Ok(task) => tailnet.push((place, task)),
                        Err(error) => failed(error),
                    }
                }
            }
        }
    }
    std::future::pending().await
}

/// Sends everybody home who only rests, and waits for the others, unless asked to stop once more.
async fn finish<S: Service>(shared: &Shared<S>, seats: &Seats, signals: &mut Signals) {
    shared.stopping.set(true);
    shared.deadlines.end_rests();
    shared.service.stop();
    let finished = async {
        while seats.taken() > 0 {
            Timer::after(SHUTDOWN_STEP).await;
        }
    };
    let patience = async { _ = Timer::after(SHUTDOWN_SECS).await };
    let again = async { _ = next(signals, || ()).await };
    future::or(finished, future::or(patience, again)).await;
    // Calls whose time is over, and what nobody waits for any more.
    shared.service.end().await;
    ::log::info!("stopped connections={}", seats.taken());
}

/// The next signal that is no SIGHUP; `hangup` is called at each of those.
async fn next(signals: &mut Signals, hangup: impl Fn()) -> Option<std::io::Result<Signal>> {
    loop {
        match signals.next().await {
            Some(Ok(Signal::Hup)) => hangup(),
            other => return other,
        }
    }
}

fn name(signal: Option<std::io::Result<Signal>>) -> &'static str {
    match signal {
        Some(Ok(Signal::Int)) => "SIGINT",
        Some(Ok(Signal::Term)) => "SIGTERM",
        _ => "unknown",
    }
}
