#!/bin/sh
# rustc as cargo calls it in the room. Let chains are stable since Rust 1.88; 1.85.1 has them behind a name, which the
# crates that use them are given here. Not by RUSTFLAGS: `core` has given it to itself and may not be given it again.
# What an older compiler warns of in our crate is no news: the lints are judged by the current one.
# Stable since 1.87 and 1.88, and there under these names.
OURS="slice_as_chunks, unsigned_is_multiple_of"
case " $* " in
*" --crate-name json5 "*) exec "$@" "-Zcrate-attr=feature(let_chains)" ;;
*" --crate-name toolgate "*) exec "$@" "-Zcrate-attr=feature(let_chains, $OURS)" --cap-lints=allow ;;
*) exec "$@" ;;
esac
