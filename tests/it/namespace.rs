//! Machines on a network of their own, on this machine: network namespaces that live as long as a test.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::process::Command;
use std::thread;

#[allow(deprecated, reason = "what is given up here is a network, not the descriptors that make it unsound")]
use rustix::thread::unshare;
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use crate::rig::notice;

/// A network namespace, gone when it is dropped and nothing runs in it.
#[derive(Debug)]
pub struct Namespace(File);

impl Namespace {
    /// A fresh one with its loopback up; `None`, and a notice, where this machine does not permit that.
    pub fn new() -> Option<Namespace> {
        let made = thread::spawn(|| {
            #[allow(deprecated, reason = "as above")]
            unshare(UnshareFlags::NEWNET)?;
            File::open("/proc/thread-self/ns/net").map_err(|_| rustix::io::Errno::NOSYS)
        });
        match made.join().expect("a thread") {
            Ok(file) => {
                let namespace = Namespace(file);
                namespace.ip("link set lo up");
                Some(namespace)
            }
            Err(error) => {
                notice(&format!(
                    "no network namespaces here ({error}): tests between machines are left out; run as root"
                ));
                None
            }
        }
    }

    /// Runs `work` in it. Sockets and children that `work` makes stay in it.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let inside = || {
                move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network)).expect("enter a namespace");
                work()
            };
            scope.spawn(inside).join().expect("a thread")
        })
    }

    /// Runs `ip` with these words in it.
    pub fn ip(&self, words: &str) {
        let done = self.enter(|| Command::new("ip").args(words.split_whitespace()).output().expect("ip of iproute2"));
        assert!(done.status.success(), "ip {words}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// Makes a cable: `name` here, `end` in `other`.
    pub fn cable(&self, name: &str, other: &Namespace, end: &str) {
        let there = format!("/proc/{}/fd/{}", std::process::id(), other.0.as_raw_fd());
        self.ip(&format!("link add {name} type veth peer name {end} netns {there}"));
    }
}
