//! # toolgate: how the house is built
//!
//! One static binary that lets a person, a script, a home-automation hub or an AI agent call the tools of a small
//! device, over one port, under one policy. It speaks OpenClaw's Tools Invoke API and its Gateway protocol over
//! WebSocket, and runs on one thread.
//!
//! ## Map
//!
//! The rooms stand in one total order, and a file imports only from rooms to its left:
//!
//! `limits · wire · gate · tool · config · api · serve · cli · main`
//!
//! | room | turns what into what | pure |
//! | --- | --- | --- |
//! | [`limits`] | every number that has a unit, and the relations between them | yes |
//! | [`wire`] | bytes ⇄ messages of HTTP/1.1 and WebSocket; knows RFCs, nothing else | yes |
//! | [`gate`] | what a caller claims → [`gate::Principal`]; what it wants → [`gate::Permit`] | yes |
//! | [`tool`] | a permit and checked arguments → what a tool found out | its handlers do IO |
//! | [`config`] | JSON5 text → checked values, and every finding at once | yes |
//! | [`api`] | one message → one step; the only room that knows protocol and gate | yes |
//! | [`serve`] | the shell: sockets, clocks, files, signals | no |
//! | [`cli`] | a command line → what the operator asked for | no |
//!
//! ## One request's journey
//!
//! 1. [`serve::listen::accept`] finds a seat for the connection, or turns it away with 503.
//! 2. [`serve::http::serve`] waits for the first byte without holding a buffer, then reads at most
//!    [`limits::HEAD_BYTES_MAX`] bytes; [`wire::head::Scanner`] looks at each byte once and refuses at the first bad one.
//! 3. [`wire::head::Head::parse`] reads line and fields; [`wire::body::resolve`] decides the framing. Smuggling dies here.
//! 4. [`api::opening`] translates the head into a [`gate::Ask`]. [`gate::Gate::door`] judges way, host and origin, then
//!    path and method are looked at, then [`gate::Gate::admit`] makes a [`gate::Principal`] or a [`gate::Deny`], from what
//!    the tailnet says of the caller and from its proof. No byte of the body has been read.
//! 5. The body is read, its memory leased from a pool first; [`api::request`] reads its fields without building a tree.
//! 6. [`gate::Gate::permit`] runs the policy chain, asks what the tailnet's own policy grants, and makes a [`gate::Permit`]; [`tool::Listed::check`] checks the
//!    arguments against the tool's schema; the body is dropped.
//! 7. The call waits for its turn in the [`tool::lane::Lane`] of its tool and in that of all calls, or is told that the tool
//!    is busy. [`tool::run`] spends the permit: it runs the tool the permit names, and no other, under a deadline; with
//!    `dryRun` an acting tool only says what it would do, by the same plan. A peer that leaves takes its call with it.
//! 8. [`api::outcome`] turns the result into an answer, [`wire::reply::Reply`] into bytes, and one write sends them.
//!
//! ## One socket's journey
//!
//! 1. A head that asks for WebSocket ([`wire::upgrade::asked`]) passes the same door ([`api::upgrade`]); what it claims is
//!    kept until the first message. The 101 goes out, and [`serve::socket`] takes the connection over, in the same seat.
//! 2. [`wire::message::Reader`] takes the frames off; memory is leased as bytes come, never as a header announces them.
//! 3. [`api::socket::Talk::hear`] hears one whole message. The first must be `connect`: it becomes a [`gate::Ask`], and
//!    [`gate::Gate::admit`] makes the [`gate::Principal`], narrowed to the scopes that were asked for.
//! 4. From [`gate::Gate::permit`] on the road is that of HTTP: [`tool::run`] spends the permit beside whatever else the
//!    peer says; [`api::socket::told`] makes the frame.
//! 5. Frames wait in a bounded queue. A peer that does not take them is not listened to; one that is silent between two
//!    ticks is dead.
//!
//! A call with an `idempotencyKey` goes the same way up to its permit; then [`api::replay::Table`] may know its answer.
//! Calls, refusals and reloads are events: [`serve::audit::Audit`] logs each and keeps the latest.
//!
//! ## A declared tool
//!
//! [`config`] reads `tools.commands` and `tools.http` into [`tool::Declared`], compiled: parameters, and templates in which
//! `{name}` is a place for one of them. [`tool::Listed`] is the one handle of built-in and declared tools. A command becomes
//! a plan for [`tool::child`], which sees to it that nothing outlives the call; a service becomes one request of the
//! client, over the codec of [`wire`], to an address that was judged before it was connected to.
//!
//! ## What changes while it runs
//!
//! SIGHUP, or the tool `gateway`, makes [`cli`] read and check everything again into one [`serve::reload::Regime`];
//! [`serve::gateway::Gateway::reload`] takes it whole, between two requests, or leaves all as it was and says why.
//! Connections, sessions and counted failures stay. The bounds on memory are decided once, at start
//! ([`serve::reload::Fixed`]); what a configuration may not do on the listeners in use does not come into force either.
//!
//! ## The tailnet
//!
//! With `bind: tailnet` the loopback is open from the start, and `serve/tailnet.rs` opens and closes the rest as
//! [`tool::interfaces`] tells of its interface: each listener is bound to it, so that the way a connection came is known
//! ([`serve::listen::Door`]). Once a head is there, `serve/whois.rs` makes it a [`gate::tailnet::Caller`]: it asks
//! [`tool::localapi`] who has that address, or, where tailscaled passes its peers on from the loopback, that connection.
//! On the socket of Tailscale Serve the head itself names the peer ([`api::served_for`]), and tailscaled must agree. What
//! nobody says is [`gate::tailnet::Tailnet::Unknown`], which no list lets in; what an address alone says, and no interface, is
//! `Claimed`: it narrows and proves nothing. The gate decides the rest.
//!
//! A service manager, where there is one, may have opened the listeners ([`serve::activation`]): they stay for good. It is
//! told of start, reload, stop and, from the loop itself, of life ([`serve::notify`]).
//!
//! ## Which clock
//!
//! Deadlines, limits and locks are counted by [`std::time::Instant`], which on Linux is CLOCK_MONOTONIC: it never steps, and it
//! stands still while the device sleeps. That is meant. A device that wakes up has had no time to answer, so nothing may be
//! over by then; a lock or a remembered call that lasts longer is on the safe side; and epoll and a service manager's
//! watchdog count by the same clock. What is told as an age (sessions, presence) and what a device's rest is measured by
//! is time since boot, sleep included: [`tool::Now`]. The wall clock is for display. A device without a battery believes
//! that it is 1970 until the network says otherwise, so a step of years changes what is shown and nothing else; where
//! nobody keeps the clock, not even a signature's age is judged by it, because its nonce proves that it is fresh.
//!
//! ## Invariants
//!
//! Each is held by a test in `tests/it/tidy.rs`, or by the compiler.
//!
//! 1. A file imports only from rooms to its left: `tidy::imports_go_left`.
//! 2. `gate` imports nothing of `wire`, and sees no header name: `tidy::gate_knows_no_wire`.
//! 3. `tool` imports nothing of `config` and `api`; of its files only the client, `tool/fetch.rs`, imports `wire`:
//!    `tidy::tool_knows_no_protocol`.
//! 4. `limits`, `wire`, `gate`, `config` and `api` contain no async, no socket, no file, no clock and no randomness; time
//!    and bytes are arguments: `tidy::pure_rooms_stay_pure`.
//! 5. Only `serve` and the handlers of `tool` do IO: `tidy::only_serve_and_tools_do_io`.
//! 6. A duration or a byte count with a unit stands in `limits` only, each with its reason: `tidy::units_live_in_limits`
//!    and `tidy::every_limit_is_explained`.
//! 7. No file has more than 600 lines, no function more than 70: `tidy::files_and_functions_are_short`.
//! 8. Unsafe code stands in two files, which argue for it at their tops: `tidy::unsafe_stands_where_it_is_argued`.
//! 9. Nothing starts a thread behind our back: `tidy::no_hidden_threads`. Two threads are there when idle, ours and
//!    async-io's helper; a file system or kernel that may hang is asked on a short-lived third.
//! 10. [`gate::Principal`] and [`gate::Permit`] have no public constructor and are not `Clone`, so a check cannot be
//!     forgotten or reused: the compile-fail examples in [`gate`] and [`tool`]; `tidy::gate_knows_no_wire` keeps them there.
//! 11. What README.md says in tables is what the code says: `tidy::readme_tables_are_the_codes` and
//!     `tidy::readme_names_every_answer`.
//! 12. The wall clock is read in a named list of places, which show it: `tidy::the_wall_clock_is_shown_not_obeyed`.
//!
//! ## To add a tool
//!
//! One row in `src/tool/table.rs`, one handler in the file of its family. A row that is out of order, doubled, or takes a
//! name the policy reserves (`gateway` alone may) does not compile; argument checks, JSON Schema, listing and policy groups follow from the row.

pub mod api;
pub mod cli;
pub mod config;
pub mod gate;
pub mod limits;
pub mod serve;
pub mod tool;
pub mod wire;
