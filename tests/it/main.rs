//! The real program, driven from outside: what a peer, an operator and a supervisor can see of it.

mod bounds;
mod client;
mod commands;
mod declared;
mod declared_siege;
mod frames;
mod golden;
mod heads;
mod life;
mod notify;
mod policy;
mod reach;
mod readme;
mod refusals;
mod reload;
mod rig;
mod services;
mod siege;
mod socket;
mod socket_frames;
mod socket_life;
mod socket_siege;
mod socket_upgrade;
mod source;
mod strict;
mod tidy;
